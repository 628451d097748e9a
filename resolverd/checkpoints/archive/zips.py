"""Members of a zip file.

A zip describes each member twice: in the directory at its end, which is what counts, and before the
member's bytes. Programs differ in which they believe, so that the two must agree.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from resolverd.checkpoints.archive.members import Bounded, Kind, Member
from resolverd.checkpoints.limits import MIB

_DIRECTORY_MOST = 128 * MIB
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_LOCAL = struct.Struct("<4s5H3I2H")
_ENCRYPTED, _SIZES_FOLLOW, _PATCHED, _STRONG, _UTF_8 = 0x1, 0x8, 0x20, 0x40, 0x800
_IN_EXTRA = 0xFFFFFFFF  # zip64: the length is elsewhere


class Zip:
    """An open zip file."""

    def __init__(self, file: Bounded) -> None:
        self._file = file
        self._zip = zipfile.ZipFile(file)

    def members(self) -> Iterator[Member]:
        """Every member of the directory."""
        shared = self._sharing()
        for info in self._zip.infolist():
            fault = _refused(info) or self._contradicted(info)
            if info.header_offset in shared:
                fault = fault or "shares its bytes with another member"
            # What stands behind a zero byte is cut off in the other form of the name.
            name = info.orig_filename if "\0" in info.orig_filename else info.filename
            yield Member(name, _kind(info), info.file_size, "", fault, info)

    def pieces(self, member: Member) -> Iterator[bytes]:
        """The bytes of a file."""
        with self._zip.open(member.token) as stream:
            while True:
                self._file.renew()
                if not (data := stream.read(MIB)):
                    return
                yield data

    def _sharing(self) -> set[int]:
        """Where members begin that reach into the next one, or into the directory."""
        ends = sorted(
            (info.header_offset, info.header_offset + _LOCAL.size + info.compress_size)
            for info in self._zip.infolist()
        )
        last = (self._zip.start_dir, self._zip.start_dir)
        return {here[0] for here, following in pairwise([*ends, last]) if here[1] > following[0]}

    def _contradicted(self, info: zipfile.ZipInfo) -> str | None:
        """Where the header before a member's bytes says something else than the directory."""
        self._file.renew()
        self._file.seek(info.header_offset)
        head = self._file.read(_LOCAL.size)
        if len(head) < _LOCAL.size:
            return "is cut off"
        mark, _, flags, method, _, _, crc, packed, size, name_length, _ = _LOCAL.unpack(head)
        name = self._file.read(name_length)
        if mark != b"PK\x03\x04":
            return "has no header where the directory says"
        same = (flags & _ENCRYPTED, method) == (info.flag_bits & _ENCRYPTED, info.compress_type)
        if not flags & _SIZES_FOLLOW:
            same &= crc == info.CRC and _agree(packed, info.compress_size)
            same &= _agree(size, info.file_size)
        encoding = "utf-8" if info.flag_bits & _UTF_8 else "cp437"
        same &= name.decode(encoding) == info.orig_filename
        return None if same else "is described in two different ways"


@contextmanager
def opened(path: str) -> Iterator[Zip]:
    """Open a zip file.

    Raises:
        zipfile.BadZipFile: When it is none.
    """
    with Bounded(path, _DIRECTORY_MOST) as file:
        yield Zip(file)


def _agree(local: int, listed: int) -> bool:
    return local in {listed, _IN_EXTRA}


def _kind(info: zipfile.ZipInfo) -> Kind:
    form = stat.S_IFMT(info.external_attr >> 16)
    if form not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "other"  # links among them, of which fairseq2 makes files
    return "folder" if info.is_dir() else "file"


def _refused(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & (_ENCRYPTED | _STRONG):
        return "is encrypted"
    if info.flag_bits & _PATCHED or info.compress_type not in _METHODS:
        return f"is packed by method {info.compress_type}, which is not read here"
    if info.is_dir() and info.file_size:
        return "is a folder with bytes of its own"
    return None
