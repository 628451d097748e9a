"""How much room there is, and what takes it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.eviction import occupied


def free_bytes(layout: Layout) -> int:
    """What the user may still write on the cache's file system."""
    found = os.statvfs(layout.root)
    return found.f_bavail * found.f_frsize


def measured(folder: str) -> int:
    """Bytes that the files below a folder take; each file once, whatever its names."""
    return sum(occupied(status.st_size) for status in _files(folder))


def allocated(folder: str) -> int:
    """Bytes that the file system has given to the files below a folder by now."""
    return sum(status.st_blocks * 512 for status in _files(folder))


def _files(folder: str) -> Iterator[os.stat_result]:
    seen = set()
    for place, _, names in os.walk(folder):
        for name in names:
            if name.startswith("journal-"):
                continue  # a few KiB, which come and go
            try:
                status = os.lstat(os.path.join(place, name))
            except OSError:
                continue  # removed just now
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                yield status
