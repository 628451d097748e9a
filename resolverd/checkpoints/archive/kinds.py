"""What fairseq2 0.8.1 takes for an archive: by name a zip, by content a tar."""

from __future__ import annotations

import bz2
import errno
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable

from resolverd.checkpoints.archive.members import damaged
from resolverd.checkpoints.archive.tars import opened
from resolverd.checkpoints.limits import MIB
from resolverd.errors import SourceError

_PACKED_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")
_LZMA_MEMORY = 128 * MIB

_UNPACKERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": lambda data: zlib.decompressobj(31).decompress(data, tarfile.BLOCKSIZE),
    b"BZh": lambda data: bz2.BZ2Decompressor().decompress(data, tarfile.BLOCKSIZE),
    b"\xfd7zXZ": lambda data: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY).decompress(
        data, tarfile.BLOCKSIZE
    ),
}


def is_archive(path: str, name: str) -> bool:
    """Whether fairseq2 would unpack this file.

    Raises:
        SourceError: When it would try, and fail: a compressed tar, whatever its name.
    """
    if os.path.splitext(name)[1] == ".zip":
        return True
    if _is_tar(path, name):
        return True
    if name.endswith(_PACKED_TARS) or _is_packed_tar(path):
        raise SourceError(
            f"{name}: is a compressed tar; fairseq2 unpacks zip and plain tar only: publish it as "
            "one of these."
        )
    return False


def _is_tar(path: str, name: str) -> bool:
    with damaged(name):
        try:
            with opened(path) as tar:
                return next(tar.members(), None) is not None
        except tarfile.TarError:
            return False
        except OSError as error:
            # Python 3.10 seeks to -1 in a file that begins with zeros.
            if error.errno != errno.EINVAL:
                raise
            return False


def _is_packed_tar(path: str) -> bool:
    with open(path, "rb") as file:
        data = file.read(MIB)  # one block of bzip2 is smaller
    for magic, unpacked in _UNPACKERS.items():
        if data.startswith(magic):
            try:
                tarfile.TarInfo.frombuf(unpacked(data), "utf-8", "surrogateescape")
            except (tarfile.HeaderError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError):
                return False
            return True
    return False
