"""What a start finds of earlier runs: removed, unless it can be resumed or is published."""

from __future__ import annotations

import os
import shutil

from resolverd.checkpoints import leases
from resolverd.checkpoints.disk.durable import unlink
from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.disk.objects import current
from resolverd.checkpoints.disk.partial import prune
from resolverd.checkpoints.limits import Limits


def sweep(layout: Layout, limits: Limits, now: float) -> None:
    """Remove what a crash left behind; keep what can be resumed, and all that is published."""
    known = {
        name.removesuffix(".json") for name in _names(layout, "manifests") if name.endswith(".json")
    }
    objects = set(_names(layout, "objects"))
    for key in objects - known:
        shutil.rmtree(layout.object(key), ignore_errors=True)
    for key in known - objects:
        unlink(layout.manifest(key))
    for folder in ("assets", "manifests", "trust"):
        for name in _names(layout, folder):
            if name.endswith(".new"):
                unlink(os.path.join(layout.folder(folder), name))
    for asset in _names(layout, "assets"):
        if current(layout, asset) is None:
            unlink(layout.link(asset))
    for key in set(_names(layout, "locks")) - (known & objects):
        _drop_lock(layout, key)
    for asset in _names(layout, "partial"):
        prune(layout, asset, limits, now)


def _drop_lock(layout: Layout, key: str) -> None:
    if key == "owner":
        return
    held = leases.exclude(layout.lock(key))
    if held is not None:
        unlink(layout.lock(key))
        os.close(held)


def _names(layout: Layout, folder: str) -> list[str]:
    return os.listdir(layout.folder(folder))
