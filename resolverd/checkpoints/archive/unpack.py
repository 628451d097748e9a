"""Makes an archive's members, once all of them were found fit to be made."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager

from resolverd.checkpoints.archive import tars, zips
from resolverd.checkpoints.archive.members import Archive, Member, damaged
from resolverd.checkpoints.archive.rules import Rules
from resolverd.checkpoints.asset.manifest import Entry
from resolverd.checkpoints.limits import MIB, Limits
from resolverd.checkpoints.process.job import Job
from resolverd.errors import SourceError

Admitted = tuple[Member, str]


def unpack(path: str, name: str, tree: str, limits: Limits, job: Job) -> tuple[Entry, ...]:
    """Unpack an archive into a folder that does not exist yet.

    Args:
        path: The archive.
        name: What it is called, which tells its kind.
        tree: The folder.
        limits: How much it may unpack to.
        job: What stops it.

    Returns:
        The files, with their digests.

    Raises:
        SourceError: When the archive is damaged or refused; the folder is gone again.
    """
    os.mkdir(tree)
    try:
        with damaged(name), _opened(path, name) as archive:
            admitted = _admitted(archive, Rules(name, os.path.getsize(path), limits), job)
            return tuple(_made(archive, name, tree, admitted, job))
    except BaseException:
        shutil.rmtree(tree, ignore_errors=True)
        raise


def unpacked_size(path: str, name: str, limits: Limits, job: Job) -> int:
    """Look at all members before the first is made.

    Returns:
        The bytes that they take once they are unpacked.

    Raises:
        SourceError: When the archive is damaged, or a member may not be made.
    """
    with damaged(name), _opened(path, name) as archive:
        rules = Rules(name, os.path.getsize(path), limits)
        for _ in _admitted(archive, rules, job):
            pass
        return rules.taken


def _opened(path: str, name: str) -> AbstractContextManager[Archive]:
    return zips.opened(path) if name.endswith(".zip") else tars.opened(path)


def _admitted(archive: Archive, rules: Rules, job: Job) -> Iterator[Admitted]:
    for member in archive.members():
        job.check()
        yield member, rules.admit(member)
    rules.close()


def _made(
    archive: Archive, name: str, tree: str, admitted: Iterator[Admitted], job: Job
) -> Iterator[Entry]:
    for member, clean in admitted:
        target = os.path.join(tree, clean)
        os.makedirs(target if member.kind == "folder" else os.path.dirname(target), exist_ok=True)
        if member.kind == "link":
            os.symlink(member.target, target)
        elif member.kind != "folder":
            pieces = _pieces(archive, name, tree, member)
            yield _written(pieces, target, clean, job)


def _pieces(archive: Archive, name: str, tree: str, member: Member) -> Iterator[bytes]:
    """A file's bytes, as many as the archive says."""
    if member.kind == "hard link":
        with open(os.path.join(tree, os.path.normpath(member.target)), "rb") as made:
            while data := made.read(MIB):
                yield data
        return
    left = member.size
    with damaged(name, member.name):
        for data in archive.pieces(member):
            left -= len(data)
            if left < 0:
                break
            yield data
    if left != 0:
        found = "longer" if left < 0 else "shorter"
        raise SourceError(f"{name}: member {member.name!r} is {found} than the archive says.")


def _written(pieces: Iterator[bytes], target: str, clean: str, job: Job) -> Entry:
    total, size = hashlib.sha256(), 0
    with open(target, "xb") as file:
        for data in pieces:
            job.check()
            total.update(data)
            file.write(data)
            size += len(data)
    return Entry(clean, size, {"sha256": total.hexdigest()})
