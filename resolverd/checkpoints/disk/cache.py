"""The cache as a whole: made, owned by one process, and a remedy when its file system refuses."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator

from resolverd.checkpoints import leases
from resolverd.checkpoints.disk.layout import PRIVATE, PUBLIC, Layout
from resolverd.errors import CacheError


def prepare(layout: Layout) -> None:
    """Make the cache's folders.

    Raises:
        CacheError: When they can't be made or written.
    """
    with explained(layout):
        os.makedirs(layout.root, mode=0o755, exist_ok=True)
        for names, mode in ((PUBLIC, 0o755), (PRIVATE, 0o700)):
            for name in names:
                path = layout.folder(name)
                if not os.path.isdir(path):
                    os.mkdir(path)
                    os.chmod(path, mode)  # whatever the umask: readers are other users
                if not os.access(path, os.W_OK | os.X_OK):
                    frozen = os.statvfs(path).f_flag & os.ST_RDONLY
                    number = errno.EROFS if frozen else errno.EACCES
                    raise OSError(number, os.strerror(number), path)


@contextlib.contextmanager
def explained(layout: Layout) -> Iterator[None]:
    """Translate what the file system says into a :class:`CacheError` with a remedy."""
    try:
        yield
    except OSError as error:
        place = f"{error.filename or layout.root}: {error.strerror}."
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            remedy = "Free some room there, or set cache.dir to a larger file system."
        elif error.errno == errno.EROFS:
            remedy = (
                "It was mounted so, or the kernel met a fault of the disk (see dmesg): mount it "
                "writable, or set cache.dir. What is in the cache is served."
            )
        elif error.errno in {errno.EACCES, errno.EPERM}:
            remedy = (
                f"Make {layout.root} writable for the user the daemon runs as, or set cache.dir."
            )
        elif error.errno in {errno.EMFILE, errno.ENFILE}:
            remedy = "Let the daemon open more files: LimitNOFILE= in its unit, or ulimit -n."
        else:
            remedy = f"Check the file system of {layout.root}."
        raise CacheError(f"{place} {remedy}") from error


def own(layout: Layout, patience: float) -> int:
    """Become the cache's only writer; the lock ends with the process.

    Args:
        layout: The cache.
        patience: Seconds to wait for another owner to end.

    Raises:
        CacheError: When another daemon owns it.
    """
    until = time.monotonic() + patience
    with explained(layout):
        fd = os.open(layout.lock("owner"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while not leases.locked(fd):
            if time.monotonic() >= until:
                owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
                os.close(fd)
                who = f" (process {owner})" if owner else ""
                raise CacheError(
                    f"{layout.root} is in use by another resolverd{who}: give each its own "
                    "cache.dir. Until then nothing is fetched or removed here."
                )
            time.sleep(0.02)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
