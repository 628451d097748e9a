"""The index after a small change, without going through all cards: most edits change one value.

What is given equals :func:`resolverd.cards.index.build` of the same stores, which the tests hold it
to; where that is not plain to see, nothing is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from resolverd.cards.card import Card, CardFile
from resolverd.cards.catalogue import StoreCards
from resolverd.cards.file import StoreChange
from resolverd.cards.index import Index


def amended(
    index: Index,
    before: Mapping[str, StoreCards],
    after: Mapping[str, StoreCards],
    changes: Iterable[StoreChange],
) -> Index | None:
    """Make the index after some changes.

    Args:
        index: Of the stores before.
        before: Those stores, by source text.
        after: The stores now.
        changes: What made the one the other.

    Returns:
        The index; None when it has to be built anew: files came or went, names, bases or problems
        are others.
    """
    told = {problem.name for problem in index.problems}
    fresh: dict[str, Card] = {}
    for change in changes:
        if change.source not in before:
            continue
        old, new = before[change.source], after[change.source]
        if not _small(change, old, new):
            return None
        for read in change.reads:
            cards = _pairs(old.files.get(read.path), new.files[read.path])
            for was, now in cards or ():
                if index.cards.get(was.name) is not was or was.name in told:
                    return None
                fresh[now.name] = now
            if cards is None:
                return None
    return replace(index, cards={**index.cards, **fresh})


def _small(change: StoreChange, old: StoreCards, new: StoreCards) -> bool:
    """Whether nothing but the content of files has changed."""
    seen = old.state == new.state == "ok" and not old.unreadable and not new.unreadable
    return seen and not change.complete and not change.removed


def _pairs(old: CardFile | None, new: CardFile) -> list[tuple[Card, Card]] | None:
    """Each card of a file with what it became; None when it is not as plain as that."""
    if old is None or old.problems or new.problems or len(old.cards) != len(new.cards):
        return None
    pairs = list(zip(old.cards, new.cards, strict=True))
    return pairs if all(_alike(was, now) for was, now in pairs) else None


def _alike(was: Card, now: Card) -> bool:
    fixed = was.name == now.name and was.base == now.base and was.baseless == now.baseless
    return fixed and was.stale is None and now.stale is None
