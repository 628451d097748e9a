"""Reads one file whole, safely and settled.

Never blocks on a FIFO or device, never reads more than a bound, and never returns half of a change
that a writer is making in place: a read lease (``F_SETLEASE``) is taken where it is permitted,
which fails while anyone has the file open for writing and holds writers off during the read.
Elsewhere a file counts as settled when its stamp has stood still for a moment.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import time
from dataclasses import dataclass

from resolverd.cards.file import FileRead, Stamp

from .scan import stamp_of

MAX_BYTES = 16 * 1024 * 1024
RECENT = 2.0
"""Files whose inode changed less than so many seconds ago may have a writer at work."""
QUIET = 0.005
"""How long a stamp must stand still where writers can't be asked for: above a clock tick."""
QUIET_SHRUNK = 0.1
"""The same for a file that shrank: it may have been truncated and be written anew."""
QUIET_EMPTY = 1.0
"""The same for an empty file: most likely truncated, and its writer is about to write."""
QUIET_REMOTE = 0.05
GRAIN_NS = 20_000_000
"""A stamp this close to the reading may also belong to a later version."""
COARSE_GRAIN_NS = 2_000_000_000

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A file that someone is writing.

    Attributes:
        first: When it was first found so (``time.monotonic``).
        stamp: Its stamp at the last look.
        since: Since when that stamp has stood still.
    """

    first: float
    stamp: Stamp | None
    since: float


@dataclass(frozen=True, slots=True)
class Wish:
    """How one file is to be read.

    Attributes:
        path: The file.
        old: The stamp last read, if any.
        changed: Whether the file is known to have just changed, whatever its own clock says.
        local: Whether leases and this host's clock can be trusted.
        special: Whether a FIFO, socket or device is an error; else it is passed over.
        pending: What the last attempt said, if it found a writer.
        patience: Seconds after which a file is read as it is, writer or not.
        bound: Bytes above which a file is refused.
    """

    path: str
    old: Stamp | None = None
    changed: bool = False
    local: bool = True
    special: bool = True
    pending: Unsettled | None = None
    patience: float = 1.0
    bound: int = MAX_BYTES


def read(wish: Wish) -> FileRead | Unsettled | None:
    """Read a file.

    Args:
        wish: The file and what is known of it.

    Returns:
        The reading, with the error when it can't be read; ``Unsettled`` when a writer is at work;
        None when there is no such file.
    """
    try:
        kind = _kind(os.stat(wish.path).st_mode)
        if kind is not None:
            return _special(wish, kind)
        descriptor = os.open(wish.path, _OPEN)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except BlockingIOError:  # someone else's lease: a writer is about to finish
        return _unsettled(wish, None, time.monotonic())
    except OSError as error:
        return FileRead(wish.path, None, None, error.strerror or str(error))
    try:
        return _read_open(descriptor, wish)
    except OSError as error:
        return FileRead(wish.path, None, None, error.strerror or str(error))
    finally:
        os.close(descriptor)  # gives a lease back, too


def _special(wish: Wish, kind: str) -> FileRead | None:
    if not wish.special:
        return None
    return FileRead(wish.path, None, None, f"it is {kind}, not a regular file")


def _read_open(descriptor: int, wish: Wish) -> FileRead | Unsettled | None:
    before, now, wall = os.fstat(descriptor), time.monotonic(), time.time_ns()
    kind = _kind(before.st_mode)
    if kind is not None:
        return _special(wish, kind)
    stamp = stamp_of(before)
    forced = wish.pending is not None and now - wish.pending.first >= wish.patience
    recent = wish.changed or wall - before.st_ctime_ns < RECENT * _NS
    if recent and not forced and not _settled(descriptor, stamp, wish, now, wall):
        return _unsettled(wish, stamp, now)
    if before.st_size > wish.bound:
        reason = f"it is larger than {wish.bound // 1024} KiB ({before.st_size} bytes)"
        return FileRead(wish.path, stamp, None, reason)
    data = _read_all(descriptor, wish.bound)
    if stamp_of(os.fstat(descriptor)) != stamp and not forced:
        return _unsettled(wish, stamp, now)
    return FileRead(wish.path, None if _racy(stamp, wall) else stamp, data)


def _settled(descriptor: int, stamp: Stamp, wish: Wish, now: float, wall: int) -> bool:
    if wish.local:
        quiet = _lease(descriptor)
        if quiet is not None:
            return quiet
    window = QUIET if wish.local else QUIET_REMOTE
    if stamp.size == 0:
        window = QUIET_EMPTY
    elif wish.old is not None and stamp.size < wish.old.size:
        window = QUIET_SHRUNK
    if wish.local and wall - stamp.ctime_ns >= window * _NS:
        return True
    pending = wish.pending
    return pending is not None and pending.stamp == stamp and now - pending.since >= window


def _lease(descriptor: int) -> bool | None:
    """Hold writers off: True when held, False when there is a writer, None when not permitted."""
    try:
        # an opener for writing then sends us SIGURG, ignored by default, not SIGIO, which kills
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _unsettled(wish: Wish, stamp: Stamp | None, now: float) -> Unsettled:
    pending = wish.pending
    if pending is None:
        return Unsettled(now, stamp, now)
    return Unsettled(pending.first, stamp, pending.since if pending.stamp == stamp else now)


def _racy(stamp: Stamp, wall: int) -> bool:
    """Only the inode's time counts: nobody can set it, and every later write moves it."""
    coarse = stamp.ctime_ns % _NS == 0 and stamp.mtime_ns % _NS == 0
    return -COARSE_GRAIN_NS < wall - stamp.ctime_ns < (COARSE_GRAIN_NS if coarse else GRAIN_NS)


def _read_all(descriptor: int, bound: int) -> bytes:
    chunks: list[bytes] = []
    left = bound + 1
    while left > 0 and (chunk := os.read(descriptor, min(left, 1 << 20))):
        chunks.append(chunk)
        left -= len(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _kind(mode: int) -> str | None:
    if stat.S_ISREG(mode):
        return None
    names = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
    }
    return names.get(stat.S_IFMT(mode), "a special file")
