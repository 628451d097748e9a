"""Base chains that lead nowhere: a base that does not exist, a chain that comes back to itself.

fairseq2 refuses such a card when it is looked up; here the fault is known beforehand. The check
takes one step for each card, however long the chains are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from resolverd.cards.card import Card
from resolverd.cards.names import split
from resolverd.cards.problems import Problem


def chain_problems(cards: Mapping[str, Card]) -> Iterator[Problem]:
    """Find the faults of all base chains.

    Args:
        cards: By canonical name.

    Yields:
        One problem for each card whose base is missing, whose chain never ends, or that overrides
        a card that does not exist.
    """
    based = {name: card for name, card in cards.items() if card.base is not None}
    variants = [card for name, card in cards.items() if name[-1] != "@"]
    yield from _orphans(cards, variants)
    yield from _missing(cards, based)
    envs = {split(card.name)[1] for card in variants if card.base is not None or card.baseless}
    told: set[str] = set()
    for env in ("", *sorted(envs)):
        yield from _endless(_Links(cards, based, env), told)


@dataclass(frozen=True, slots=True)
class _Links:
    """What each card is based on in one environment (empty: in none)."""

    cards: Mapping[str, Card]
    based: Mapping[str, Card]
    env: str

    def stems(self) -> Iterator[str]:
        return (split(name)[0] for name in self.based)

    def holder(self, stem: str) -> Card | None:
        """The card that decides the base of ``stem``."""
        plain = self.cards.get(f"{stem}@")
        if plain is None or not self.env:
            return plain
        override = self.cards.get(f"{stem}@user") or self.cards.get(f"{stem}@{self.env}")
        decides = override is not None and (override.base is not None or override.baseless)
        return override if decides else plain

    def base(self, stem: str) -> str | None:
        holder = self.holder(stem)
        return None if holder is None else holder.base


def _orphans(cards: Mapping[str, Card], variants: list[Card]) -> Iterator[Problem]:
    for card in variants:
        stem = split(card.name)[0]
        if f"{stem}@" not in cards:
            yield _problem(
                card,
                "no-plain-card",
                f"The card overrides {stem}, but there is no card of that name.",
                f"Add a card named {stem!r}; without it this one is never used.",
                "name",
                warning=True,
            )


def _missing(cards: Mapping[str, Card], based: Mapping[str, Card]) -> Iterator[Problem]:
    for card in based.values():
        if f"{card.base}@" not in cards:
            stem = split(card.name)[0]
            yield _problem(
                card,
                "missing-base",
                f"{card.base} base asset of the {stem} asset card does not exist.",
                f"Add a card named {card.base!r}, or correct 'base'.",
                "base",
            )


def _endless(links: _Links, told: set[str]) -> Iterator[Problem]:
    endless: dict[str, str | None] = {}  # how the chain of a stem runs for ever; None when it ends
    for start in links.stems():
        walk: dict[str, None] = {}
        stem: str | None = start
        while stem is not None and stem not in endless and stem not in walk:
            walk[stem] = None
            stem = links.base(stem)
        if stem is None:
            loop = None
        elif stem in walk:
            loop = _loop([*walk], stem)
        else:
            loop = endless[stem]
        endless.update(dict.fromkeys(walk, loop))
        if loop is not None:
            yield from _cycles(links, [*walk], loop, told)


def _loop(walk: list[str], stem: str) -> str:
    members = walk[walk.index(stem) :]
    first = members.index(min(members))
    members = members[first:] + members[:first]
    if len(members) > 8:
        return " -> ".join([*members[:8], f"... ({len(members)} cards)"])
    return " -> ".join([*members, members[0]])


def _cycles(links: _Links, walk: list[str], loop: str, told: set[str]) -> Iterator[Problem]:
    where = f" in the environment {links.env}" if links.env else ""
    for stem in walk:
        card = links.holder(stem)
        if card is not None and card.name not in told:
            told.add(card.name)
            yield _problem(
                card,
                "base-cycle",
                f"The base chain of the {stem} asset card never ends{where}: {loop}.",
                "Remove 'base' from one card of the cycle.",
                "base",
            )


def _problem(
    card: Card, code: str, reason: str, remedy: str, field: str, *, warning: bool = False
) -> Problem:
    return Problem(
        code,
        card.store,
        card.path,
        reason,
        remedy,
        document=card.document,
        line=card.line,
        name=card.name,
        field=field,
        severity="warning" if warning else "error",
    )
