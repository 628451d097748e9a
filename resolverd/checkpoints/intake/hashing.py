"""Hashing what is all there: local files, and objects that were published before."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
from collections.abc import Iterable, Sequence

from resolverd.checkpoints.asset.digest import GIT_BLOB, Digest
from resolverd.checkpoints.asset.manifest import Entry
from resolverd.checkpoints.limits import MIB
from resolverd.checkpoints.process.job import Job


def hash_file(
    path: str, algorithms: Iterable[str], job: Job, *, direct: bool = False
) -> dict[str, str]:
    """Hash a file.

    Args:
        path: Which.
        algorithms: With what.
        job: To be told of progress, and to be stopped by.
        direct: Read what the disk itself holds, past the page cache, which also stays as it is for
            those who use it; where the file system can't do that, read as usual.

    Returns:
        The digests by algorithm.
    """
    names = tuple(algorithms)
    if direct:
        try:
            return _hashed(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT), names, job)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:
                raise
    return _hashed(os.open(path, os.O_RDONLY | os.O_CLOEXEC), names, job)


def _hashed(fd: int, names: Sequence[str], job: Job) -> dict[str, str]:
    hashes = [hashlib.new(name, usedforsecurity=False) for name in names]
    pages = mmap.mmap(-1, MIB)  # aligned, as direct reads want it
    with open(fd, "rb", buffering=0) as file, pages, memoryview(pages) as buffer:
        while count := file.readinto(buffer):
            job.check()
            for item in hashes:
                item.update(buffer[:count])
            job.advance(count)
    return {item.name: item.hexdigest() for item in hashes}


def git_blob(path: str) -> Digest:
    """What git names a file's content by; for the small files that a repository itself holds."""
    found = hashlib.sha1(b"blob %d\0" % os.path.getsize(path), usedforsecurity=False)
    with open(path, "rb") as file:
        while piece := file.read(MIB):
            found.update(piece)
    return Digest(GIT_BLOB, found.hexdigest())


def faults(folder: str, files: Iterable[Entry], job: Job) -> list[str]:
    """What is wrong with an object's files on the disk, one text each."""
    found = [fault for entry in files if (fault := _fault(folder, entry, job)) is not None]
    return found + _strangers(folder, {entry.path for entry in files})


def _fault(folder: str, entry: Entry, job: Job) -> str | None:
    path = os.path.join(folder, entry.path)
    try:
        size = os.path.getsize(path)
        if size != entry.size:
            return f"{entry.path} has {size} bytes instead of {entry.size}"
        if hash_file(path, ["sha256"], job, direct=True)["sha256"] != entry.digests["sha256"]:
            return f"{entry.path} has other bytes than were published"
    except OSError as error:
        return f"{entry.path} can't be read: {error.strerror}"
    return None


def _strangers(folder: str, known: set[str]) -> list[str]:
    """Files that someone put into an object; links are its own, and lead inside."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            if os.path.relpath(path, folder) not in known and not os.path.islink(path):
                found.append(f"{os.path.relpath(path, folder)} does not belong there")
    return found
