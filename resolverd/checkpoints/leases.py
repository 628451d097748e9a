"""A lease is a shared flock on an object's lock file.

It ends when the last process that has the descriptor is gone, however it ends, and it outlives the
daemon that gave it.
"""

from __future__ import annotations

import fcntl
import os

from resolverd.errors import CacheError


def take(lock_path: str) -> int:
    """Take a lease.

    Args:
        lock_path: The object's lock file.

    Returns:
        A descriptor to hand on; closing every copy of it ends the lease.

    Raises:
        CacheError: When the object is just being evicted, or the lock can't be opened.
    """
    try:
        fd = os.open(lock_path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CacheError(
            f"{lock_path}: no lease: {error.strerror}. Ask for the file again."
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        # An evictor that was faster has unlinked the file: the lock would protect nothing.
        if os.fstat(fd).st_ino == os.stat(lock_path).st_ino:
            return fd
    except OSError:
        pass
    os.close(fd)
    raise CacheError(f"{lock_path}: the object is being removed. Ask for the file again.")


def make(lock_path: str) -> None:
    """Create an object's lock file, before the object can be seen."""
    os.close(os.open(lock_path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def exclude(lock_path: str) -> int | None:
    """Take the lock that excludes all leases, as eviction must.

    Returns:
        A descriptor that holds it until closed; None while a lease is held.
    """
    fd = os.open(lock_path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if locked(fd):
        return fd
    os.close(fd)
    return None


def locked(fd: int) -> bool:
    """Try to lock a file for oneself alone, without waiting."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
