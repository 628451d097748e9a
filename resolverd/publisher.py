"""Turns what the stores report into generations that clients see, and keeps the last good state.

One report becomes at most one generation: files are parsed and the index is built in a thread, then
one reference is swapped on the event loop. Nothing here reads a store or a socket.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import anyio
import anyio.to_thread

from resolverd.cards.card import Codec
from resolverd.cards.catalogue import StoreCards, apply
from resolverd.cards.file import StoreChange
from resolverd.cards.index import Index, build
from resolverd.cards.problems import Problem
from resolverd.cards.snapshot import Diff, Snapshot, diff, publish
from resolverd.cards.store import Store

log = logging.getLogger(__name__)

Subscriber = Callable[[Snapshot, Diff], None]


@dataclass(frozen=True, slots=True)
class Published:
    """All that is served at one moment.

    Attributes:
        stores: Cards of each store, by source text, in order of precedence.
        index: Which card has which name, and every problem.
        snapshot: The generation that clients see; its index may be older than ``index`` when only
            problems have changed since.
    """

    stores: Mapping[str, StoreCards]
    index: Index
    snapshot: Snapshot


class Publisher:
    """Holds the published state and replaces it when a report changes it.

    Args:
        stores: The stores in order of precedence.
        codec: Packs and unpacks the values of cards.
        restored: Cards that an earlier run has kept, by source text.
    """

    def __init__(
        self, stores: Sequence[Store], codec: Codec, restored: Mapping[str, StoreCards]
    ) -> None:
        self._codec = codec
        self._subscribers: set[Subscriber] = set()
        self._turn = anyio.Lock()
        cards = {s.source: restored.get(s.source) or StoreCards(s) for s in stores}
        index = build(cards.values())
        self.state = Published(cards, index, publish(None, index))

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have a function called after each new generation, on the event loop.

        Returns:
            A function that ends the subscription.
        """
        self._subscribers.add(subscriber)
        return lambda: self._subscribers.discard(subscriber)

    async def report(self, changes: Sequence[StoreChange]) -> None:
        """Take in what has changed in the stores; publish a generation if content did."""
        async with self._turn:
            old = self.state
            new = await anyio.to_thread.run_sync(_absorb, old, changes, self._codec)
            self.state = new
        _tell_problems(old.index.problems, new.index.problems)
        if new.snapshot is not old.snapshot:
            self._announce(old.snapshot, new.snapshot)

    def _announce(self, old: Snapshot, new: Snapshot) -> None:
        what = diff(old, new)
        log.info(
            "generation %d: %d added, %d changed, %d removed, %d stale, %d cards in all",
            new.generation, len(what.added), len(what.changed), len(what.removed),
            len(what.stale), len(new.index.cards),
        )  # fmt: skip
        for subscriber in tuple(self._subscribers):
            subscriber(new, what)


def _absorb(old: Published, changes: Iterable[StoreChange], codec: Codec) -> Published:
    stores = dict(old.stores)
    for change in changes:
        if change.source in stores:
            stores[change.source] = apply(stores[change.source], change, codec)
    index = build(stores.values())
    return Published(stores, index, publish(old.snapshot, index))


def _tell_problems(old: Iterable[Problem], new: Iterable[Problem]) -> None:
    """Log each problem once when it appears and once when it is gone."""
    before, now = dict.fromkeys(old), dict.fromkeys(new)
    for problem in now:
        if problem not in before:
            log.warning("%s", problem)
    for problem in before:
        if problem not in now:
            log.info("mended: %s: %s", problem.path, problem.reason)
