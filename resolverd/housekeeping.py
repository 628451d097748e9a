"""Joins requests about the cache to the checkpoint engine, and objects to the cards' names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from resolverd_client.errors import AssetNotFoundError

from resolverd.fetching import place_of, translated
from resolverd.owners import Owners
from resolverd.serving.cache_requests import Named
from resolverd.serving.targets import Asset

if TYPE_CHECKING:
    from resolverd.checkpoints.holdings import Holding, Holdings

Names = Mapping[str, tuple[Asset, ...]]


class Housekeeping:
    """The cache as requests about it see it.

    Args:
        holdings: Gives what the cache holds, once the engine is there.
        owners: Knows which cards lead to an asset.
        shown: Gives a URI without what may be secret in it.
    """

    def __init__(
        self,
        holdings: Callable[[], Awaitable[Holdings]],
        owners: Owners,
        shown: Callable[[str], str],
    ) -> None:
        self._holdings = holdings
        self._owners = owners
        self.shown = shown

    async def everything(self) -> list[dict[str, Any]]:
        """Tell of everything that takes room, with the names that lead to it."""
        holdings = await self._holdings()
        names = await self._names()
        found = await anyio.to_thread.run_sync(holdings.all)
        return [self._row(holding, names) for holding in found]

    async def pin(self, named: Sequence[Named]) -> list[dict[str, Any]]:
        """Pin assets and objects; an asset need not be in the cache yet."""
        holdings = await self._holdings()
        there = await anyio.to_thread.run_sync(holdings.keys)
        for each in named:
            if each.key is not None and each.key not in there:
                raise AssetNotFoundError(f"the cache has no object {each.key!r:.80}.")
        with translated():
            await holdings.pin([(_place(each), each.what) for each in named])
        return [{"target": each.what, "key": each.key} for each in named]

    async def unpin(self, named: Sequence[Named]) -> list[dict[str, Any]]:
        """Remove pins; tells of each whether there was one."""
        holdings = await self._holdings()
        with translated():
            found = await holdings.unpin([_place(each) for each in named])
        return [
            {"target": each.what, "key": each.key, "found": pinned}
            for each, pinned in zip(named, found, strict=True)
        ]

    async def remove(self, named: Sequence[Named], *, force: bool) -> list[dict[str, Any]]:
        """Remove what nothing holds; one row for each thing found, or why nothing was."""
        holdings = await self._holdings()
        names = await self._names()
        with translated():
            found = await holdings.remove([_place(each) for each in named], force=force)
        rows = []
        for each, outcomes in zip(named, found, strict=True):
            for holding, reason in outcomes:
                rows.append(
                    {
                        **self._row(holding, names),
                        "target": each.what,
                        "removed": not reason,
                        "reason": reason or None,
                    }
                )
            if not outcomes:
                reason = "nothing of it is in the cache"
                rows.append({"target": each.what, "key": None, "removed": False, "reason": reason})
        return rows

    async def collect(self, to: int | None, *, dry_run: bool) -> list[dict[str, Any]]:
        """Clean up; gives what was removed, or would be."""
        holdings = await self._holdings()
        names = await self._names()
        with translated():
            found = await holdings.collect(to, dry_run=dry_run)
        return [self._row(holding, names) for holding in found]

    async def _names(self) -> Names:
        return await anyio.to_thread.run_sync(self._owners.all)

    def _row(self, holding: Holding, names: Names) -> dict[str, Any]:
        owners = names.get(holding.asset, ())
        row = asdict(holding)
        row["uri"] = row["uri"] or next((self.shown(owner.uri) for owner in owners), "")
        row["names"] = sorted({owner.name for owner in owners if owner.name})
        return row


def _place(named: Named) -> str:
    return place_of(named.asset) if named.asset is not None else str(named.key)
