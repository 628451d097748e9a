"""Tells a file that can't be whole by its own structure, whatever a digest says.

A truncated safetensors file or a ``.pt`` without its zip directory would fail in every job that
loads it; here it fails once, with a reason. What the format's own readers refuse is refused.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Iterator
from typing import Any

from resolverd.checkpoints.archive import zips
from resolverd.checkpoints.archive.members import damaged
from resolverd.errors import SourceError

_HEADER_MOST = 100_000_000  # the bound of the safetensors format itself

_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
"""Bits of an element, of the types that are known; of others the shape can't be checked."""


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


class _DoubledError(ValueError):
    """A JSON object has one key twice."""


def _safetensors(path: str) -> str | None:
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_HEADER_MOST, size - 8):
            return f"is no whole safetensors file: {size} bytes can't hold its header"
        header = file.read(length)
    if not header.startswith(b"{"):
        return "is no safetensors file: its header does not begin with '{'"
    try:
        tensors = json.loads(header, object_pairs_hook=_once)
        return _tensors_fault(tensors, size, 8 + length)
    except _DoubledError as error:
        return f"has a safetensors header that names {error.args[0]!r} twice"
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return "is no safetensors file: its header can't be read"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, said in pairs:
        if name in made:
            raise _DoubledError(name)
        made[name] = said
    return made


def _tensors_fault(tensors: dict[str, Any], size: int, data: int) -> str | None:
    """The tensors must fill the file from ``data`` on, without gap or overlap."""
    end = 0
    for low, high, name, tensor in sorted(_spans(tensors), key=lambda span: span[:2]):
        if low != end or high < low:
            what = "overlaps another" if low < end else "leaves a gap before it"
            return f"has a safetensors header in which the tensor {name!r} {what}"
        if not _fills(tensor, high - low):
            return f"has a safetensors header in which {name!r} has not the bytes of its shape"
        end = high
    if data + end != size:
        return f"has {size} bytes, its safetensors header tells of {data + end}"
    return None


def _spans(tensors: dict[str, Any]) -> Iterator[tuple[int, int, str, dict[str, Any]]]:
    for name, tensor in tensors.items():
        if name != "__metadata__":
            low, high = tensor["data_offsets"]
            yield _whole(low), _whole(high), name, tensor


def _fills(tensor: dict[str, Any], size: int) -> bool:
    bits = _BITS.get(tensor["dtype"])
    return bits is None or math.prod(map(_whole, tensor["shape"])) * bits == size * 8


def _whole(number: object) -> int:
    if type(number) is not int or number < 0:
        raise ValueError
    return number


def _torch(path: str) -> str | None:
    """Since 1.6 torch writes zip files; what begins as one must also end as one."""
    with open(path, "rb") as file:
        begins = file.read(4) == b"PK\x03\x04"
    if not begins:
        return None
    try:
        with damaged("its zip"), zips.opened(path) as archive:
            bad = next((member for member in archive.members() if member.fault), None)
    except SourceError:
        return "is cut short or damaged: the directory at the end of its zip can't be read"
    return f"is damaged: in its zip {bad.name!r} {bad.fault}" if bad else None
