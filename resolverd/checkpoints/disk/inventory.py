"""Everything in the cache that takes room, as it is now."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator
from functools import lru_cache

from resolverd.checkpoints import leases
from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.disk.pins import pins
from resolverd.checkpoints.disk.records import read_manifest
from resolverd.checkpoints.disk.room import kept_at_hand, listed, measured
from resolverd.checkpoints.space.eviction import Item, occupied


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


def _objects(layout: Layout, busy: Collection[str], keys: list[str]) -> Iterator[Item]:
    pinned = pins(layout)
    current = {key for key in keys if _leads_to(layout, _asset(key)) in {key, None}}
    sizes = _sizes(layout, keys, current)
    for key in keys:
        yield Item(
            kind="object",
            name=key,
            asset=_asset(key),
            size=sizes[key],
            used=_time(layout.lock(key)),
            current=key in current,
            leased=leases.held(layout.lock(key)),
            pinned=key in pinned or (key in current and _asset(key) in pinned),
            busy=_asset(key) in busy,
        )


def _sizes(layout: Layout, keys: list[str], current: Collection[str]) -> dict[str, int]:
    """What each object takes; a file that versions share counts for the one that is current."""
    versions = defaultdict(list)
    for key in keys:
        versions[_asset(key)].append(key)
    sizes = {}
    for group in versions.values():
        seen: set[int] = set()
        for key in sorted(group, key=lambda key: key not in current):
            size = _declared(layout, key) if len(group) == 1 else None
            sizes[key] = measured(layout.object(key), seen) if size is None else size
    return sizes


def _declared(layout: Layout, key: str) -> int | None:
    """What an object takes by its manifest; None when that is missing or damaged."""
    try:
        status = os.stat(layout.manifest(key))
    except OSError:
        return None
    return _read(layout.root, key, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1 << 14)
def _read(root: str, key: str, _written: int, _length: int) -> int | None:
    """Read a manifest once for each time that it was written: the cache is listed often."""
    manifest = read_manifest(Layout(root), key)
    return None if manifest is None else sum(occupied(entry.size) for entry in manifest.files)


def _partials(layout: Layout, busy: Collection[str], assets: list[str]) -> Iterator[Item]:
    for asset in assets:
        folder = layout.partial(asset)
        size = measured(folder, kept_at_hand(folder))
        yield Item("partial", asset, asset, size, _newest(folder), busy=asset in busy)


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


def _asset(key: str) -> str:
    return key.partition("-")[0]


def _newest(folder: str) -> float:
    return max((_time(os.path.join(folder, name)) for name in listed(folder)), default=0.0)


def _time(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _names(layout: Layout, folder: str, only: str | None = None) -> list[str]:
    names = listed(layout.folder(folder))
    return sorted(name for name in names if only in {None, _asset(name)})
