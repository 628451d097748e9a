"""Many who ask for the same thing share one download, which ends when the last of them leaves."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import anyio
import anyio.abc

from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.process import messages
from resolverd.checkpoints.results import Listener, Progress, Published
from resolverd.errors import CacheError, ResolverdError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for; requests that agree in it share a flight.

    Attributes:
        wanted: What.
        refresh: Ask the origin for a new version, though there is one here.
        force: Fetch it again in any case.
    """

    wanted: Wanted
    refresh: bool = False
    force: bool = False

    @property
    def identity(self) -> object:
        """What makes two orders one flight."""
        return self.wanted.identity, self.refresh, self.force


@dataclass(eq=False, slots=True)
class Flight:
    """One download and everyone who waits for it."""

    order: Order
    last: Progress
    listeners: list[Listener | None] = field(default_factory=list)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ended: anyio.Event = field(default_factory=anyio.Event)
    result: Published | None = None
    error: Exception | None = None

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take in what the worker says, and tell everyone."""
        self.last = messages.progressed(self.last.uri, event)
        for listener in tuple(self.listeners):
            if listener is not None:
                listener(self.last)


class Flights:
    """All flights under way.

    Args:
        fly: Does one flight's work.
    """

    def __init__(self, fly: Callable[[Flight], Awaitable[Published]]) -> None:
        self._fly = fly
        self._flights: dict[object, Flight] = {}
        self._started = anyio.Event()
        self._group: anyio.abc.TaskGroup | None = None

    def __len__(self) -> int:
        return len(self._flights)

    def begin(self, group: anyio.abc.TaskGroup) -> None:
        """Fly in ``group`` from now on; who asked before has waited for this."""
        self._group = group
        self._started.set()

    def end(self) -> None:
        """Refuse who asks from now on."""
        self._group = None

    async def join(self, order: Order, progress: Listener | None) -> Published:
        """Wait for the flight that brings this, which begins now unless it is under way.

        Raises:
            ResolverdError: What went wrong with it.
        """
        await self._started.wait()
        key = order.identity
        flight = self._flights.get(key) or self._take_off(order)
        flight.listeners.append(progress)
        try:
            if progress is not None:
                progress(flight.last)
            await flight.ended.wait()
        finally:
            flight.listeners.remove(progress)
            if not flight.listeners and not flight.ended.is_set():
                self._flights.pop(key, None)  # who asks from now on starts anew
                flight.scope.cancel()
        if flight.error is not None:
            raise flight.error
        assert flight.result is not None  # noqa: S101  # it ended, and without an error
        return replace(flight.result, kind=order.wanted.kind)

    def status(self) -> list[dict[str, Any]]:
        """What an operator wants to know of each."""
        return [
            {**asdict(flight.last), "requesters": len(flight.listeners)}
            for flight in tuple(self._flights.values())
        ]

    def _take_off(self, order: Order) -> Flight:
        if self._group is None:
            raise CacheError("resolverd is stopping: ask again once it runs.")
        flight = Flight(order, Progress(order.wanted.shown, 0, None, 0.0, "waiting"))
        self._flights[order.identity] = flight
        self._group.start_soon(self._run, flight)
        return flight

    async def _run(self, flight: Flight) -> None:
        shown, key = flight.order.wanted.shown, flight.order.identity
        try:
            with flight.scope:
                flight.result = await self._fly(flight)
        except ResolverdError as error:
            flight.error = error
        except Exception as error:
            log.exception("fetching %s failed", shown)
            flight.error = CacheError(
                f"{shown}: {type(error).__name__}: {error}; see the daemon's log."
            )
        finally:
            if flight.result is None and flight.error is None:
                flight.error = CacheError(f"{shown}: the download was cancelled.")
            if self._flights.get(key) is flight:
                del self._flights[key]
            flight.ended.set()


class Turns:
    """One at a time for each asset: flights that differ may still share one partial folder."""

    def __init__(self) -> None:
        self._busy: dict[str, tuple[anyio.Lock, list[None]]] = {}

    @asynccontextmanager
    async def of(self, asset: str) -> AsyncIterator[None]:
        """Wait for one's turn at an asset, and keep it while in the block."""
        lock, waiting = self._busy.setdefault(asset, (anyio.Lock(), []))
        waiting.append(None)
        try:
            async with lock:
                yield
        finally:
            waiting.pop()
            if not waiting:
                del self._busy[asset]
