"""How much room there is, and what takes it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.space.eviction import occupied


def free_bytes(layout: Layout) -> int:
    """What the user may still write on the cache's file system."""
    found = os.statvfs(layout.root)
    return found.f_bavail * found.f_frsize


def measured(folder: str, seen: set[int] | None = None) -> int:
    """Bytes that the files below a folder take; each file once, whatever its names.

    Args:
        folder: Which.
        seen: Inodes that count elsewhere; those that are counted here are added.
    """
    return sum(occupied(status.st_size) for status in _files(folder, seen))


def allocated(folder: str, seen: set[int] | None = None) -> int:
    """Bytes that the file system has given to the files below a folder by now; see above."""
    return sum(status.st_blocks * 512 for status in _files(folder, seen))


def kept_at_hand(folder: str) -> set[int]:
    """Inodes in a download's folder that are an object's own, and count there."""
    kept = (name for name in listed(folder) if name.startswith("kept-"))
    found = (_status(os.path.join(folder, name)) for name in kept)
    return {status.st_ino for status in found if status is not None}


def listed(folder: str) -> list[str]:
    """Names in a folder; none when it is gone."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files(folder: str, seen: set[int] | None) -> Iterator[os.stat_result]:
    """Files that count: not journals, of a few KiB, which come and go."""
    seen = set() if seen is None else seen
    for place, _, names in os.walk(folder):
        for name in names:
            status = None if name.startswith("journal-") else _status(os.path.join(place, name))
            if status is not None and status.st_ino not in seen:
                seen.add(status.st_ino)
                yield status


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None  # removed just now
