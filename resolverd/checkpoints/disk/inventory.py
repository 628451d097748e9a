"""Everything in the cache that takes room, as it is now."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from resolverd.checkpoints import leases
from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.disk.pins import pins
from resolverd.checkpoints.disk.records import read_manifest
from resolverd.checkpoints.disk.room import measured
from resolverd.checkpoints.eviction import Item, occupied


def inventory(layout: Layout, busy: Collection[str] = (), only: str | None = None) -> list[Item]:
    """List what takes room.

    Args:
        layout: The cache.
        busy: Assets that are being worked on.
        only: An asset whose objects and download alone are wanted; quarantine is listed whole.
    """
    return [
        *_objects(layout, busy, _names(layout, "objects", only)),
        *_partials(layout, busy, _names(layout, "partial", only)),
        *_quarantined(layout),
    ]


def object_size(layout: Layout, key: str) -> int:
    """Bytes that an object takes."""
    manifest = read_manifest(layout, key)
    if manifest is None:
        return measured(layout.object(key))
    return sum(occupied(entry.size) for entry in manifest.files)


def _objects(layout: Layout, busy: Collection[str], keys: list[str]) -> Iterator[Item]:
    pinned = pins(layout)
    for key in keys:
        asset = key.partition("-")[0]
        current = _leads_to(layout, asset) in {key, None}
        yield Item(
            kind="object",
            name=key,
            asset=asset,
            size=object_size(layout, key),
            used=_time(layout.lock(key)),
            current=current,
            leased=leases.held(layout.lock(key)),
            pinned=key in pinned or (current and asset in pinned),
            busy=asset in busy,
        )


def _partials(layout: Layout, busy: Collection[str], assets: list[str]) -> Iterator[Item]:
    for asset in assets:
        folder = layout.partial(asset)
        yield Item("partial", asset, asset, measured(folder), _newest(folder), busy=asset in busy)


def _quarantined(layout: Layout) -> Iterator[Item]:
    for name in _names(layout, "quarantine"):
        folder = os.path.join(layout.folder("quarantine"), name)
        yield Item("quarantine", name, name.partition("-")[2], measured(folder), _time(folder))


def _leads_to(layout: Layout, asset: str) -> str | None:
    """The object that an asset's link leads to; None when there is no link."""
    try:
        return os.path.basename(os.readlink(layout.link(asset)))
    except OSError:
        return None


def _newest(folder: str) -> float:
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return max((_time(os.path.join(folder, name)) for name in names), default=0.0)


def _time(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _names(layout: Layout, folder: str, only: str | None = None) -> list[str]:
    try:
        names = os.listdir(layout.folder(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if only in {None, name.partition("-")[0]})
