"""Where the daemon listens: binding safely, or taking the socket that systemd holds.

Contract: a live daemon is never pushed aside, a dead one's socket file is replaced, and nothing but
a socket is ever removed. A lock file beside the socket decides between daemons that start at once.
"""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import stat
import struct
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from resolverd_client.connection import SOCKET_PATH_LIMIT

from resolverd.errors import ConfigError

SYSTEM_SOCKET = "/run/resolverd/resolverd.sock"
_FIRST_FD = 3


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound socket.

    Attributes:
        socket: To be given to ``Server.start``.
        path: Where it is bound.
        lock: The descriptor whose lock says that this daemon lives; None when systemd owns the
            socket.
    """

    socket: socket.socket
    path: str
    lock: int | None

    def close(self) -> None:
        """Stop listening; remove the socket file when it is this daemon's own."""
        self.socket.close()
        if self.lock is not None:
            if os.path.exists(self.path):
                os.unlink(self.path)
            os.close(self.lock)


def listen_path(
    configured: str | os.PathLike[str] | None, environ: Mapping[str, str], *, system: bool
) -> str:
    """Choose where to listen: as configured, as clients are told, or the usual place.

    Args:
        configured: By the settings.
        environ: For ``RESOLVERD_SOCKET`` and ``XDG_RUNTIME_DIR``.
        system: Whether this daemon serves the whole node.

    Raises:
        ConfigError: A user's daemon has no runtime directory.
    """
    if path := configured or environ.get("RESOLVERD_SOCKET"):
        return os.fspath(path)
    if system:
        return SYSTEM_SOCKET
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        return os.path.join(runtime, "resolverd", "resolverd.sock")
    raise ConfigError(
        "there is no place for the socket: XDG_RUNTIME_DIR is not set and this is not root; "
        "name one with --socket PATH"
    )


def bind(path: str, *, mode: int = 0o600, directory_mode: int = 0o700) -> Listener:
    """Bind a Unix socket.

    Args:
        path: Where.
        mode: Of the socket file: who may write it may connect.
        directory_mode: Of directories that have to be made.

    Raises:
        ConfigError: The path is too long, taken, or not to be written; the message says which.
    """
    path = os.path.abspath(path)
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_LIMIT:
        raise ConfigError(
            f"the socket path {path} has {length} bytes, a Unix socket's path at most "
            f"{SOCKET_PATH_LIMIT}: choose a shorter one"
        )
    try:
        os.makedirs(os.path.dirname(path), directory_mode, exist_ok=True)
        lock = _lock(path)
        try:
            _clear(path)
            return Listener(_bound(path, mode), path, lock)
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        raise ConfigError(
            f"can't listen on {path}: {error.strerror}: {error.filename or path}; make the "
            f"directory writable for this user, or choose another socket path"
        ) from error


def _lock(path: str) -> int:
    name = path + ".lock"
    lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        os.close(lock)
        raise _occupied(path, owner) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _clear(path: str) -> None:
    """Remove what a dead daemon left; refuse to touch anything else."""
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise ConfigError(f"{path} exists and is not a socket: remove it, or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            raise _occupied(path, "") from None
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    raise _occupied(path, str(struct.unpack("3i", credentials)[0]))


def _occupied(path: str, pid: str) -> ConfigError:
    who = f"the process {pid}" if pid and pid != "0" else "another process"
    return ConfigError(
        f"{path} is in use: {who} listens there; stop it, or choose another socket path"
    )


def _bound(path: str, mode: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Linux gives the file the socket's own mode: there is no moment with a wider one.
        os.fchmod(sock.fileno(), mode)
        sock.bind(path)
        os.chmod(path, mode)
        sock.listen(4096)
    except BaseException:
        sock.close()
        raise
    return sock


def from_systemd(environ: MutableMapping[str, str]) -> Listener | None:
    """Take the listening socket that systemd passes, if it passes one.

    Args:
        environ: The environment; the variables are removed, so that no child takes them for its
            own.

    Raises:
        ConfigError: What was passed is not one listening Unix stream socket.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal() or count == "0":
        return None
    if count != "1":
        raise ConfigError(f"systemd passes {count} sockets, resolverd takes one: mend its unit")
    os.set_inheritable(_FIRST_FD, False)
    sock = socket.socket(fileno=_FIRST_FD)
    if (
        sock.family != socket.AF_UNIX
        or sock.type != socket.SOCK_STREAM
        or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ):
        raise ConfigError("systemd passes no listening Unix stream socket: mend its .socket unit")
    return Listener(sock, os.fsdecode(sock.getsockname()), None)


def raise_descriptor_limit() -> int:
    """Allow this process as many open files as it may ask for; give the number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
