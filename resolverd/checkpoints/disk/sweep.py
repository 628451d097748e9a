"""What a start finds of earlier runs: removed, unless it can be resumed or is published."""

from __future__ import annotations

import os

from resolverd.checkpoints import leases
from resolverd.checkpoints.asset import manifest as manifests
from resolverd.checkpoints.disk import hub
from resolverd.checkpoints.disk.durable import remove_tree, unlink
from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.disk.links import drop_links
from resolverd.checkpoints.disk.objects import current
from resolverd.checkpoints.disk.partial import prune
from resolverd.checkpoints.disk.quarantine import Finding, quarantine
from resolverd.checkpoints.limits import Limits


def sweep(layout: Layout, limits: Limits, now: float) -> None:
    """Remove what a crash left behind; keep what can be resumed, and all that is published."""
    for key in _names(layout, "evicted"):
        remove_tree(layout.evicted(key))
    for key in _names(layout, "objects"):
        set_aside_unknown(layout, key, limits)
    _sweep_strays(layout, set(_names(layout, "objects")))
    for asset in _names(layout, "assets"):
        if current(layout, asset) is None:
            unlink(layout.link(asset))
    hub.arrange_all(layout)
    for asset in _names(layout, "partial"):
        prune(layout, asset, limits, now)


def _sweep_strays(layout: Layout, objects: set[str]) -> None:
    """Remove what speaks of objects that are not there, and what was never put in place."""
    for name in _names(layout, "manifests"):
        if name.removesuffix(".json") not in objects:
            unlink(os.path.join(layout.folder("manifests"), name))
    for folder in ("assets", "manifests", "trust", "pins"):
        for name in _names(layout, folder):
            if name.endswith(".new"):
                unlink(os.path.join(layout.folder(folder), name))
    for key in set(_names(layout, "locks")) - objects:
        _drop_lock(layout, key)


def set_aside_unknown(layout: Layout, key: str, limits: Limits) -> None:
    """Quarantine an object of which nothing can be known; while it is leased, it stays in place.

    One whose manifest has another format is left to the version of resolverd that wrote it.
    """
    there = os.path.isdir(layout.object(key))
    if not there or not manifests.is_damaged(_manifest(layout, key)):
        return
    held = leases.exclude(layout.lock(key))
    if held is None:
        return
    try:
        drop_links(layout, key)
        finding = Finding(key.partition("-")[0], "", "its manifest is missing or damaged")
        quarantine(layout, layout.object(key), finding, limits)
        unlink(layout.manifest(key))
    finally:
        os.close(held)


def _manifest(layout: Layout, key: str) -> bytes:
    try:
        with open(layout.manifest(key), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _drop_lock(layout: Layout, key: str) -> None:
    if key == "owner":
        return
    held = leases.exclude(layout.lock(key))
    if held is not None:
        unlink(layout.lock(key))
        os.close(held)


def _names(layout: Layout, folder: str) -> list[str]:
    return os.listdir(layout.folder(folder))
