"""Chooses the cards whose checkpoints are fetched before anybody asks for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from resolverd.cards.index import Index
from resolverd.cards.names import split


def prewarmed(index: Index, patterns: Sequence[str], asked: Collection[str]) -> list[str]:
    """Choose the cards to fetch for.

    A card's own ``prefetch: true``, or that of one of its overrides, counts; that of its base does
    not: one word in a base must not fetch a whole family.

    Args:
        index: All cards.
        patterns: Of the configuration; ``*`` and ``?`` and ``[...]`` as in a shell.
        asked: Names that a client has had fetched, and that are kept fresh since.

    Returns:
        Stems, sorted.
    """
    cards = index.cards
    plain = [name[:-1] for name in cards if name[-1] == "@"]
    chosen = {stem for stem in plain if any(fnmatchcase(stem, glob) for glob in patterns)}
    named = [*asked, *(name for name, card in cards.items() if card.prefetch)]
    chosen |= {stem for stem in map(_stem, named) if f"{stem}@" in cards}
    return sorted(chosen)


def _stem(name: str) -> str:
    return split(name)[0].strip()
