"""One connection to the daemon: where it listens, hello, calls, and what survives a fork.

Contract: a connection serves one call at a time. Whatever goes wrong in a call (an error, a signal
handler that raises) leaves the stream at an unknown place, so the owner then closes it.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections import deque
from time import monotonic

import msgpack

from resolverd_client import page, protocol
from resolverd_client.errors import (
    DaemonUnavailableError,
    ProtocolError,
    ResolverdError,
    from_wire,
)
from resolverd_client.protocol import unpackb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SOCKET_PATH_LIMIT = 107
"""Bytes that the path of a Unix socket may have; the kernel's field of 108 ends with a zero."""
SYSTEM_SOCKET = "/run/resolverd/resolverd.sock"
_UPGRADE_CLIENT = (
    f"this client speaks version {protocol.VERSION} of the protocol and older: where the daemon is "
    f"newer, upgrade resolverd-client"
)
_CHUNK = 65536
# Most replies come at once: one system call then does without a poll before it. It must be short,
# because a signal starts it anew, and only the poll that follows it knows the deadline.
_AT_ONCE = struct.pack("ll", 0, 4000)
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL

_open: set[socket.socket] = set()


def _close_in_child() -> None:
    """Close a forked child's copies, so that only the parent holds and uses its connections."""
    for sock in _open:
        sock.close()
    _open.clear()


os.register_at_fork(after_in_child=_close_in_child)


def socket_paths() -> list[str]:
    """List where the daemon may listen, best first.

    ``RESOLVERD_SOCKET`` names the one socket to use; without it the user's daemon comes before
    the system's.
    """
    named = os.environ.get("RESOLVERD_SOCKET")
    if named:
        return [named]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    user = [os.path.join(runtime, "resolverd", "resolverd.sock")] if runtime else []
    return [*user, SYSTEM_SOCKET]


def connect(paths: list[str], deadline: float) -> Connection:
    """Connect to the first socket that a daemon answers on.

    Raises:
        OSError: None answers now; a later attempt may succeed.
        DaemonUnavailableError: None ever will: a path too long, or no right to connect.
    """
    failures: list[str] = []
    hopeless: list[str] = []
    for path in paths:
        length = len(os.fsencode(path))
        if length > SOCKET_PATH_LIMIT:
            hopeless.append(
                f"the socket path {path!r} has {length} bytes, a Unix socket's path at most "
                f"{SOCKET_PATH_LIMIT}: name a shorter one in RESOLVERD_SOCKET or socket_path"
            )
            continue
        try:
            return Connection(path, deadline)
        except PermissionError:
            hopeless.append(
                f"no right to connect to {path}: ask for access to this socket, or name another "
                f"one in RESOLVERD_SOCKET"
            )
        except OSError as error:
            failures.append(f"{path}: {error.strerror or error}")
    if len(hopeless) == len(paths):
        raise DaemonUnavailableError("; ".join(hopeless))
    raise ConnectionError("; ".join(hopeless + failures))


class Silence:
    """What to do while a call that may take for ever brings nothing.

    Attributes:
        seconds: How long nothing must have come.
        check: Called then, again and again; it raises to give the call up.
    """

    __slots__ = ("check", "seconds")

    def __init__(self, seconds: float, check: Callable[[], None]) -> None:
        self.seconds = seconds
        self.check = check


