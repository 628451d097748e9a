"""A card as it is served: its fields packed once, and the facts that lists need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from resolverd.cards.file import Stamp
from resolverd.cards.problems import Problem

KINDS = ("model", "tokenizer", "dataset")
_FAMILY_OF = {f"{kind}_family": kind for kind in KINDS}


class Codec(Protocol):
    """Turns the values of cards into bytes and back, types included."""

    def pack(self, value: object) -> bytes:
        """Pack a value.

        Raises:
            ValueError, TypeError or OverflowError: The value can't be sent.
        """
        ...

    def unpack(self, data: bytes) -> object:
        """Unpack what ``pack`` gave, as a fresh object."""
        ...


@dataclass(frozen=True, slots=True)
class Card:
    """One card.

    Attributes:
        name: Canonical: ``stem@`` or ``stem@env``.
        base: The card it is based on, without ``@``; None when it names none.
        packed: Its fields, packed: what fairseq2's loader gives, so without the name.
        path: The file that holds it.
        document: Index of its document in that file.
        line: Where the document begins, from 1.
        store: The store's source text.
        kinds: Those of ``KINDS`` that its own ``<kind>_family`` fields say it is.
        prefetch: Whether it asks with ``prefetch: true`` to be fetched ahead of use.
        baseless: Whether it says ``base: null``, which in an environment takes the base away.
        stale: Why this is an earlier version than the store should have; None when it is not.
    """

    name: str
    base: str | None
    packed: bytes
    path: str
    document: int
    line: int
    store: str
    kinds: frozenset[str] = frozenset()
    prefetch: bool = False
    baseless: bool = False
    stale: str | None = None


@dataclass(frozen=True, slots=True)
class CardFile:
    """A file of a store and the cards it gives.

    Attributes:
        path: Absolute path.
        stamp: The version that was read; None when it must be read again.
        cards: In the order of the documents, then what is kept of an earlier version.
        problems: What is wrong with the file itself.
        stale: Why cards of an earlier version are kept; None when none are.
    """

    path: str
    stamp: Stamp | None
    cards: tuple[Card, ...] = ()
    problems: tuple[Problem, ...] = ()
    stale: str | None = None


def kinds_of(fields: dict[str, object]) -> frozenset[str]:
    """Tell what a card is by its own fields.

    Args:
        fields: Of one card, without its base.

    Returns:
        Those of ``KINDS`` that it has a family field for.
    """
    return frozenset(kind for field, kind in _FAMILY_OF.items() if field in fields)
