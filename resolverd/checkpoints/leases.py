"""A lease is a shared flock on an object's lock file.

It ends when the last process that has the descriptor is gone, however it ends, and it outlives the
daemon that gave it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time

from resolverd.errors import CacheError

_PATIENCE = 0.5
_PAUSE = 0.002
_TRIES = 4


class Locked(CacheError):  # noqa: N818  # says what is so, not that it failed
    """Somebody keeps everyone else out: an evictor, or a client that means ill."""


def take(lock_path: str, patience: float = _PATIENCE) -> int:
    """Take a lease.

    Args:
        lock_path: The object's lock file.
        patience: Seconds to wait for one who only looks whether there is a lease.

    Returns:
        A descriptor to hand on; closing every copy of it ends the lease.

    Raises:
        Locked: When the object is just being evicted.
        CacheError: When the lock can't be opened.
    """
    until = time.monotonic() + patience
    while (fd := _shared(lock_path)) is None:
        if time.monotonic() >= until:
            raise Locked(f"{lock_path}: the object is being removed. Ask for the file again.")
        time.sleep(_PAUSE)
    return fd


def _shared(lock_path: str) -> int | None:
    """Try to take a lease once."""
    try:
        fd = os.open(lock_path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CacheError(
            f"{lock_path}: no lease: {error.strerror}. Ask for the file again."
        ) from None
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        # An evictor that was faster has unlinked the file: the lock would protect nothing.
        if os.fstat(fd).st_ino == os.stat(lock_path).st_ino:
            return fd
    os.close(fd)
    return None


def make(lock_path: str) -> None:
    """Create an object's lock file, before the object can be seen."""
    os.close(os.open(lock_path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def exclude(lock_path: str) -> int | None:
    """Take the lock that excludes all leases, as eviction must.

    Returns:
        A descriptor that holds it until closed; None while a lease is held.
    """
    fd = os.open(lock_path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_TRIES):
        if locked(fd):
            return fd
        time.sleep(_PAUSE)  # it may be one who only looks
    os.close(fd)
    return None


def held(lock_path: str) -> bool:
    """Look whether anybody holds a lease; who asks for one in this moment waits for us."""
    try:
        fd = os.open(lock_path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not locked(fd)
    finally:
        os.close(fd)


def reopen(lock_path: str) -> bool:
    """Put a fresh lock file in the place of one whose lock keeps leases out.

    Any client can turn its lease into such a lock. It is then the only holder, so that nobody's
    lease is lost. Only for who alone evicts, while nothing is being evicted.

    Returns:
        Whether it was so.
    """
    try:
        os.close(take(lock_path))
    except Locked:
        make(lock_path + ".new")
        os.rename(lock_path + ".new", lock_path)
        return True
    return False


def touch(lock_path: str, now: float, every: float = 60.0) -> None:
    """Note that the object was asked for; the lock file's time is its last use.

    It costs one ``stat`` most times, is lost with nothing but the object, and needs no writer of
    its own: whoever answers a request notes it.

    Args:
        lock_path: The object's lock file.
        now: Seconds since the epoch.
        every: Seconds within which it is noted once.
    """
    with contextlib.suppress(OSError):
        if not 0 <= now - os.stat(lock_path).st_mtime < every:
            os.utime(lock_path, (now, now))


def tell(lock_path: str, reason: str, now: float) -> None:
    """Tell all who hold a lease that the object has gone bad.

    A line is added to the lock file, which every holder can read through its descriptor: one
    whose lock file has grown since the lease was taken holds bytes that nobody vouches for.
    """
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(lock_path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        with open(fd, "wb") as file:
            file.write(json.dumps({"time": now, "reason": reason}).encode() + b"\n")


def locked(fd: int) -> bool:
    """Try to lock a file for oneself alone, without waiting."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
