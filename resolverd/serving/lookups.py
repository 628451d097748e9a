"""The answers to lookups, packed: one table for each generation.

Contract: immutable; a lookup joins bytes and packs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from hashlib import blake2b

from resolverd_client.protocol import canonical, pack

from resolverd.serving.store_lookups import StoreLookups


class Lookups:
    """Packed replies of one generation.

    Args:
        generation: Its number, from 1.
        cards: Canonical name to the packed card.
        stores: Answers about single stores.
    """

    def __init__(
        self, generation: int, cards: Mapping[str, bytes], stores: StoreLookups | None = None
    ) -> None:
        self.generation = generation
        self.stores = stores or StoreLookups(generation)
        self._cards = cards
        self._head = b"\x92" + pack(generation)
        self._miss = self._head + b"\xc0"

    def get(self, name: str) -> bytes:
        """Give the packed result ``[generation, card or nil]``."""
        card = self._cards.get(name)
        if card is None:
            card = self._cards.get(canonical(name))
            if card is None:
                return self._miss
        return self._head + card

    @cached_property
    def names(self) -> bytes:
        """The packed result ``[generation, names]``, sorted."""
        return self._head + pack(sorted(self._cards))

    def digests(self, glob: str | None) -> bytes:
        """Give the packed result ``[generation, {name: digest of its card}]``."""
        return self._head + pack({n: d for n, d in self._digests.items() if matches(n, glob)})

    @cached_property
    def _digests(self) -> dict[str, bytes]:
        return {n: blake2b(card, digest_size=8).digest() for n, card in self._cards.items()}


def matches(name: str, glob: str | None) -> bool:
    """Tell whether a canonical name, a final ``@`` aside, fits a pattern."""
    return glob is None or fnmatchcase(name.removesuffix("@"), glob)
