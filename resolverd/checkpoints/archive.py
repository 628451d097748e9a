"""Unpacks what fairseq2 0.8.1 would unpack: ``*.zip``, and plain tar files whatever their name.

Members that lead out of the folder, that are devices, or that unpack to more than the limits allow
refuse the whole archive, by name; nothing of a refused archive is left.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from resolverd.checkpoints.eviction import occupied
from resolverd.checkpoints.job import Job
from resolverd.checkpoints.limits import MIB, Limits
from resolverd.checkpoints.manifest import Entry
from resolverd.errors import SourceError

_SPARE = 64 * MIB


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    size: int
    kind: str
    target: str
    token: zipfile.ZipInfo | tarfile.TarInfo


def is_archive(path: str, name: str) -> bool:
    """Whether fairseq2 would unpack this file.

    Raises:
        SourceError: When it would try, and fail: a compressed tar.
    """
    if name.endswith(".zip"):
        return True
    try:
        with tarfile.open(path, "r:") as tar:
            return tar.next() is not None
    except tarfile.TarError:
        pass
    except OSError as error:
        if error.errno != errno.EINVAL:  # Python 3.10 seeks to -1 in a file that begins with zeros
            raise
    if name.endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz", ".tar.zst")):
        raise SourceError(
            f"{name}: fairseq2 unpacks zip and plain tar only: publish it as one of these."
        )
    return False


def unpack(path: str, name: str, tree: str, limits: Limits, job: Job) -> tuple[Entry, ...]:
    """Unpack an archive into a folder that does not exist yet.

    Returns:
        The files, with their digests.

    Raises:
        SourceError: When the archive is damaged or refused; the folder is gone again.
    """
    os.mkdir(tree)
    try:
        entries = tuple(_unpacked(path, name, tree, limits, job))
        _refuse_what_came_out(tree, name, entries)
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        EOFError,
        KeyError,
        NotImplementedError,
        ValueError,
        RuntimeError,
    ) as error:
        shutil.rmtree(tree, ignore_errors=True)
        raise SourceError(f"{name}: can't be unpacked: {error}.") from error
    except BaseException:
        shutil.rmtree(tree, ignore_errors=True)
        raise
    return entries


def unpacked_size(path: str, name: str, limits: Limits) -> int:
    """Bytes the archive may take once unpacked; 0 when it can't be read, or will be refused."""
    try:
        with _opened(path, name) as archive:
            sizes = [member.size for member in _members(archive)]
            allowed = sum(sizes) <= os.path.getsize(path) * limits.archive_ratio + _SPARE
            return sum(map(occupied, sizes)) if allowed else 0
    except (SourceError, zipfile.BadZipFile, tarfile.TarError, EOFError, OSError):
        return 0


def _opened(path: str, name: str) -> zipfile.ZipFile | tarfile.TarFile:
    return zipfile.ZipFile(path) if name.endswith(".zip") else tarfile.open(path, "r:")


def _unpacked(path: str, name: str, tree: str, limits: Limits, job: Job) -> Iterator[Entry]:
    room = os.path.getsize(path) * limits.archive_ratio + _SPARE
    seen: dict[str, str] = {}
    with _opened(path, name) as archive:
        for count, member in enumerate(_members(archive)):
            job.check()
            clean = _checked(member, name, seen)
            room -= member.size
            if room < 0 or count >= limits.archive_files:
                raise SourceError(
                    f"{name}: member {member.name!r} unpacks to more than is allowed."
                )
            seen[clean] = member.kind
            target = os.path.join(tree, clean)
            os.makedirs(
                target if member.kind == "folder" else os.path.dirname(target), exist_ok=True
            )
            if member.kind == "link":
                os.symlink(member.target, target)
            elif member.kind == "file":
                with _stream(archive, member) as stream:
                    yield _written(stream, target, clean, member, job)


def _checked(member: _Member, name: str, seen: dict[str, str]) -> str:
    """The member's path below the folder, if it is one that may be made."""
    clean = os.path.normpath(member.name)
    parts = member.name.replace("\\", "/").split("/")
    reason = None
    if member.name.startswith("/") or ".." in parts or "\0" in member.name:
        reason = "leads out of the archive"
    elif member.kind == "other":
        reason = "is neither a file, a folder nor a link"
    elif clean == "." and member.kind != "folder":
        reason = "has no name"
    elif seen.get(clean, member.kind) != "folder" or (clean in seen and member.kind != "folder"):
        reason = "is there twice" if clean in seen else None
    if reason is None and any(seen.get(above, "folder") != "folder" for above in _above(clean)):
        reason = "lies behind a link or a file"
    if reason is not None:
        raise SourceError(f"{name}: member {member.name!r} {reason}: refused.")
    return clean


def _above(path: str) -> Iterator[str]:
    while path := os.path.dirname(path):
        yield path


def _written(stream: IO[bytes], target: str, clean: str, member: _Member, job: Job) -> Entry:
    total, size = hashlib.sha256(), 0
    with open(target, "xb") as file:
        while data := stream.read(MIB):
            size += len(data)
            if size > member.size:
                raise SourceError(
                    f"member {member.name!r} is longer than the archive says: refused."
                )
            job.check()
            total.update(data)
            file.write(data)
    if size != member.size:
        raise SourceError(f"member {member.name!r} is shorter than the archive says: refused.")
    return Entry(clean, size, {"sha256": total.hexdigest()})


def _members(archive: zipfile.ZipFile | tarfile.TarFile) -> Iterator[_Member]:
    if isinstance(archive, zipfile.ZipFile):
        for info in archive.infolist():
            kind = "folder" if info.is_dir() else "file"
            if stat.S_IFMT(info.external_attr >> 16) in {
                stat.S_IFBLK,
                stat.S_IFCHR,
                stat.S_IFIFO,
                stat.S_IFLNK,
            }:
                kind = "other"
            yield _Member(info.filename, info.file_size, kind, "", info)
        return
    for item in archive:
        kind = "folder" if item.isdir() else "link" if item.issym() else "other"
        if item.isreg() or item.islnk():
            kind = "file"
        size = item.size
        if item.islnk():
            size = archive.getmember(item.linkname).size
        yield _Member(item.name, size, kind, item.linkname, item)


def _stream(archive: zipfile.ZipFile | tarfile.TarFile, member: _Member) -> IO[bytes]:
    if isinstance(archive, zipfile.ZipFile):
        assert isinstance(member.token, zipfile.ZipInfo)  # noqa: S101
        return archive.open(member.token)
    assert isinstance(member.token, tarfile.TarInfo)  # noqa: S101
    found = archive.extractfile(member.token)
    if found is None:
        raise SourceError(f"member {member.name!r} has no content: refused.")
    return found


def _refuse_what_came_out(tree: str, name: str, entries: tuple[Entry, ...]) -> None:
    """Only now can it be seen where links lead, through all other links."""
    if not entries:
        raise SourceError(f"{name}: the archive holds no file.")
    root = os.path.realpath(tree)
    for folder, folders, files in os.walk(tree):
        for entry in folders + files:
            path = os.path.join(folder, entry)
            if os.path.islink(path) and not os.path.realpath(path).startswith(root + os.sep):
                raise SourceError(
                    f"{name}: member {os.path.relpath(path, tree)!r} links out: refused."
                )
