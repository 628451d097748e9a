"""The cards of one store, brought up to date by reports of what changed in it.

What is kept is a pure function of the files, with one exception: a file, or a document of a file,
that can no longer be read keeps its last good cards, marked stale; so does a root or a directory
that can't be listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from resolverd.cards.card import Card, CardFile, Codec, kinds_of
from resolverd.cards.file import FileRead, RootIdentity, RootState, Stamp, StoreChange
from resolverd.cards.parse import ParsedCard, parse_file
from resolverd.cards.problems import Problem
from resolverd.cards.store import Store

_KEPT = "Its last good version is served meanwhile."


@dataclass(frozen=True, slots=True)
class StoreCards:
    """All that is known of one store.

    Attributes:
        store: The store.
        state: ``ok``, or why its root can't be trusted; all its cards are stale then.
        reason: Why the state is not ``ok``.
        root: The root as last resolved.
        device: Device number of the root's file system.
        files: By absolute path.
        unreadable: Directories that can't be listed, with the reason; cards below are stale.
        roots: Path, device and inode of each root, as last resolved.
    """

    store: Store
    state: RootState = "ok"
    reason: str = ""
    root: str | None = None
    device: int | None = None
    files: Mapping[str, CardFile] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    roots: tuple[RootIdentity, ...] = ()

    @property
    def stamps(self) -> dict[str, Stamp]:
        """Versions of the files that need not be read again, by path."""
        return {path: file.stamp for path, file in self.files.items() if file.stamp is not None}


def apply(previous: StoreCards, change: StoreChange, codec: Codec) -> StoreCards:
    """Bring a store up to date.

    Args:
        previous: What was known.
        change: What has changed since.
        codec: Packs the fields of new cards.

    Returns:
        What is known now; ``previous`` stays as it is.
    """
    if change.state != "ok":
        return replace(previous, state=change.state, reason=change.reason)
    files = _kept(previous, change)
    for read in change.reads:
        old = previous.files.get(read.path)
        try:
            files[read.path] = _read(previous.store, old, read, codec)
        except Exception as error:  # noqa: BLE001 -- a bug costs one file, not all of them
            files[read.path] = _lost(previous.store, old, read, error)
    return replace(
        previous,
        state="ok",
        reason="",
        root=change.root if change.root is not None else previous.root,
        device=change.device if change.device is not None else previous.device,
        files=files,
        unreadable=dict(change.unreadable),
        roots=change.roots or previous.roots,
    )


def served(cards: StoreCards) -> Iterator[Card]:
    """List the cards of a store as they are served: stale where their file can't be seen.

    Args:
        cards: The store.

    Yields:
        Its cards; of one name there may be several.
    """
    for file in cards.files.values():
        unseen = _unseen(cards, file.path)
        yield from file.cards if unseen is None else _stale(file.cards, unseen)


def problems(cards: StoreCards) -> Iterator[Problem]:
    """Tell what is wrong with a store and its files.

    Args:
        cards: The store.

    Yields:
        Problems of the root, of directories, then of each file.
    """
    store = cards.store
    if cards.state != "ok" and not (
        cards.state == "missing" and store.optional and not cards.files
    ):
        reason = f"The store can't be used: {cards.reason or cards.state}."
        remedy = _KEPT if cards.files else "Create it, or correct the daemon's list of stores."
        root = cards.root or store.location
        yield Problem(f"store-{cards.state}", store.source, root, reason, remedy)
    for path, why in cards.unreadable.items():
        reason = f"The directory can't be listed: {why}."
        yield Problem("unreadable", store.source, path, reason, "Give the daemon access to it.")
    for file in cards.files.values():
        if file.problems:
            yield from file.problems


def _kept(previous: StoreCards, change: StoreChange) -> dict[str, CardFile]:
    if not change.complete:
        files = dict(previous.files)
        for path in change.removed:
            files.pop(path, None)
        return files
    hidden = tuple(f"{directory.rstrip('/')}/" for directory in change.unreadable)
    return {
        path: file
        for path, file in previous.files.items()
        if path in change.kept or path.startswith(hidden)
    }


def _lost(store: Store, old: CardFile | None, read: FileRead, error: Exception) -> CardFile:
    reason = f"resolverd itself failed on the file: {type(error).__name__}: {error}."
    remedy = "Report this with the file; splitting it may help meanwhile."
    kept = _stale(old.cards if old else (), reason)
    problem = Problem("internal", store.source, read.path, reason, remedy)
    return CardFile(read.path, read.stamp, kept, (problem,), reason if kept else None)


def _read(store: Store, old: CardFile | None, read: FileRead, codec: Codec) -> CardFile:
    if read.data is None:
        reason = f"The file can't be read: {read.error or 'no reason given'}."
        remedy = "Give the daemon access, or put a file there that can be read."
        problem = Problem("unreadable", store.source, read.path, reason, remedy)
        kept = _stale(old.cards if old else (), reason)
        return CardFile(read.path, read.stamp, kept, (problem,), reason if kept else None)
    parsed = parse_file(read.data, read.path, store.source)
    cards: list[Card] = []
    faults = list(parsed.problems)
    for card in parsed.cards:
        packed = _packed(card, read.path, store.source, codec)
        if isinstance(packed, Problem):
            faults.append(packed)
        else:
            cards.append(packed)
    kept = _last_good(old, cards, faults) if old and faults else ()
    stale = faults[0].reason if kept else None
    return CardFile(read.path, read.stamp, (*cards, *kept), tuple(faults), stale)


def _packed(card: ParsedCard, path: str, store: str, codec: Codec) -> Card | Problem:
    fields = card.fields
    try:
        if not card.name.isascii():
            codec.pack(card.name)
        packed = codec.pack(fields)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        reason = f"A value of the card can't be sent to clients: {error}."
        return Problem(
            "unsendable",
            store,
            path,
            reason,
            "Use strings, numbers, dates, lists and mappings only.",
            document=card.document,
            line=card.line,
            name=card.name,
        )
    return Card(
        card.name,
        card.base,
        packed,
        path,
        card.document,
        card.line,
        store,
        kinds_of(fields),
        fields.get("prefetch") is True,
        card.base is None and "base" in fields,
    )


def _last_good(old: CardFile, cards: list[Card], faults: list[Problem]) -> tuple[Card, ...]:
    """Keep what may have been lost: the named cards, or all when a lost document has no name."""
    lost = {fault.name for fault in faults}
    present = {card.name for card in cards}
    kept = (
        card
        for card in old.cards
        if card.name not in present and (None in lost or card.name in lost)
    )
    return _stale(kept, faults[0].reason)


def _stale(cards: Iterable[Card], reason: str) -> tuple[Card, ...]:
    return tuple(card if card.stale == reason else replace(card, stale=reason) for card in cards)


def _unseen(cards: StoreCards, path: str) -> str | None:
    if cards.state != "ok":
        return f"The store can't be used: {cards.reason or cards.state}."
    for directory, why in cards.unreadable.items():
        if path.startswith(f"{directory.rstrip('/')}/"):
            return f"Its directory can't be listed: {why}."
    return None
