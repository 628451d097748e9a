"""What an asset is: a model, a tokenizer, a dataset, or several of them."""

from __future__ import annotations

from resolverd.cards.index import Index
from resolverd.cards.names import split


def kinds(index: Index, name: str) -> frozenset[str]:
    """Tell what an asset is, as fairseq2 0.8.1 lists it: by its ``*_family`` fields.

    Args:
        index: All cards.
        name: Canonical name; an environment's card is also what its plain card is.

    Returns:
        The kinds of the card and of its whole base chain.
    """
    found: frozenset[str] = frozenset()
    stem, env = split(name)
    if env and (override := index.cards.get(name)):
        found = override.kinds
        stem = override.base or stem
    seen: set[str] = set()
    while stem not in seen and (card := index.cards.get(f"{stem}@")):
        seen.add(stem)
        found |= card.kinds
        if card.base is None:
            break
        stem = card.base
    return found
