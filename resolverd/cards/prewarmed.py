"""Chooses the cards whose checkpoints are fetched before anybody asks for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase

from resolverd.cards.card import Card, Codec
from resolverd.cards.index import Index
from resolverd.cards.names import split

_FIELD = "prefetch"


def prewarmed(
    index: Index, patterns: Sequence[str], asked: Collection[str], codec: Codec
) -> list[str]:
    """Choose the cards to fetch for.

    A card's own ``prefetch: true``, or that of one of its overrides, counts; that of its base does
    not: one word in a base must not fetch a whole family.

    Args:
        index: All cards.
        patterns: Of the configuration; ``*`` and ``?`` and ``[...]`` as in a shell.
        asked: Names that a client has had fetched, and that are kept fresh since.
        codec: Unpacks the fields.

    Returns:
        Stems, sorted.
    """
    plain = [stem for stem, env in map(split, index.cards) if not env]
    chosen = {stem for stem in plain if any(fnmatchcase(stem, glob) for glob in patterns)}
    chosen |= {stem for stem in map(_stem, asked) if f"{stem}@" in index.cards}
    return sorted(chosen | _marked(index.cards, codec))


def _marked(cards: Mapping[str, Card], codec: Codec) -> set[str]:
    key = _FIELD.encode()
    found: set[str] = set()
    for name, card in cards.items():
        if key in card.packed and _wants(card, codec):
            found.add(_stem(name))
    return {stem for stem in found if f"{stem}@" in cards}


def _wants(card: Card, codec: Codec) -> bool:
    fields = codec.unpack(card.packed)
    return isinstance(fields, Mapping) and fields.get(_FIELD) is True


def _stem(name: str) -> str:
    return split(name)[0].strip()
