"""The answer to ``status``: what an operator asks first."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from resolverd.cards.catalogue import StoreCards, problems, served
from resolverd.cards.problems import Problem
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
        clients: Number of open connections.
        identity: ``version``, ``socket``, ``environment``.
        warnings: What is wrong with the daemon itself, one sentence each.
        prefetch: How far what is fetched unasked is.
    """

    catalogue: Catalogue
    watching: Callable[[], Mapping[str, Mapping[str, Any]]]
    checkpoints: Callable[[], Awaitable[Mapping[str, Any]]]
    clients: Callable[[], int]
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

    async def status(self, call: Call) -> object:
        """Answer the whole state as one map."""
        sources = self._sources
        state = sources.catalogue.state
        watching = sources.watching()
        found = state.index.problems
        return {
            **sources.identity(),
            "pid": os.getpid(),
            "uptime": time.monotonic() - self._start,
            "generation": state.snapshot.generation,
            "cards": len(state.snapshot.index.cards),
            "stores": [_store(s, watching.get(key, {})) for key, s in state.stores.items()],
            "problem_count": len(found),
            "problems": [_problem(problem) for problem in found[:MOST_PROBLEMS]],
            "warnings": sources.warnings(),
            "clients": sources.clients(),
            "checkpoints": dict(await sources.checkpoints()),
            "prefetch": dict(sources.prefetch()),
        }


def _store(store: StoreCards, watching: Mapping[str, Any]) -> dict[str, Any]:
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
        **watching,
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {**asdict(problem), "text": str(problem)}
