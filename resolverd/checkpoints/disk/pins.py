"""Pins: what an operator wants to stay, whatever room is needed. One small file each.

A pin of an asset holds for whatever version its link leads to, also for one that is fetched later;
a pin of an object for that object alone.
"""

from __future__ import annotations

import json
import os

from resolverd.checkpoints.disk.durable import sync_folder, unlink, write
from resolverd.checkpoints.disk.layout import Layout


def pins(layout: Layout) -> frozenset[str]:
    """Assets and keys that are pinned."""
    try:
        names = os.listdir(layout.folder("pins"))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    return frozenset(name for name in names if not name.endswith(".new"))


def pin(layout: Layout, name: str, shown: str, now: float) -> None:
    """Pin an asset or an object, durably.

    Args:
        layout: The cache.
        name: The asset, or the object's key.
        shown: What the operator called it, without secrets.
        now: Seconds since the epoch.
    """
    write(layout.pin(name), json.dumps({"what": shown, "time": now}).encode())


def pinned_as(layout: Layout, name: str) -> str:
    """What the operator called a pinned thing; empty when nothing tells."""
    try:
        with open(layout.pin(name), encoding="utf-8") as file:
            return str(json.load(file)["what"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def unpin(layout: Layout, name: str) -> bool:
    """Remove a pin, durably; tells whether there was one."""
    there = os.path.exists(layout.pin(name))
    unlink(layout.pin(name))
    sync_folder(layout.folder("pins"))
    return there
