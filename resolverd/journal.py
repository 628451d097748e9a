"""The log: to journald with priorities and fields when stderr is the journal's, plain elsewhere.

journald's native protocol is one datagram an entry; see systemd.io/JOURNAL_NATIVE_PROTOCOL. Logging
never blocks: while journald can't take more, entries are dropped, counted, and the count is logged.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import struct
import sys
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"

_PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def event(name: str, /, **values: object) -> dict[str, dict[str, object]]:
    """Make the ``extra`` of a log call: what an operator searches the journal for.

    Args:
        name: Becomes ``RESOLVERD_EVENT``.
        values: ``uri`` becomes ``RESOLVERD_URI``; None is left out.
    """
    fields = {f"RESOLVERD_{key.upper()}": value for key, value in values.items()}
    return {"journal": {"RESOLVERD_EVENT": name, **fields}}


def log_to_stderr(level: str, environ: Mapping[str, str], identifier: str = "resolverd") -> None:
    """Send the log where stderr goes.

    Args:
        level: Least severe level that is logged, such as ``info``.
        environ: For ``JOURNAL_STREAM``.
        identifier: What journald files it under.
    """
    handler: logging.Handler
    try:
        handler = JournalHandler(SOCKET, identifier) if is_journal(environ) else _plain()
    except OSError:
        handler = _plain()
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for chatty in ("watchfiles", "urllib3"):  # the latter would tell URLs with their secrets
        logging.getLogger(chatty).setLevel(logging.WARNING)


class JournalHandler(logging.Handler):
    """Writes entries to journald.

    Args:
        path: Its socket.
        identifier: ``SYSLOG_IDENTIFIER`` of the entries.

    Raises:
        OSError: There is no such socket.
    """

    def __init__(self, path: str, identifier: str) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self._identifier = identifier
        self._dropped = 0
        self._path = path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            probe.connect(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one entry, and before it how many got lost."""
        try:
            if self._dropped:
                lost = f"{self._dropped} log entries were lost: journald did not take them"
                self._send({"MESSAGE": lost, "PRIORITY": 4, "SYSLOG_IDENTIFIER": self._identifier})
                self._dropped = 0
            self._send(self._fields(record))
        except OSError:
            self._dropped += 1
        except Exception:  # noqa: BLE001 -- as every handler of the standard library does
            self.handleError(record)

    def close(self) -> None:
        """Close the socket too."""
        self._socket.close()
        super().close()

    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        return {
            "MESSAGE": self.format(record),
            "PRIORITY": priority(record.levelno),
            "SYSLOG_IDENTIFIER": self._identifier,
            "LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": record.lineno,
            "CODE_FUNC": record.funcName,
            **getattr(record, "journal", {}),
        }

    def _send(self, fields: Mapping[str, object]) -> None:
        data = packed(fields)
        try:
            self._socket.sendto(data, self._path)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            self._send_large(data)

    def _send_large(self, data: bytes) -> None:
        """Pass what no datagram holds as a sealed file in memory."""
        fd = os.memfd_create("resolverd-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.write(fd, data)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            passed = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))
            self._socket.sendmsg([b""], [passed], 0, self._path)
        finally:
            os.close(fd)


def priority(level: int) -> int:
    """Give syslog's number for a level of ``logging``."""
    return next((number for least, number in _PRIORITIES if level >= least), _DEBUG)


def packed(fields: Mapping[str, object]) -> bytes:
    """Pack one entry; a value of several lines comes with its length."""
    parts = []
    for name, value in fields.items():
        if value is None:
            continue
        data = str(value).encode("utf-8", "backslashreplace")
        if b"\n" in data:
            parts.append(b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(data)), data))
        else:
            parts.append(b"%s=%s\n" % (name.encode(), data))
    return b"".join(parts)


def is_journal(environ: Mapping[str, str]) -> bool:
    """Whether stderr is the stream that systemd connected to the journal."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or none at all
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _plain() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_PLAIN))
    return handler
