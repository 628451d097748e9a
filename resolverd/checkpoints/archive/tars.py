"""Members of a tar file."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from resolverd.checkpoints.archive.members import Bounded, Kind, Member
from resolverd.checkpoints.limits import MIB

_HEADER_MOST = 4 * MIB  # of one member: names, extended headers, the map of a sparse file
_TAKEN = tarfile.BLOCKSIZE


class Tar:
    """An open tar file, without compression, as fairseq2 reads it."""

    def __init__(self, file: Bounded) -> None:
        self._file = file
        self._tar: Any = tarfile.TarFile(fileobj=file, mode="r")

    def members(self) -> Iterator[Member]:
        """Every member; a file that was cut off between two of them is damaged, not shorter."""
        tar = self._tar
        while True:
            self._file.renew()
            item = tar.next()
            if item is None:
                break
            yield _member(item)
            tar.members.clear()  # there may be a million
            if sum(len(key) + len(said) for key, said in tar.pax_headers.items()) > _HEADER_MOST:
                raise tarfile.ReadError("headers for all members that are larger than any real one")
        self._file.renew()
        self._file.seek(tar.offset)
        if self._file.read(_TAKEN) != bytes(_TAKEN):
            raise tarfile.ReadError("it is cut off or damaged: no mark is where its end should be")

    def pieces(self, member: Member) -> Iterator[bytes]:
        """The bytes of a file; the holes of a sparse one as zeros."""
        stream = self._tar.extractfile(member.token)
        while stream is not None:
            self._file.renew()
            if not (data := stream.read(MIB)):
                return
            yield data


@contextmanager
def opened(path: str) -> Iterator[Tar]:
    """Open a tar file.

    Raises:
        tarfile.TarError: When it is none.
    """
    with Bounded(path, _HEADER_MOST) as file:
        yield Tar(file)


def _member(item: tarfile.TarInfo) -> Member:
    kind: Kind = "other"
    if item.isreg():
        kind = "file"
    elif item.isdir():
        kind = "folder"
    elif item.issym():
        kind = "link"
    elif item.islnk():
        kind = "hard link"
    size = item.size if kind == "file" else 0
    return Member(item.name, kind, size, item.linkname, token=item)
