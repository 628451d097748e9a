"""What fairseq2 itself would make of a store: whether it reads the same, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass

from resolverd.cards.catalogue import StoreCards, served

OURS = frozenset(
    ("alias-bomb", "internal", "recursive-alias", "too-deep", "too-large", "unreadable",
     "unsendable")
)  # fmt: skip
"""Problems of what fairseq2, in a job's own process, may well be able to read."""

MOST_TOLD = 3


@dataclass(frozen=True, slots=True)
class Refusals:
    """How a store as served compares with what fairseq2 would load.

    Attributes:
        whole: Whether every card that fairseq2 would read is served.
        count: Documents that fairseq2 would refuse, and the whole store with them.
        first: What is wrong with the first of them, in words.
    """

    whole: bool
    count: int
    first: tuple[str, ...]


def refusals(cards: StoreCards) -> Refusals:
    """Compare a store as served with what fairseq2 would load.

    Args:
        cards: The store.
    """
    problems = [problem for file in cards.files.values() for problem in file.problems]
    faults = [str(problem) for problem in problems if problem.code not in OURS]
    whole = cards.state == "ok" and not cards.unreadable and len(faults) == len(problems)
    faults += _duplicates(cards)
    return Refusals(whole, len(faults), tuple(sorted(faults)[:MOST_TOLD]))


def _duplicates(cards: StoreCards) -> list[str]:
    first: dict[str, str] = {}
    found = []
    for card in served(cards):
        place = f"{card.path}:{card.line}"
        other = first.setdefault(card.name, place)
        if other is not place:
            found.append(f"{place}: the name {card.name} is also in {other}.")
    return found
