"""The answer to ``status``: what an operator asks first."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import anyio
import anyio.to_thread

from resolverd.cards.catalogue import StoreCards, problems, served
from resolverd.cards.problems import Problem
from resolverd.cards.published import Published
from resolverd.serving.call import Call
from resolverd.serving.card_requests import Catalogue

MOST_PROBLEMS = 1000
"""Problems that one answer lists; ``problem_count`` tells how many there are."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the parts of the answer come from.

    Attributes:
        catalogue: The published cards.
        watching: How each store is seen, by source text: ``mode``, ``why``, ``last_scan``, ...
        checkpoints: State of the cache and of downloads.
        traffic: Who is connected, and what was asked since the start.
        identity: ``version``, ``socket``, ``environment``.
        warnings: What is wrong with the daemon itself, one sentence each.
        prefetch: How far what is fetched unasked is.
    """

    catalogue: Catalogue
    watching: Callable[[], Mapping[str, Mapping[str, Any]]]
    checkpoints: Callable[[], Awaitable[Mapping[str, Any]]]
    traffic: Callable[[], Mapping[str, Any]]
    identity: Callable[[], Mapping[str, Any]]
    warnings: Callable[[], list[str]]
    prefetch: Callable[[], Mapping[str, Any]]


class StatusRequest:
    """Answers ``status``.

    Args:
        sources: Where the parts come from.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._start = time.monotonic()
        self._told: tuple[Published, dict[str, Any]] | None = None
        # Of its own: whatever other requests wait for, the state can be asked for
        self._thread = anyio.CapacityLimiter(1)

    async def status(self, call: Call) -> object:
        """Answer the whole state as one map."""
        return await self.state()

    async def state(self) -> dict[str, Any]:
        """Give what ``status`` answers."""
        sources = self._sources
        served_now = await self._served_now(sources.catalogue.state)
        watching = sources.watching()
        return {
            **sources.identity(),
            "pid": os.getpid(),
            "uptime": time.monotonic() - self._start,
            **served_now,
            "stores": [{**s, **watching.get(s["source"], {})} for s in served_now["stores"]],
            "warnings": sources.warnings(),
            **sources.traffic(),
            "checkpoints": dict(await sources.checkpoints()),
            "prefetch": dict(sources.prefetch()),
        }

    async def _served_now(self, state: Published) -> dict[str, Any]:
        """Tell about the served state, which is gone through once: it never changes."""
        if self._told is None or self._told[0] is not state:
            told = await anyio.to_thread.run_sync(_served, state, limiter=self._thread)
            self._told = (state, told)
        return self._told[1]


def _served(state: Published) -> dict[str, Any]:
    found = state.index.problems
    return {
        "generation": state.snapshot.generation,
        "cards": len(state.snapshot.index.cards),
        "stores": [_store(store) for store in state.stores.values()],
        "problem_count": len(found),
        "severities": dict(Counter(problem.severity for problem in found)),
        "problems": [_problem(problem) for problem in found[:MOST_PROBLEMS]],
    }


def _store(store: StoreCards) -> dict[str, Any]:
    cards = list(served(store))
    return {
        "source": store.store.source,
        "location": store.store.location,
        "optional": store.store.optional,
        "state": store.state,
        "reason": store.reason,
        "root": store.root,
        "files": len(store.files),
        "cards": len(cards),
        "stale": sum(card.stale is not None for card in cards),
        "problems": sum(1 for _ in problems(store)),
        "mode": None,
        "why": None,
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {**asdict(problem), "text": str(problem)}
