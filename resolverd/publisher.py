"""Holds what is served, and replaces it when the stores report a change.

One report becomes at most one generation: files are parsed and the index is built in a thread, then
one reference is swapped on the event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import anyio
import anyio.to_thread

from resolverd.cards.card import Codec
from resolverd.cards.file import StoreChange
from resolverd.cards.problems import Problem, appeared
from resolverd.cards.published import Published, absorb, rearranged
from resolverd.cards.snapshot import Diff, Snapshot, diff
from resolverd.cards.store import Store
from resolverd.journal import event

log = logging.getLogger(__name__)

MOST_LINES = 50  # of one report: a store of broken cards must not flood the journal

Subscriber = Callable[[Snapshot, Diff], None]


class Publisher:
    """The one place where the served state changes.

    Args:
        state: What is served at first.
        codec: Packs the values of cards.
    """

    def __init__(self, state: Published, codec: Codec) -> None:
        self.state = state
        self._codec = codec
        self._subscribers: list[Subscriber] = []
        self._turn = anyio.Lock()
        # A thread of its own: requests that hang on a dead mount must not stop the reload
        self._thread = anyio.CapacityLimiter(1)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have a function called after each new generation, on the event loop, in order.

        Returns:
            A function that ends the subscription.
        """
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    async def report(self, changes: Sequence[StoreChange]) -> None:
        """Take in what has changed in the stores; publish a generation if content did."""
        async with self._turn:
            old = self.state
            new = await anyio.to_thread.run_sync(
                absorb, old, changes, self._codec, limiter=self._thread
            )
            self.state = new
        _tell_problems(old.index.problems, new.index.problems)
        if new.snapshot is not old.snapshot:
            self._announce(old.snapshot, new.snapshot)

    async def serve(self, stores: Sequence[Store], *, renew: bool) -> None:
        """Serve another list of stores from now on; what is known of those that stay is kept.

        Args:
            stores: In order of precedence.
            renew: Whether to make a new generation even if no card is another.
        """
        async with self._turn:
            old = self.state
            new = partial(rearranged, old, stores, renew=renew)
            self.state = await anyio.to_thread.run_sync(new, limiter=self._thread)
        _tell_problems(old.index.problems, self.state.index.problems)
        if self.state.snapshot is not old.snapshot:
            self._announce(old.snapshot, self.state.snapshot)

    def _announce(self, old: Snapshot, new: Snapshot) -> None:
        what = diff(old, new)
        counts = {
            "added": len(what.added),
            "changed": len(what.changed),
            "removed": len(what.removed),
            "stale": len(what.stale),
        }
        log.info(
            "generation %d: %s, %d cards in all",
            new.generation,
            ", ".join(f"{count} {kind}" for kind, count in counts.items()),
            len(new.index.cards),
            extra=event("generation", number=new.generation, cards=len(new.index.cards), **counts),
        )
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(new, what)
            except Exception:  # noqa: PERF203 -- there are few, and each must be told
                log.exception("a subscriber of changes failed")


def _tell_problems(old: Sequence[Problem], new: Sequence[Problem]) -> None:
    """Log each problem once when it appears and once when it is gone."""
    if old == new:
        return
    _tell(logging.WARNING, "problem", [(str(each), each) for each in appeared(old, new)])
    gone = [
        (f"mended: {replace(each, remedy='', line=None, document=None)}", each)
        for each in appeared(new, old)
    ]
    _tell(logging.INFO, "mended", gone)


def _tell(level: int, name: str, lines: Sequence[tuple[str, Problem]]) -> None:
    for text, each in lines[:MOST_LINES]:
        found = {"code": each.code, "store": each.store, "path": each.path, "card": each.name}
        log.log(level, "%s", text, extra=event(name, line=each.line, **found))
    if len(lines) > MOST_LINES:
        log.log(level, "and %d more; see 'resolverctl status'", len(lines) - MOST_LINES)
