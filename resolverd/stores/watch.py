"""Watches stores for ever: first a complete report of all of them, then what changes.

Events only say where to look; a full stat scan, as often as a small share of a core allows, bounds
what the kernel loses silently. Nothing here raises for what is found on disk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import anyio

from resolverd.cards.file import Stamp, StoreChange
from resolverd.errors import StoreError

from .eyes import Eyes
from .follow import Follower
from .settings import WatchSettings
from .status import WatchStatus
from .tracked import TrackedStore

if TYPE_CHECKING:
    from resolverd.cards.store import Store

Report = Callable[[Sequence[StoreChange]], Awaitable[None]]


async def watch(
    stores: Sequence[Store],
    known: Mapping[str, Mapping[str, Stamp]],
    report: Report,
    settings: WatchSettings = WatchSettings(),  # noqa: B008 (frozen)
    *,
    devices: Mapping[str, int] | None = None,
    status: WatchStatus | None = None,
) -> None:
    """Report every store completely in one call, then every change; runs until cancelled.

    Args:
        stores: The stores, each with its own source text.
        known: By source, the stamps of the files that are already known: these are not read.
        report: Awaited with what changed, one call at a time; what happens meanwhile is gathered
            for the next call.
        settings: Paces and bounds.
        devices: By source, the device number that a store's root had when it was last good.
        status: Filled in place, for people.

    Raises:
        StoreError: Two stores have the same source text.
    """
    if len({store.source for store in stores}) < len(stores):
        raise StoreError("the same store is listed twice")
    status = status if status is not None else WatchStatus()
    status.stores.clear()
    reports = Reports(report)
    followers = [
        Follower(
            TrackedStore(
                store, settings, known.get(store.source, {}), (devices or {}).get(store.source)
            ),
            settings,
            reports.one,
            status,
        )
        for store in stores
    ]
    async with anyio.create_task_group() as group:
        for follower in followers:
            group.start_soon(follower.run)
        await reports.first(followers, settings.start_patience)
        await Eyes(followers, settings, status).run()


class Reports:
    """One report at a time, the complete one first."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._lock = anyio.Lock()

    async def first(self, followers: Sequence[Follower], patience: float) -> None:
        """Report all stores at once, those that do not answer in time as unreachable."""
        with anyio.move_on_after(patience):
            for follower in followers:
                await follower.scanned.wait()
        changes = [follower.first(patience) for follower in followers]
        await self._report([change for change in changes if change is not None])
        for follower in followers:
            follower.go.set()

    async def one(self, change: StoreChange) -> None:
        """Report one store, once all have been reported."""
        async with self._lock:
            await self._report((change,))
