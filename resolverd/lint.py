"""Checks card files and store folders without a daemon, with the daemon's own eyes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from resolverd_client import protocol

from resolverd.cards.file import FileRead, StoreChange
from resolverd.cards.index import Index
from resolverd.cards.kinds import kinds
from resolverd.cards.names import split
from resolverd.cards.problems import Problem
from resolverd.cards.published import absorb, begin
from resolverd.cards.resolve import resolve
from resolverd.errors import CardError
from resolverd.stores.read import Wish, read
from resolverd.stores.scan import walk
from resolverd.stores.wellknown import parse_spec


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes:
        files: How many files were read.
        cards: How many cards are good.
        problems: Errors are what fairseq2 0.8.1 would refuse; the rest are warnings.
    """

    files: int
    cards: int
    problems: tuple[Problem, ...]


def lint(paths: Iterable[Path]) -> Report:
    """Check files and folders together, so that a card may be based on one of another path.

    Args:
        paths: Card files or store folders; of one name in two of them the first wins.
    """
    stores = [parse_spec(str(path), place) for place, path in enumerate(paths)]
    changes = [_load(store.source, store.location) for store in stores]
    state = absorb(begin(stores, {}), changes, protocol)
    index = state.index
    files = sum(len(change.reads) for change in changes)
    return Report(files, len(index.cards), (*index.problems, *_without_checkpoint(index)))


def _load(source: str, location: str) -> StoreChange:
    if os.path.isdir(location):
        listing = walk(os.path.realpath(location), follow_links=False)
        found, unreadable = sorted(listing.files), listing.unreadable
    else:
        found, unreadable = [os.path.realpath(location)], {}
    # A patience of 0: a file is read as it is, whoever is writing it
    answers = (read(Wish(path, patience=0.0)) for path in found)
    reads = tuple(answer for answer in answers if isinstance(answer, FileRead))
    return StoreChange(source, reads=reads, unreadable=unreadable, complete=True)


def _without_checkpoint(index: Index) -> list[Problem]:
    """Warn of models that nothing can be loaded for: fairseq2 accepts the card, not the model."""
    return [
        Problem(
            "no-checkpoint",
            card.store,
            card.path,
            "The model card has no 'checkpoint', nor has any card that it is based on.",
            "Add one, or ignore this where the card is only a base for others.",
            document=card.document,
            line=card.line,
            name=name,
            severity="warning",
        )
        for name, card in index.cards.items()
        if name.endswith("@") and "model" in kinds(index, name) and not _has_checkpoint(index, name)
    ]


def _has_checkpoint(index: Index, name: str) -> bool:
    try:
        found = resolve(index, split(name)[0], (), protocol)
    except CardError:
        return True  # its chain is broken, which is a problem of its own
    return found is not None and "checkpoint" in found.fields