class Connection:
    """A connection on which hello is done.

    Attributes:
        path: The socket.
        instance: Names this run of the daemon; another run, another value.
        words: The generation page, or None.
        server: The daemon's reply to hello.
    """

    def __init__(self, path: str, deadline: float) -> None:
        self.path = path
        self._ident = 0
        self._pack = msgpack.Packer(unicode_errors="surrogatepass").pack
        self._reader = protocol.FrameReader(protocol.MAX_REPLY)
        self._queue: deque[Any] = deque()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        _open.add(self._socket)
        try:
            self._socket.settimeout(max(0.001, deadline - monotonic()))
            self._socket.connect(path)
            self._socket.settimeout(None)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _AT_ONCE)
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            self._poll = poll.poll
            self._hello(deadline)
        except BaseException:
            self.close()
            raise

    def __del__(self) -> None:
        if hasattr(self, "_socket"):
            self.close()

    def close(self) -> None:
        """Close the connection; the daemon then ends what it was doing for it."""
        _open.discard(self._socket)
        self._socket.close()

    def _hello(self, deadline: float) -> None:
        me = {"client": "resolverd-client", "pid": os.getpid()}
        try:
            reply, fds = self.call("hello", [protocol.VERSION, me], deadline)
        except ProtocolError as error:
            raise ProtocolError(f"{self.path}: {error}; {_UPGRADE_CLIENT}") from None
        if not isinstance(reply, dict) or not isinstance(reply.get("instance"), bytes):
            close_all(fds)
            raise ProtocolError(f"{self.path} is not a resolverd socket: hello got {reply!r:.200}")
        if reply.get("version") not in range(1, protocol.VERSION + 1):
            close_all(fds)
            spoken = f"{self.path} speaks version {reply.get('version')!r:.40}"
            raise ProtocolError(f"{spoken}; {_UPGRADE_CLIENT}")
        self.server: dict[str, Any] = reply
        self.instance: bytes = reply["instance"]
        self.words = page.open_page(fds.pop(), self.instance) if fds else None
        close_all(fds)

    def alive(self) -> bool:
        """Tell at once whether the daemon still holds the other end, with nothing sent on it."""
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def lookup(self, method: str, params: list[object], deadline: float) -> tuple[Any, bytes]:
        """Make one short call, fast.

        Returns:
            The response, unpacked but unjudged, and its bytes.
        """
        self._ident = ident = self._ident % 127 + 1
        self._send(self._pack((protocol.REQUEST, ident, method, params)), deadline)
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            data = self._receive(deadline)
        try:
            message = unpackb(data)
        except protocol.FAULTS:
            if not data:
                raise ConnectionResetError("the daemon closed the connection") from None
            message, data = self._receive_rest(data, deadline)
        if (
            type(message) is not list
            or len(message) != 4
            or message[1] != ident
            or message[0] != protocol.RESPONSE
        ):
            raise self._unexpected(message)
        return message, data

    def call(
        self,
        method: str,
        params: list[object],
        deadline: float | None,
        notice: Callable[[str, list[Any]], None] | None = None,
        silence: Silence | None = None,
    ) -> tuple[Any, list[int]]:
        """Make one call that may take long, send notifications on its way, or bring descriptors.

        Args:
            method: What to call.
            params: Its parameters.
            deadline: When to give up; None for no end.
            notice: Called with each notification.
            silence: What to do while nothing comes.

        Returns:
            The result, and the descriptors that came with it: the caller's to close.

        Raises:
            ResolverdError: The daemon's answer is an error.
            OSError: The connection is lost, or the deadline over.
        """
        self._ident = ident = self._ident % 127 + 1
        self._send(protocol.request(ident, method, params), deadline)
        fds: list[int] = []
        try:
            return self._result(ident, lambda: self._next(deadline, fds, silence), notice), fds
        except BaseException:
            close_all(fds)
            raise

    def _result(
        self,
        ident: int,
        following: Callable[[], list[Any]],
        notice: Callable[[str, list[Any]], None] | None,
    ) -> Any:
        while True:
            message = following()
            if message[:2] == [protocol.RESPONSE, ident] and len(message) == 4:
                if message[2] is not None:
                    raise self._failed(message[2])
                return message[3]
            if message[0] != protocol.NOTIFICATION or len(message) != 3:
                raise self._unexpected(message)
            if notice is not None:
                notice(message[1], message[2])

    def notification(self) -> tuple[str, list[Any]]:
        """Wait, without end, for the next notification."""
        message = self._next(None, [])
        if message[0] != protocol.NOTIFICATION or len(message) != 3:
            raise self._unexpected(message)
        return message[1], message[2]

    def _next(
        self, deadline: float | None, fds: list[int], silence: Silence | None = None
    ) -> list[Any]:
        while not self._queue:
            self._wait(deadline, silence)
            data, more, _, _ = socket.recv_fds(
                self._socket, _CHUNK, 8, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
            )
            fds += more
            if not data:
                raise ConnectionResetError("the daemon closed the connection")
            self._queue.extend(self._reader.feed(data))
        message = self._queue.popleft()
        if not isinstance(message, list) or not message:
            raise self._unexpected(message)
        if message[:2] == [protocol.NOTIFICATION, "error"]:
            raise self._unexpected(message)
        return message

    def _failed(self, said: object) -> ResolverdError:
        error = from_wire(said)
        if error.code == "unknown-method":
            daemon = f"it is {self.server.get('server', '?')!s:.80}, older than this client"
            error.args = (f"{error}; {daemon}: upgrade the daemon, then restart it",)
        return error

    def _unexpected(self, message: object) -> Exception:
        if isinstance(message, list) and message[:2] == [protocol.NOTIFICATION, "error"]:
            return from_wire(message[2][0] if message[2:] and message[2] else None)
        return ProtocolError(f"the daemon sent a message out of place: {message!r:.200}")

    def _send(self, data: bytes, deadline: float | None) -> None:
        try:
            sent = self._socket.send(data, _FLAGS)
        except BlockingIOError:
            sent = 0
        if sent != len(data):
            left = None if deadline is None else max(0.001, deadline - monotonic())
            self._socket.settimeout(left)
            self._socket.sendall(memoryview(data)[sent:])
            self._socket.settimeout(None)

    def _receive(self, deadline: float) -> bytes:
        self._wait(deadline)
        data = self._socket.recv(_CHUNK, socket.MSG_DONTWAIT)
        if not data:
            raise ConnectionResetError("the daemon closed the connection")
        return data

    def _receive_rest(self, data: bytes, deadline: float) -> tuple[Any, bytes]:
        """Go on with a response that came in parts, or with a daemon's last words after it."""
        reader = protocol.FrameReader(protocol.MAX_REPLY)
        parts = [data]
        while not (messages := list(reader.feed(parts[-1]))):
            parts.append(self._receive(deadline))
        if reader.pending:  # the beginning of them: the call is made again, as when they are whole
            raise ConnectionResetError("the daemon is closing the connection")
        return messages[-1], b"".join(parts)

    def _wait(self, deadline: float | None, silence: Silence | None = None) -> None:
        while True:
            left = None if deadline is None else max(0.0, (deadline - monotonic()) * 1000)
            most = None if silence is None else silence.seconds * 1000
            ends = most is None or (left is not None and left <= most)
            if self._poll(left if ends else most):
                return
            if ends or silence is None:
                raise TimeoutError("the daemon did not answer in time")
            silence.check()


def close_all(fds: list[int]) -> None:
    """Close descriptors that nobody wants."""
    for fd in fds:
        try:  # noqa: SIM105 (contextlib costs milliseconds to import)
            os.close(fd)
        except OSError:  # noqa: PERF203
            pass
