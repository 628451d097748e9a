"""Checkpoints for the daemon: ask for one, get the path of a verified file.

Never blocks the loop: bytes, hashes and syncs are the worker's. One download serves everyone who
asks for the same thing, and ends when the last of them leaves. What is published is answered from
the disk, without the worker.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread

from resolverd import journal
from resolverd.checkpoints import disk, leases
from resolverd.checkpoints.access import policy
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.access.rules import Readers
from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.holdings import Holdings
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.lookup import Lookup
from resolverd.checkpoints.process import messages
from resolverd.checkpoints.process.counts import Counts
from resolverd.checkpoints.process.link import Link
from resolverd.checkpoints.process.telling import Telling
from resolverd.checkpoints.restoring import Recall, Restoring
from resolverd.checkpoints.results import Lease, Listener, Progress, Published, Verdict
from resolverd.checkpoints.single_flight import Flight, Flights, Order, Turns
from resolverd.checkpoints.sources.file import located
from resolverd.errors import CacheError, ResolverdError

log = logging.getLogger(__name__)

__all__ = ["Checkpoints", "Progress", "Published", "Verdict"]


def _never(_path: str) -> bool:
    return False


def _unknown(_asset: str) -> Wanted | None:
    return None


_ASKED_MOST = 1000
"""Downloads that the worker is asked for at a time; each is a thread there, most of them wait."""


class Checkpoints:
    """The cache as the daemon sees it.

    Args:
        cache_dir: Where it is; made when it does not exist.
        limits: Bounds of downloads.
        rules: What may be read.
        is_network: Tells whether a path lies on a network file system, so that it is copied.
        recall: Gives what to ask for to have an asset again, where a card knows.

    Attributes:
        holdings: What the cache holds, for operators.
    """

    def __init__(
        self,
        cache_dir: str | os.PathLike[str],
        limits: Limits | None = None,
        rules: Policy | None = None,
        *,
        is_network: Callable[[str], bool] = _never,
        recall: Recall = _unknown,
    ) -> None:
        self._limits = limits = limits or Limits()
        self._layout = Layout(os.fspath(cache_dir))
        self._policy = _with_real_roots(rules or Policy())
        self._lookup = Lookup(self._layout, self._policy, is_network)
        self._counts = Counts()
        self._restoring = Restoring(recall, self.ensure, self._counts)
        self._link = Link(messages.configuration(self._layout, limits, self._policy), self._hear)
        self.holdings = Holdings(self._layout, self._link)
        self._flights = Flights(self._fly)
        self._turns = Turns()
        self._asked = anyio.CapacityLimiter(_ASKED_MOST)
        self._telling = Telling()
        self._hashing = anyio.CapacityLimiter(1)  # never behind downloads

    def __repr__(self) -> str:
        return f"<Checkpoints {self._layout.root} flights={len(self._flights)} {self._link!r}>"

    @property
    def problem(self) -> str | None:
        """Why the cache can't be used; None when it can."""
        return self._link.problem

    async def run(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Own the worker and all downloads, until cancelled."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._link.run)
                self._flights.begin(group)
                self._restoring.begin(group)
                task_status.started()
        finally:
            self._restoring.end()
            self._flights.end()

    async def configure(self, limits: Limits, rules: Policy) -> None:
        """Go by other bounds and rules; what is under way ends by those that it began with."""
        real = await anyio.to_thread.run_sync(_with_real_roots, rules)
        self._limits, self._policy, self._lookup.policy = limits, real, real
        await self._link.configure(messages.configuration(self._layout, limits, real))

    def check(self, wanted: Wanted) -> None:
        """Refuse what can't be fetched at all, without looking anywhere.

        Raises:
            SourceError: The scheme is not allowed, or the checksum is none.
        """
        policy.check_uri(self._policy, wanted.normal, wanted.shown)
        digest.parse_card(wanted.checksum)
        _ = wanted.asset  # which a URI that names no repository does not have

    def readers(self, wanted: Wanted) -> Readers:
        """Who may read this, as far as rules tell before it was fetched; None: everyone."""
        return policy.readers_of(self._policy, wanted.normal, private=False)

    async def ensure(
        self,
        wanted: Wanted,
        *,
        refresh: bool = False,
        force: bool = False,
        progress: Listener | None = None,
    ) -> Published:
        """Give the verified file, fetching it first where need be.

        Args:
            wanted: What.
            refresh: Ask the origin for a new version, though there is one here.
            force: Fetch it again in any case.
            progress: Told of every step, from this loop; it must not block.

        Raises:
            SourceError: The origin does not give it, or not what was promised.
            CacheError: The cache can't take it.
        """
        self.check(wanted)
        if not (refresh or force):
            found = await anyio.to_thread.run_sync(self.find, wanted, abandon_on_cancel=True)
            if found is not None:
                self._counts.hits += 1
                return found
        self._counts.misses += 1
        return await self._flights.join(Order(wanted, refresh, force), progress)

    def find(self, wanted: Wanted) -> Published | None:
        """What is there already and fits; small reads of the disk, none of the network.

        Raises:
            SourceError: For a local file that does not exist or may not be read.
        """
        return self._lookup.find(wanted)

    def lease(self, published: Published) -> Lease:
        """Protect an object from eviction.

        Raises:
            CacheError: When the object is being removed: ask for it again.
        """
        lock = self._layout.lock(published.key)
        in_place = published.key.endswith("-local")
        if in_place:  # nothing evicts it; the caller gets its descriptor
            with disk.explained(self._layout):
                leases.make(lock)
        fd = leases.take(lock)
        lease = Lease(fd, os.fstat(fd).st_size)
        # In this order: whoever withdraws an object drops its link, and then tells of it.
        if in_place or disk.leads_to(self._layout, published.key):
            return lease
        os.close(fd)
        raise CacheError(f"{published.uri}: has just been removed. Ask for it again.")

    async def hold(self, published: Published) -> Lease:
        """Protect an object from eviction, also where a client keeps others' leases out.

        Raises:
            CacheError: When the object is being removed: ask for it again.
        """
        try:
            return await anyio.to_thread.run_sync(self.lease, published)
        except leases.Locked:
            found = await self._link.call("reopen", {"key": published.key}, lambda _: None)
            if found["was_closed"]:
                log.warning("a client had locked %s: its lease holds no more", published.key)
            return await anyio.to_thread.run_sync(self.lease, published)

    async def verify(self, wanted: Wanted | None = None) -> list[Verdict]:
        """Hash published objects again: one, or all of them; bad ones are fetched again."""
        keys = await anyio.to_thread.run_sync(self._lookup.keys, wanted)
        verdicts = []
        for key in keys:
            asset = key.partition("-")[0]
            async with self._turns.of(asset), self._hashing:
                result = await self._link.call(
                    "verify", {"key": key, "asset": asset}, lambda _: None
                )
            reason = "; ".join(result["faults"])
            restoring = bool(reason) and await self._restoring.restore(result)
            verdicts.append(Verdict(key, result["uri"], not reason, reason, restoring))
        return verdicts

    @property
    def downloads(self) -> list[dict[str, Any]]:
        """What an operator wants to know of each download under way."""
        return self._flights.status()

    def _hear(self, event: str, params: dict[str, Any]) -> None:
        """Take in what the worker says unasked: what it removed, and what it has found bad."""
        if event == "evicted":
            gave_way = "%(kind)s %(name)s gave way: %(size)d bytes"
            log.info(gave_way, params, extra=journal.event("evicted", **params))
            self._counts.evictions += 1
            self._counts.evicted_bytes += params["size"]
        else:
            self._restoring.hear(event, params)

    def status(self) -> dict[str, Any]:
        """What an operator wants to know, as plain data. Lists the cache: call it in a thread."""
        return {
            "cache": self._layout.root,
            **self.holdings.totals(),
            "max_bytes": self._limits.max_bytes,
            "min_free_bytes": self._limits.min_free_bytes,
            "problem": self.problem,
            "worker": {"pid": self._link.pid, "restarts": max(0, self._link.restarts)},
            "downloads": self.downloads,
            "counts": self._counts.shown(),
        }

    async def _fly(self, flight: Flight) -> Published:
        wanted = flight.order.wanted
        copies = await anyio.to_thread.run_sync(self._lookup.copies, wanted)
        try:
            async with self._turns.of(wanted.asset):
                ready = await (self._fetch(flight) if copies else self._examine(flight))
        except ResolverdError as error:
            self._counts.failed(error)
            raise
        self._counts.verified_bytes += ready.size
        return ready

    async def _fetch(self, flight: Flight) -> Published:
        order = flight.order
        asked = messages.request(order.wanted, refresh=order.refresh, force=order.force)

        async def download() -> Published:
            hear = self._counts.metered(flight.hear)
            return messages.answered(order.wanted, await self._link.call("fetch", asked, hear))

        async with self._asked:  # the worker has slots for these
            return await self._telling.of(order.wanted, download())

    async def _examine(self, flight: Flight) -> Published:
        wanted = flight.order.wanted
        path = await anyio.to_thread.run_sync(located, wanted.local_path, self._policy)
        asked = messages.request(wanted, path=path)
        async with self._hashing:
            result = await self._link.call("examine", asked, flight.hear)
        examined = messages.answered(wanted, result)
        self._lookup.remember(wanted, result["stamp"], examined)
        return examined


def _with_real_roots(rules: Policy) -> Policy:
    if rules.file_roots is None:
        return rules
    roots = policy.resolved(os.path.realpath(root) for root in rules.file_roots)
    return replace(rules, file_roots=roots)
