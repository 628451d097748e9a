"""Answers about single stores, packed: what a job asks for that has stores of its own beside them.

Contract: immutable; of one generation. A store is named by its source text, as ``stores`` gives it.
Nothing is stored twice: cards are those of the index.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from resolverd_client.errors import AssetNotFoundError, RequestError
from resolverd_client.protocol import pack

from resolverd.cards.card import Card
from resolverd.cards.index import Index

MOST_STEMS = 64
"""Cards of one base chain that are answered at once; what follows is asked for anew."""
MOST_BYTES = 1 << 20
"""After which a chain is not followed further in one answer."""
TOO_LARGE = 32 << 20
"""Bytes of cards that no answer has, whatever a store holds under one name."""


class StoreLookups:
    """Packed answers of one generation.

    Args:
        generation: Its number.
        index: Its cards.
        sources: The stores there are.
    """

    def __init__(
        self, generation: int = 0, index: Index | None = None, sources: Iterable[str] = ()
    ) -> None:
        self._head = b"\x92" + pack(generation)
        self._index = index or Index()
        self._sources = frozenset(sources)
        self._names: dict[str, bytes] = {}

    def names(self, source: str) -> bytes:
        """Give the packed result ``[generation, names]`` of a store, sorted.

        Raises:
            AssetNotFoundError: There is no such store.
        """
        packed = self._names.get(source)
        if packed is None:
            self._check(source)
            packed = self._head + pack(self._index.names_of(source))
            self._names[source] = packed
        return packed

    def family(self, sources: Sequence[str], stem: str) -> bytes:
        """Give all that retrieving a card may need: its variants and those of its bases.

        Args:
            sources: The stores to look in.
            stem: The card's name, without ``@``.

        Returns:
            The packed result ``[generation, [[stem, [[place in sources, name, packed card]...]]
            ...]]``: ``stem`` first, then the bases as far as they were followed.

        Raises:
            AssetNotFoundError: There is no such store.
            RequestError: A store is named twice, or the answer would be too large.
        """
        for source in sources:
            self._check(source)
        if len(set(sources)) < len(sources):
            raise RequestError("a store is named twice")
        answer: list[object] = []
        size, seen, ahead = 0, {stem}, [stem]
        while ahead and len(answer) < MOST_STEMS and size < MOST_BYTES:
            stem = ahead.pop(0)
            cards = []
            for place, name, card in self._variants_in(sources, stem):
                cards.append([place, name, card.packed])
                size += len(card.packed)
                if size > TOO_LARGE:
                    raise RequestError(f"cards called {stem!r:.80} are too large", code="too-large")
                if card.base is not None and card.base not in seen:
                    seen.add(card.base)
                    ahead.append(card.base)
            answer.append([stem, cards])
        return self._head + pack(answer)

    def _variants_in(self, sources: Sequence[str], stem: str) -> Iterator[tuple[int, str, Card]]:
        for name in (f"{stem}@", *self._variants.get(stem, ())):
            for place, source in enumerate(sources):
                card = self._index.of_store(source, name)
                if card is not None:
                    yield place, name, card

    @cached_property
    def _variants(self) -> dict[str, list[str]]:
        """Names for environments, by stem; most cards have none."""
        found: dict[str, list[str]] = defaultdict(list)
        tables = (self._index.cards, *self._index.hidden.values())
        names = {name for cards in tables for name in cards if not name.endswith("@")}
        for name in sorted(names):
            found[name.partition("@")[0]].append(name)
        return dict(found)

    def _check(self, source: str) -> None:
        if source not in self._sources:
            raise AssetNotFoundError(
                f"there is no store {source!r:.200} here (any more)", details={"store": source}
            )
