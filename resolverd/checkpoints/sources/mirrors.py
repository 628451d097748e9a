"""Several places for one URI, tried in the operator's order.

A file that was begun at one place is continued at another only where that can't mix two versions
unseen: when both tell the same strong stamp, or what the whole must hash to is known. What the card
says it must hash to is the file's stamp then: a later run goes on at whichever place answers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.plan import Range
from resolverd.checkpoints.faults import Changed, Denied, RangesIgnored, Transient
from resolverd.checkpoints.sources.base import Listing, RemoteFile, Source, Transfer
from resolverd.errors import SourceError

_T = TypeVar("_T")
_VOUCHED = "digest:"


class MirroredSource:
    """One source a place, made when its turn comes. ``open`` may be called by several threads.

    Args:
        places: Makes the source of each.
        name: What to call the URI.
        card: What the card says the files must hash to; the empty name stands for the only one.
    """

    def __init__(
        self, places: Sequence[Callable[[], Source]], name: str, card: Mapping[str, Digest]
    ) -> None:
        self._places = places
        self._shown = name
        self._card = card
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._at = 0
        self._sources: dict[int, Source] = {}
        self._listings: dict[int, Listing] = {}
        self._begun: set[tuple[str, int | None]] = set()

    def resolve(self, known: str | None = None, gap: Range | None = None) -> Listing | None:
        """Ask the first place that answers."""
        self._begun.clear()
        self._listings.clear()
        theirs = None if known and known.startswith(_VOUCHED) else known
        listing = self._tried(lambda place: self._listed(place, theirs, gap))
        if listing is None:
            return None
        files = tuple(self._stamped(file, len(listing.files)) for file in listing.files)
        stamp = listing.stamp if files == listing.files else _stamp_of(files)
        return None if stamp == known else replace(listing, files=files, stamp=stamp)

    def open(self, file: RemoteFile, start: int, end: int | None) -> Transfer:
        """Read on where the last try ended, at the next place when that try broke."""
        part = (file.name, end)
        gap = None if end is None else (start, end)
        with self._lock:
            if part in self._begun:  # who asks again for a part did not get all of it
                self._at = (self._at + 1) % len(self._places)
            self._begun.add(part)
        return self._tried(
            lambda place: self._source(place).open(self._own(place, file, gap), start, end)
        )

    def sidecar(self, file: RemoteFile) -> Digest | None:
        """Ask beside the file, where it was found."""
        return self._source(self._at).sidecar(self._own(self._at, file, None))

    def close(self) -> None:
        """Close every source."""
        for source in self._sources.values():
            source.close()

    def _tried(self, ask: Callable[[int], _T]) -> _T:
        """Ask one place after another, beginning with the one that served last."""
        faults: list[SourceError] = []
        began = self._at
        for step in range(len(self._places)):
            place = (began + step) % len(self._places)
            try:
                found = ask(place)
            except (Changed, RangesIgnored):  # says what to do at this place
                raise
            except SourceError as error:
                faults.append(error)
            else:
                self._at = place
                return found
        raise _all(faults, self._shown)

    def _source(self, place: int) -> Source:
        with self._lock:
            if place not in self._sources:
                self._sources[place] = self._places[place]()
            return self._sources[place]

    def _listed(self, place: int, known: str | None, gap: Range | None) -> Listing | None:
        listing = self._source(place).resolve(known, gap)
        if listing is not None:
            self._listings[place] = listing
        return listing

    def _own(self, place: int, file: RemoteFile, gap: Range | None) -> RemoteFile:
        """The same file, as this place has it."""
        with self._asking:
            listing = self._listings.get(place) or self._listed(place, None, gap)
        files = listing.files if listing else ()
        own = next((each for each in files if each.name == file.name), None)
        if len(files) == 1:
            own = files[0]  # servers may name a single file differently
        if own is None or not self._is_same(own, file):
            raise Changed(f"{self._shown}: its mirrors have different versions.")
        return replace(own, ranges=own.ranges and file.ranges)

    def _stamped(self, file: RemoteFile, count: int) -> RemoteFile:
        said = self._card.get(file.name) or (self._card.get("") if count == 1 else None)
        return replace(file, stamp=f"{_VOUCHED}{said}") if said else file

    def _is_same(self, one: RemoteFile, other: RemoteFile) -> bool:
        if one == other:
            return True
        same_stamp = one.stamp is not None and one.stamp == other.stamp
        vouched = (other.stamp or "").startswith(_VOUCHED)
        known = vouched or bool(set(one.digests) & set(other.digests))
        return one.size == other.size and (same_stamp or known)


def _stamp_of(files: Sequence[RemoteFile]) -> str | None:
    if len(files) == 1:
        return files[0].stamp
    if not all(file.stamp for file in files):
        return None
    return f"{_VOUCHED}{digest.of_many({file.name: file.stamp or '' for file in files})}"


def _all(faults: Sequence[SourceError], shown: str) -> SourceError:
    """What went wrong at every place, as one error."""
    if len(faults) == 1:
        return faults[0]
    text = f"{shown}: no mirror gives it. " + " ".join(str(fault) for fault in faults)
    waits = [fault.retry_after for fault in faults if isinstance(fault, Transient)]
    if waits:
        return Transient(text, min((wait for wait in waits if wait is not None), default=None))
    return (Denied if all(isinstance(fault, Denied) for fault in faults) else SourceError)(text)
