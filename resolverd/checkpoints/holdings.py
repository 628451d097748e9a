"""The cache as an operator sees it: what it holds, and what is to be kept, from the daemon's side.

Reading is small reads of the disk; whatever changes the cache is the worker's to do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anyio.to_thread

from resolverd.checkpoints import disk
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.process.link import Link
from resolverd.checkpoints.space import eviction
from resolverd.checkpoints.space.eviction import Item


@dataclass(frozen=True, slots=True)
class Holding:
    """One thing in the cache.

    Attributes:
        key: The object's key; of an unfinished download its asset, of what is in quarantine the
            name of its folder there.
        asset: Whose it is: what requests for the same URI share.
        state: ``published``, ``superseded`` (by a newer version), ``partial``, ``quarantined``, or
            ``absent``: only pinned.
        uri: Where it came from, without secrets; empty where nothing tells.
        kind: ``model``, ``tokenizer`` or ``dataset``; empty where nothing tells.
        size: Bytes it takes.
        trust: On whose word it was verified; empty for what was not.
        used: When it was last asked for, in seconds since the epoch.
        verified: When its bytes were last hashed; None for what is not published.
        leased: Whether a process holds a lease on it.
        pinned: Whether it is pinned.
    """

    key: str
    asset: str
    state: str
    uri: str
    kind: str
    size: int
    trust: str
    used: float
    verified: float | None
    leased: bool
    pinned: bool


class Holdings:
    """What the cache holds.

    Args:
        layout: The cache.
        link: To the worker.
    """

    def __init__(self, layout: Layout, link: Link) -> None:
        self._layout = layout
        self._link = link

    def all(self) -> list[Holding]:
        """List everything, pins of what is not there too. Reads the disk: call it in a thread."""
        found = [_holding(self._layout, item) for item in disk.inventory(self._layout)]
        there = {name for each in found if each.pinned for name in (each.key, each.asset)}
        absent = sorted(disk.pins(self._layout) - there)
        return found + [_absent(self._layout, name) for name in absent]

    def totals(self) -> dict[str, Any]:
        """Add up what there is. Reads the disk: call it in a thread.

        Returns:
            ``objects``, their number; ``bytes``, what the cache takes in all, and of these
            ``leased_bytes``, ``pinned_bytes`` (and not leased), ``partial_bytes`` (unfinished
            downloads) and ``quarantine_bytes``; ``verified``, when an object was last found right,
            and ``verified_first``, when that was of the one that waits longest (seconds since the
            epoch, or None).
        """
        items = disk.inventory(self._layout)
        found = eviction.totals(items)
        keys = [item.name for item in items if item.kind == "object"]
        times = [then for key in keys if (then := disk.verified_at(self._layout, key)) is not None]
        return {
            "objects": len(keys),
            "bytes": found.used,
            "leased_bytes": found.leased,
            "pinned_bytes": found.pinned,
            "partial_bytes": sum(item.size for item in items if item.kind == "partial"),
            "quarantine_bytes": found.quarantine,
            "verified": max(times, default=None),
            "verified_first": min(times, default=None),
        }

    def keys(self) -> frozenset[str]:
        """The keys of published objects."""
        return frozenset(disk.listed(self._layout.folder("objects")))

    async def pin(self, names: Sequence[tuple[str, str]]) -> None:
        """Pin assets or objects.

        Args:
            names: Each with what the operator called it, without secrets.

        Raises:
            CacheError: The cache can't be written.
        """
        await self._call("pin", {"names": [list(pair) for pair in names]})

    async def unpin(self, names: Sequence[str]) -> list[bool]:
        """Remove pins; tells of each name whether there was one."""
        result = await self._call("unpin", {"names": list(names)})
        return list(result["found"])

    async def remove(self, names: Sequence[str], *, force: bool) -> list[list[tuple[Holding, str]]]:
        """Remove objects, or all of an asset; of each name what was found, and why it stays."""
        before = await self._by_key()
        result = await self._call("remove", {"names": list(names), "force": force})
        return [
            [(before[row["name"]], row["reason"]) for row in rows if row["name"] in before]
            for rows in result["rows"]
        ]

    async def collect(self, to: int | None, *, dry_run: bool) -> list[Holding]:
        """Clean up; see :func:`resolverd.checkpoints.space.eviction.collect`."""
        before = await self._by_key()
        result = await self._call("collect", {"to": to, "dry_run": dry_run})
        return [before[row["name"]] for row in result["rows"] if row["name"] in before]

    async def _by_key(self) -> dict[str, Holding]:
        return {holding.key: holding for holding in await anyio.to_thread.run_sync(self.all)}

    async def _call(self, verb: str, params: dict[str, Any]) -> dict[str, Any]:
        return await self._link.call(verb, params, lambda _: None)


def _holding(layout: Layout, item: Item) -> Holding:
    manifest = disk.read_manifest(layout, item.name) if item.kind == "object" else None
    states = {"object": "published" if item.current else "superseded", "partial": "partial"}
    return Holding(
        key=item.name,
        asset=item.asset,
        state=states.get(item.kind, "quarantined"),
        uri=manifest.uri if manifest else _reported(layout, item),
        kind=manifest.kind if manifest else "",
        size=item.size,
        trust=manifest.trust if manifest else "",
        used=item.used,
        verified=disk.verified_at(layout, item.name) if manifest else None,
        leased=item.leased,
        pinned=item.pinned,
    )


def _absent(layout: Layout, name: str) -> Holding:
    what = disk.pinned_as(layout, name)
    asset = name.partition("-")[0]
    return Holding(name, asset, "absent", what, "", 0, "", 0.0, None, leased=False, pinned=True)


def _reported(layout: Layout, item: Item) -> str:
    """Where something in quarantine came from, by the report beside it."""
    if item.kind != "quarantine":
        return ""
    try:
        path = os.path.join(layout.folder("quarantine"), item.name, "report.json")
        with open(path, encoding="utf-8") as file:
            return str(json.load(file)["uri"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
