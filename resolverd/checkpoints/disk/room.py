"""Room on the cache's file system."""

from __future__ import annotations

import os

from resolverd.checkpoints import plan
from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.limits import Limits
from resolverd.errors import CacheError


def refuse_no_room(layout: Layout, needed: int, limits: Limits) -> None:
    """Refuse to write what would leave less room than must stay.

    Raises:
        CacheError: With the figures, and what can be done.
    """
    free = _free_bytes(layout.root)
    if not plan.keeps_room(free, needed, limits):
        raise CacheError(
            f"{layout.root}: no room: {needed:,} bytes are needed, {free:,} are free, of "
            f"which {limits.min_free_bytes:,} must stay so. Free some, set cache.dir to a "
            "larger file system, or lower cache.min_free_bytes."
        )


def allocated(path: str) -> int:
    """Bytes a file occupies already; 0 when there is none."""
    try:
        return os.stat(path).st_blocks * 512
    except OSError:
        return 0


def _free_bytes(path: str) -> int:
    """What the user may still write on the file system of ``path``."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize
