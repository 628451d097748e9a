"""Keeps the cache within its bounds, at every moment: room is claimed before it is used.

One for each cache, in the worker, which alone writes there. What is published, unpacked, on its way
or in quarantine counts; the few KiB of manifests, journals and locks do not.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from resolverd.checkpoints import disk, leases
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.limits import MIB, Limits
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.space import eviction
from resolverd.checkpoints.space.eviction import Item, Need, Refusal
from resolverd.errors import CacheError

logger = logging.getLogger("resolverd.checkpoints.space.room")

_STEP = 64 * MIB
_ROUNDS = 64
_LOOK_EVERY = 1.0


class Room:
    """The cache's bytes: who has claimed how many, and what gives way for more.

    Args:
        layout: The cache.
        limits: Its bounds; replaced when the configuration is read again.
        evicted: Told of everything that was removed.
    """

    def __init__(
        self, layout: Layout, limits: Limits, evicted: Callable[[Item], object] = bool
    ) -> None:
        self.limits = limits
        self._evicted = evicted
        self._layout = layout
        self._lock = threading.RLock()
        self._freed = threading.Condition(self._lock)
        self._busy: Counter[str] = Counter()
        self._waiting: set[str] = set()
        self._over = False
        self._claims: dict[str, int] = {}
        self._sizes: dict[tuple[str, str], int] | None = None

    @contextmanager
    def working(self, asset: str) -> Iterator[None]:
        """While in the block, nothing of the asset gives way; at its end its claim does."""
        with self._lock:
            self._busy[asset] += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy[asset] -= 1
                if not self._busy[asset]:
                    del self._busy[asset]
                    self._claims.pop(asset, None)
                    disk.prune(self._layout, asset, self.limits, time.time())
                    self._measure_again(asset)
                    self._freed.notify_all()

    def claim(self, asset: str, total: int, job: Job, *, grows: bool = False) -> None:
        """Make room for a download; wait for others to end, where that will make it.

        Args:
            asset: What is being fetched.
            total: Bytes that it takes in all, what is there of it already included.
            job: To be told of waiting, and to be stopped by.
            grows: Whether more will be asked for soon; some is then claimed ahead, where it is
                free.

        Raises:
            CacheError: There is no room, and none can be made.
        """
        with self._lock:
            if total <= self._claims.get(asset, 0):
                return
            ahead = total + _STEP
            if grows and self._need(asset, ahead).short <= 0:
                total = ahead
            while (refusal := self._make_room(asset, total)) is not None:
                self._stand_by(asset, refusal, job)
            self._claims[asset] = total

    def _stand_by(self, asset: str, refusal: Refusal, job: Job) -> None:
        """Wait until another job has ended.

        Raises:
            CacheError: Nobody whose end would help goes on: the refusal stands.
        """
        going_on = self._busy.keys() - self._waiting - {asset}
        if not (refusal.may_pass and going_on):
            raise CacheError(refusal.text)
        self._waiting.add(asset)
        try:
            with job.standing_by(), job.stopping(self._look_again):
                self._freed.wait(_LOOK_EVERY)
                job.check()
        finally:
            self._waiting.discard(asset)

    def _look_again(self) -> None:
        with self._lock:
            self._freed.notify_all()

    def fit(self) -> None:
        """Evict down to the quota, as far as what is held allows it; forget stale downloads."""
        with self._lock:
            for asset in disk.partials(self._layout):
                if asset not in self._busy:
                    disk.prune(self._layout, asset, self.limits, time.time())
                    self._measure_again(asset)
            quota = self.limits.max_bytes
            if quota is None or self._used() <= quota:
                return
            for item in eviction.order(self._items()):
                if self._used() <= quota:
                    return
                self._evict(item)
            over = self._used() > quota
            if over and not self._over:
                logger.warning(
                    "%s holds %d bytes, more than cache.max_bytes (%d): what is left is leased, "
                    "pinned or being worked on",
                    self._layout.root,
                    self._used(),
                    quota,
                )
            self._over = over

    def remove(self, name: str, *, force: bool = False) -> list[tuple[Item, str]]:
        """Remove what an operator names.

        Args:
            name: An object's key; or an asset, for all its versions and its unfinished download.
            force: Also what is pinned; its pins stay, but for those of an object that is gone.

        Returns:
            What was found, each with the reason why it stays; an empty one once it is gone.
        """
        with self._lock:
            found = [item for item in self._items() if _names(name, item)]
            return [(item, self._removed(item, force=force)) for item in found]

    def collect(self, to: int | None, *, dry_run: bool) -> list[Item]:
        """Clean up; see :func:`resolverd.checkpoints.space.eviction.collect`.

        Returns:
            What was removed; with ``dry_run`` what would be.
        """
        with self._lock:
            chosen = eviction.collect(self._items(), to, self.limits.max_bytes)
            return [item for item in chosen if dry_run or self._evict(item)]

    def reopen(self, key: str) -> bool:
        """Have leases on an object be given again, whoever kept them out; tells whether one did."""
        with self._lock:
            return leases.reopen(self._layout.lock(key))

    def pin(self, name: str, shown: str, now: float) -> None:
        """Pin an asset or an object: once this returns, it does not give way."""
        with self._lock:
            disk.pin(self._layout, name, shown, now)

    def unpin(self, name: str) -> bool:
        """Remove a pin; tells whether there was one."""
        with self._lock:
            return disk.unpin(self._layout, name)

    def _removed(self, item: Item, *, force: bool) -> str:
        reason = replace(item, pinned=item.pinned and not force).held
        if reason is None and not self._evict(item):
            reason = replace(item, leased=True).held  # since a moment ago
        if reason is None and force:
            disk.unpin(self._layout, item.name)
        return reason or ""

    def _make_room(self, asset: str, total: int) -> Refusal | None:
        for _ in range(_ROUNDS):  # each evicts something, or is the last
            need = self._need(asset, total)
            if need.short <= 0:
                return None
            items = [each for each in self._items() if (each.kind, each.name) != _partial(asset)]
            need = self._need(asset, total)
            chosen = eviction.choose(items, need.short)
            if chosen is None:
                return eviction.refusal(self._layout.root, need, items)
            for item in chosen:
                self._evict(item)
        raise CacheError(f"{self._layout.root}: no room: others use it up as fast as it is made.")

    def _need(self, asset: str, total: int) -> Need:
        own = _partial(asset)
        sizes = self._known()
        coming = sum(
            max(0, claim - self._allocated(other))
            for other, claim in self._claims.items()
            if other != asset
        )
        return Need(
            total=total,
            others=self._used() - max(sizes.get(own, 0), self._claims.get(asset, 0)),
            free=disk.free_bytes(self._layout) - coming,
            more=total - self._allocated(asset),
            quota=self.limits.max_bytes,
            keep=self.limits.min_free_bytes,
        )

    def _allocated(self, asset: str) -> int:
        folder = self._layout.partial(asset)
        return disk.allocated(folder, disk.kept_at_hand(folder))

    def _used(self) -> int:
        """Bytes that count: what is there, and what is claimed beyond that."""
        sizes = self._known()
        ahead = (
            max(0, claim - sizes.get(_partial(asset), 0)) for asset, claim in self._claims.items()
        )
        return sum(sizes.values()) + sum(ahead)

    def _known(self) -> dict[tuple[str, str], int]:
        if self._sizes is None:
            self._items()
        assert self._sizes is not None  # noqa: S101  # just listed
        return self._sizes

    def _items(self) -> list[Item]:
        """List the cache, claims included, and take in what is really there."""
        found = disk.inventory(self._layout, self._busy.keys() | self._claims.keys())
        partials = {item.name for item in found if item.kind == "partial"}
        unseen = self._claims.keys() - partials
        items = [
            replace(item, size=max(item.size, self._claims.get(item.name, 0)))
            if item.kind == "partial"
            else item
            for item in found
        ]
        items += [
            Item("partial", name, name, self._claims[name], 0.0, busy=True) for name in unseen
        ]
        self._sizes = {(item.kind, item.name): item.size for item in items}
        return items

    def _evict(self, item: Item) -> bool:
        if item.kind == "object":
            gone = disk.evict(self._layout, item.name)
        elif item.kind == "partial":
            disk.discard(self._layout, item.name)
            gone = True
        else:
            folder = os.path.join(self._layout.folder("quarantine"), item.name)
            shutil.rmtree(folder, ignore_errors=True)
            gone = True
        if gone:
            self._known().pop((item.kind, item.name), None)
            self._measure_again(item.asset)  # what it shared with other versions is now theirs
            logger.debug("evicted %s %s, %d bytes", item.kind, item.name, item.size)
            self._evicted(item)
        return gone

    def _measure_again(self, asset: str) -> None:
        """Take in what a job has left of its asset."""
        if self._sizes is None:
            return
        kept = {key: size for key, size in self._sizes.items() if not _is_of(key, asset)}
        self._sizes = kept | {
            (item.kind, item.name): item.size for item in disk.inventory(self._layout, only=asset)
        }


def _partial(asset: str) -> tuple[str, str]:
    return "partial", asset


def _names(name: str, item: Item) -> bool:
    return item.name == name or (item.asset == name and item.kind != "quarantine")


def _is_of(key: tuple[str, str], asset: str) -> bool:
    kind, name = key
    return kind == "quarantine" or name.partition("-")[0] == asset
