"""Tells a set of safetensors shards that is not whole, by the index that belongs to it.

``*.safetensors.index.json`` names the shard of every tensor. A shard that is missing, or lacks a
tensor that the index promises, would fail in every job, minutes after its start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping

INDEX = ".safetensors.index.json"
"""How the name of an index ends."""

_INDEX_MOST = 64 << 20
_HEADER_MOST = 100 << 20  # the bound of the safetensors format itself


def gap(folder: str, names: Iterable[str]) -> str | None:
    """What a set of files lacks, or None when no index misses anything.

    Args:
        folder: Where the files are.
        names: Their paths below it.
    """
    there = set(names)
    for name in sorted(there):
        if name.endswith(INDEX) and (lack := _lack(folder, name, there)):
            return f"{name} {lack}"
    return None


def _lack(folder: str, name: str, there: set[str]) -> str | None:
    shards = _shards(os.path.join(folder, name))
    if shards is None:
        return "is no index of safetensors shards: it has no readable weight_map"
    beside = os.path.dirname(name)
    for shard, tensors in sorted(shards.items()):
        path = os.path.normpath(os.path.join(beside, shard))
        if path not in there:
            return f"names the shard {shard!r}, which is not there"
        missing = tensors - _tensors(os.path.join(folder, path))
        if missing:
            return f"promises the tensor {min(missing)!r} in {shard!r}, which does not hold it"
    return None


def _shards(path: str) -> Mapping[str, set[str]] | None:
    """The tensors that an index promises, by shard; None when it can't be read."""
    found: dict[str, set[str]] = {}
    try:
        with open(path, "rb") as file:
            raw = json.loads(file.read(_INDEX_MOST))
        for tensor, shard in raw["weight_map"].items():
            found.setdefault(str(shard), set()).add(str(tensor))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return found


def _tensors(path: str) -> set[str]:
    """The tensors of a shard, whose header was found sound before."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(min(length, _HEADER_MOST)))
        except (ValueError, RecursionError):
            return set()
    return set(header) if isinstance(header, dict) else set()
