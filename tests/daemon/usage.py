"""How many bytes a cache takes at one moment, as seen from outside."""

from __future__ import annotations

import os
from pathlib import Path

FOLDERS = ("objects", "partial", "quarantine", "evicted")


def seen(cache: Path) -> dict[int, int]:
    """Sizes of checkpoint data by inode; journals, of a few KiB, aside."""
    found = {}
    for folder in FOLDERS:
        for place, _, names in os.walk(cache / folder):
            for name in names:
                try:
                    status = os.stat(os.path.join(place, name))
                except FileNotFoundError:
                    continue
                if not name.startswith("journal-"):
                    found[status.st_ino] = status.st_size
    return found


def used(cache: Path) -> int:
    """Bytes that were surely there at one moment: between two looks that both saw them.

    One look takes a while, in which one file may go and another come.
    """
    first, second = seen(cache), seen(cache)
    return sum(min(size, second.get(inode, 0)) for inode, size in first.items())
