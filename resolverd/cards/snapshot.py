"""What clients see at one moment, numbered; a number changes only when content does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resolverd.cards.card import Card
from resolverd.cards.index import Index


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One generation.

    Attributes:
        generation: Counts up from 1.
        index: Its cards; their line numbers, and the problems, may be of an earlier moment.
    """

    generation: int
    index: Index


@dataclass(frozen=True, slots=True)
class Diff:
    """How two generations differ, by canonical names, each sorted.

    Attributes:
        added: Names that are new.
        changed: Names whose content, store or staleness is another now, but for those in ``stale``.
        removed: Names that are gone.
        stale: Names that have become stale.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.stale)


def publish(previous: Snapshot | None, index: Index) -> Snapshot:
    """Make the next generation, if there is anything new in it.

    Args:
        previous: What is served now; None at the start.
        index: What should be served.

    Returns:
        ``previous`` itself when no content has changed.
    """
    if previous is None:
        return Snapshot(1, index)
    if not _differ(previous.index.cards, index.cards) and not _hidden_differ(previous.index, index):
        return previous
    return Snapshot(previous.generation + 1, index)


def diff(old: Snapshot, new: Snapshot) -> Diff:
    """Tell how two generations differ.

    Args:
        old: The earlier.
        new: The later.

    Returns:
        The names concerned.
    """
    before, now = old.index.cards, new.index.cards
    changed: list[str] = []
    stale: list[str] = []
    for name, card in now.items():
        was = before.get(name)
        if was is None or was is card or _same(was, card):
            continue
        fell = card.stale is not None and was.stale is None
        (stale if fell else changed).append(name)
    return Diff(
        tuple(sorted(now.keys() - before.keys())),
        tuple(sorted(changed)),
        tuple(sorted(before.keys() - now.keys())),
        tuple(sorted(stale)),
    )


def _differ(old: Mapping[str, Card], new: Mapping[str, Card]) -> bool:
    if old.keys() != new.keys():
        return True
    return any(old[name] is not card and not _same(old[name], card) for name, card in new.items())


def _hidden_differ(old: Index, new: Index) -> bool:
    """Whether a single store would answer otherwise, though all of them together do not."""
    if old.hidden.keys() != new.hidden.keys():
        return True
    return any(_differ(old.hidden[store], cards) for store, cards in new.hidden.items())


def _same(old: Card, new: Card) -> bool:
    return (
        old.packed == new.packed
        and (old.stale is None) == (new.stale is None)
        and old.store == new.store
    )
