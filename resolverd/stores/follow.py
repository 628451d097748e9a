"""Follows one store: looks where hints point, and scans it whole when the time comes.

One thread at a time works for a store, so that a file system that hangs stops no other store.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from resolverd.cards.file import StoreChange

from .status import StoreStatus, WatchStatus

if TYPE_CHECKING:
    from .scan import Identity
    from .settings import WatchSettings
    from .tracked import TrackedStore

T = TypeVar("T")

_UNSETTLED_STEP = 0.002
_LOST_AFTER = 0.5
_POLLED_REST = 4
"""A polled store rests at least so many times as long as its scan took: servers are shared."""


@dataclass(frozen=True, slots=True)
class Places:
    """What is to be watched for one store: its directories, and names that lead to its roots."""

    directories: dict[str, Identity]
    names: frozenset[str]


class Follower:
    """Keeps one store's picture up to date.

    Attributes:
        scanned: Set once the first scan is done.
        go: To be set once the first report of all stores has been made.
        places: What to watch; empty for a polled store.
        moved: Called when ``places`` has changed.
        lost: Called when events are found to have been lost.
        watched: Whether events are coming in.
    """

    def __init__(
        self,
        tracked: TrackedStore,
        settings: WatchSettings,
        say: Callable[[StoreChange], Awaitable[None]],
        status: WatchStatus,
    ) -> None:
        self.scanned = anyio.Event()
        self.go = anyio.Event()
        self.places = Places({}, frozenset())
        self.moved: Callable[[], None] = _nothing
        self.lost: Callable[[], None] = _nothing
        self.watched = False
        self._tracked = tracked
        self._settings = settings
        self._say = say
        self._status = status
        self._thread = anyio.CapacityLimiter(1)
        self._hints: set[str] = set()
        self._everything = False
        self._wake = anyio.Event()
        self._outcome: StoreChange | None = None
        self._next_scan = 0.0
        self._rested = 0.0
        self._layout = -1
        self._line = StoreStatus(tracked.store.source)
        self._show()

    def hint(self, path: str) -> None:
        """Have a path looked at, when it concerns this store."""
        if self._tracked.covers(path):
            self._hints.add(path)
            self._wake.set()

    def hint_everything(self) -> None:
        """Have the whole store looked at."""
        self._everything = True
        self._wake.set()

    def first(self, patience: float) -> StoreChange | None:
        """Take the complete report, or say why there is none yet."""
        if self.scanned.is_set():
            change, self._outcome = self._outcome, None
            return change
        reason = f"its file system has not answered for {patience:g} s"
        return StoreChange(self._tracked.store.source, "error", reason)

    async def run(self) -> None:
        """Scan, then look again for ever."""
        self._outcome = await self._scan(hinted=True)
        self.scanned.set()
        await self.go.wait()
        late, self._outcome = self._outcome, None
        if late is not None:
            await self._say(late)
        while True:
            await self._pause()
            change = await self._turn()
            if change is not None:
                await self._say(change)

    async def _pause(self) -> None:
        until = self._next_scan
        now = time.monotonic()
        if self._tracked.contents.unsettled:
            until = min(until, now + _UNSETTLED_STEP)
        with anyio.move_on_after(max(0.0, until - now)):
            await self._wake.wait()
            if self._everything:  # a storm of events must not make scans follow each other
                await anyio.sleep(max(0.0, self._rested - time.monotonic()))

    async def _turn(self) -> StoreChange | None:
        hints, self._hints = self._hints, set()
        everything, self._everything = self._everything, False
        self._wake = anyio.Event()
        self._line = replace(self._line, hints=self._line.hints + len(hints))
        if everything or time.monotonic() >= self._next_scan:
            return await self._scan(hinted=everything or bool(hints))
        hints |= self._tracked.contents.unsettled.keys()
        return await self._in_thread(lambda: self._tracked.look(hints)) if hints else None

    async def _scan(self, *, hinted: bool) -> StoreChange | None:
        tracked = self._tracked
        lost_after = _LOST_AFTER if self.watched and not hinted else None
        recovered = tracked.recovered

        def timed() -> tuple[StoreChange | None, float]:
            start = time.thread_time()
            return tracked.scan(lost_after), time.thread_time() - start

        start = time.monotonic()
        change, cost = await self._in_thread(timed)
        self._schedule(time.monotonic() - start, cost)
        if tracked.recovered > recovered:
            self.lost()
        return change

    def _schedule(self, took: float, cost: float) -> None:
        """Only work in vain sets the pace: what a scan read has to be read once anyway."""
        settings, polled = self._settings, self._tracked.polled is not None
        rest = self._tracked.stat_cost / settings.scan_share
        if polled:
            rest = max(settings.poll_interval, rest, _POLLED_REST * took)
        else:
            rest = max(settings.scan_interval, rest)
        self._rested = time.monotonic() + self._tracked.stat_cost
        self._next_scan = time.monotonic() + rest
        self._line = replace(
            self._line,
            scans=self._line.scans + 1,
            scan_seconds=took,
            scan_cpu_seconds=cost,
            next_scan_seconds=rest,
        )
        self._show()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        self._line = replace(self._line, asked=time.monotonic())
        self._show()
        result = await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._thread)
        self._line = replace(self._line, asked=None)
        self._show()
        if self._tracked.layout != self._layout:
            self._layout = self._tracked.layout
            self._move()
        return result

    def _move(self) -> None:
        """Publish what to watch; copied, since the thread changes its own in place."""
        if self._tracked.polled is not None:
            self.places, self.watched = Places({}, frozenset()), False
        else:
            self.places = Places(dict(self._tracked.tree.directories), self._tracked.root.names)
        self.moved()

    def _show(self) -> None:
        tracked = self._tracked
        self._line = replace(
            self._line,
            state=tracked.root.state,
            reason=tracked.root.reason,
            polled=tracked.polled,
            root=tracked.root.paths[0] if tracked.root.paths else None,
            files=len(tracked.contents.files),
            directories=len(tracked.tree.directories),
            unsettled=len(tracked.contents.unsettled),
            recoveries=tracked.recovered,
        )
        self._status.stores[tracked.store.source] = self._line


def _nothing() -> None:
    pass
