"""Which card has which name, and what is wrong: a pure function of the stores.

Of one name in several stores the card of the store with the lowest precedence number wins; inside a
store the first path, compared component by component; inside a file the first document. Each loser
is a reported problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from resolverd.cards import catalogue
from resolverd.cards.card import Card
from resolverd.cards.catalogue import StoreCards
from resolverd.cards.chains import chain_problems
from resolverd.cards.problems import Problem


@dataclass(frozen=True, slots=True)
class Index:
    """All cards by name.

    Attributes:
        cards: The winner of each canonical name.
        problems: Of stores, files, duplicates and base chains, sorted by place.
        hidden: By store: its cards whose names another store's cards have won.
    """

    cards: Mapping[str, Card] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    hidden: Mapping[str, Mapping[str, Card]] = field(default_factory=dict)

    def of_store(self, source: str, name: str) -> Card | None:
        """Give what one store alone would serve under a name.

        Args:
            source: The store's source text.
            name: Canonical.
        """
        card = self.cards.get(name)
        if card is not None and card.store == source:
            return card
        return self.hidden.get(source, {}).get(name)

    def names_of(self, source: str) -> list[str]:
        """List the canonical names that one store alone would serve, sorted."""
        own = [name for name, card in self.cards.items() if card.store == source]
        return sorted([*own, *self.hidden.get(source, ())])


def build(stores: Iterable[StoreCards]) -> Index:
    """Make the index of all stores.

    Args:
        stores: In any order; their ``precedence`` decides, then their place in this order.

    Returns:
        The index.
    """
    ordered = sorted(stores, key=lambda each: each.store.precedence)
    winners: dict[str, Card] = {}
    losers: list[Card] = []
    hidden: dict[str, dict[str, Card]] = {}
    found: list[Problem] = []
    for store in ordered:
        beaten: dict[str, Card] = {}
        _add(catalogue.served(store), winners, beaten, losers)
        losers.extend(beaten.values())
        if beaten:
            hidden[store.store.source] = beaten
        found.extend(catalogue.problems(store))
    found.extend(_duplicate(card, winners[card.name]) for card in losers)
    found.extend(chain_problems(winners))
    found.sort(key=_place)
    return Index(winners, tuple(found), hidden)


def _add(
    cards: Iterable[Card],
    winners: dict[str, Card],
    beaten: dict[str, Card],
    losers: list[Card],
) -> None:
    """Add one store's cards; those of earlier stores stay, and beat this store's."""
    for card in cards:
        rival = winners.setdefault(card.name, card)
        if rival is card:
            continue
        place = winners
        if rival.store != card.store:
            place, rival = beaten, beaten.setdefault(card.name, card)
            if rival is card:
                continue
        if _order(card) < _order(rival):
            place[card.name] = card
            card = rival  # noqa: PLW2901 - the rival has lost
        losers.append(card)


def _order(card: Card) -> tuple[bool, list[str], int]:
    # What is kept of an earlier version never beats what a file says now.
    return card.stale is not None, card.path.split("/"), card.document


def _duplicate(loser: Card, winner: Card) -> Problem:
    same = loser.store == winner.store
    what = "Two assets of the store have" if same else "An asset of another store has"
    return Problem(
        "duplicate-name",
        loser.store,
        loser.path,
        f"{what} the same name {loser.name}: {winner.path}:{winner.line} is served instead.",
        "Rename or remove one of the two.",
        document=loser.document,
        line=loser.line,
        name=loser.name,
        field="name",
    )


def _place(problem: Problem) -> tuple[str, str, int, int, str, str]:
    document = -1 if problem.document is None else problem.document
    line = problem.line or 0
    return problem.store, problem.path, document, line, problem.code, problem.name or ""
