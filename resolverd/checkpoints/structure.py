"""Tells a file that can't be whole by its own structure, whatever a digest says.

A truncated safetensors file or a ``.pt`` without its zip directory would fail in every job that
loads it; here it fails once, with a reason.
"""

from __future__ import annotations

import json
import os
import zipfile

_HEADER_MOST = 100 << 20  # the bound of the safetensors format itself


def fault(path: str, name: str) -> str | None:
    """What is wrong with the file's structure, or None when nothing is known against it.

    Args:
        path: Where the bytes are.
        name: The name they go by, whose ending tells the format.
    """
    ending = os.path.splitext(name)[1].lower()
    if ending == ".safetensors":
        return _safetensors(path)
    if ending == ".zip":
        return None if zipfile.is_zipfile(path) else "is no zip archive: its directory is missing"
    if ending in {".pt", ".pth"}:
        return _torch(path)
    return None


def _safetensors(path: str) -> str | None:
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_HEADER_MOST, size - 8):
            return f"is no whole safetensors file: {size} bytes can't hold its header"
        header = file.read(length)
    try:
        ends = [
            int(tensor["data_offsets"][1])
            for name, tensor in json.loads(header).items()
            if name != "__metadata__"
        ]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return "is no safetensors file: its header can't be read"
    whole = 8 + length + max(ends, default=0)
    return None if whole == size else f"has {size} bytes, its safetensors header tells of {whole}"


def _torch(path: str) -> str | None:
    """Since 1.6 torch writes zip files; what begins as one must also end as one."""
    with open(path, "rb") as file:
        begins = file.read(4) == b"PK\x03\x04"
    if begins and not zipfile.is_zipfile(path):
        return "is cut short: the directory at the end of its zip is missing"
    return None
