"""The kept snapshot: what a restart needs so as to parse only what has changed since.

Nothing of it is trusted unless all of it is whole: a header with a digest of the rest guards it. A
file that is damaged, or of another version of resolverd or of a YAML library, counts as none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

from resolverd.cards.card import Card, CardFile, Codec
from resolverd.cards.catalogue import StoreCards
from resolverd.cards.file import Stamp
from resolverd.cards.parse import REVISION
from resolverd.cards.problems import Problem
from resolverd.cards.store import Store

_MAGIC = b"RSLVSNAP"
_FORMAT = 3
_DIGEST_SIZE = 32
_HEADER = struct.Struct(f"<8sI{_DIGEST_SIZE}s")


def dump(stores: Iterable[StoreCards], codec: Codec) -> bytes:
    """Write down all that is known of the stores.

    Args:
        stores: The stores.
        codec: Packs the body.

    Returns:
        What ``load`` reads.
    """
    body = codec.pack([_fingerprint(), [_store_out(store) for store in stores]])
    return _HEADER.pack(_MAGIC, _FORMAT, _digest(body)) + body


def load(data: bytes, codec: Codec) -> dict[str, StoreCards] | None:
    """Read what ``dump`` wrote.

    Args:
        data: The bytes of the file.
        codec: Unpacks the body.

    Returns:
        The stores by source text; None when a single bit of it can't be trusted.
    """
    if len(data) < _HEADER.size:
        return None
    magic, form, digest = _HEADER.unpack_from(data)
    body = data[_HEADER.size :]
    if magic != _MAGIC or form != _FORMAT or digest != _digest(body):
        return None
    try:
        fingerprint, stores = cast("list[Any]", codec.unpack(body))
        if fingerprint != _fingerprint():
            return None
        return {cards.store.source: cards for cards in map(_store_in, stores)}
    except (ValueError, TypeError, LookupError):  # whole, but written by another hand
        return None


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=_DIGEST_SIZE).digest()


def _fingerprint() -> list[object]:
    """Name all that decides which cards the same bytes give."""
    return [REVISION, _version("PyYAML"), _version("ruamel.yaml"), _version("resolverd")]


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _store_out(cards: StoreCards) -> list[object]:
    store = cards.store
    return [
        [getattr(store, name) for name in Store.__slots__],
        [cards.state, cards.reason, cards.root, cards.device, [list(root) for root in cards.roots]],
        [_file_out(file) for file in cards.files.values()],
        dict(cards.unreadable),
    ]


def _store_in(row: list[Any]) -> StoreCards:
    store, (state, reason, root, device, roots), files, unreadable = row
    known = Store(*store)
    by_path: Mapping[str, CardFile] = {file[0]: _file_in(file, known.source) for file in files}
    identities = tuple((path, at, inode) for path, at, inode in roots)
    return StoreCards(known, state, reason, root, device, by_path, unreadable, identities)


def _file_out(file: CardFile) -> list[object]:
    stamp = None if file.stamp is None else list(file.stamp)
    cards = [_card_out(card) for card in file.cards]
    problems = [[getattr(each, name) for name in Problem.__slots__] for each in file.problems]
    return [file.path, stamp, cards, problems, file.stale]


def _file_in(row: list[Any], source: str) -> CardFile:
    path, stamp, cards, problems, stale = row
    return CardFile(
        path,
        None if stamp is None else Stamp(*stamp),
        tuple([_card_in(card, path, source) for card in cards]),
        tuple([Problem(*problem) for problem in problems]),
        stale,
    )


def _card_out(card: Card) -> list[object]:
    # Not the path and the store: the cards of a file share theirs, in memory too.
    kinds = ",".join(sorted(card.kinds))
    facts = [kinds, card.prefetch, card.baseless, card.stale]
    return [card.name, card.base, card.packed, card.document, card.line, *facts]


def _card_in(row: list[Any], path: str, source: str) -> Card:
    name, base, packed, document, line, kinds, prefetch, baseless, stale = row
    return Card(
        name,
        base,
        packed,
        path,
        document,
        line,
        source,
        _kinds(kinds),
        prefetch,
        baseless,
        stale,
    )


@lru_cache(maxsize=64)
def _kinds(text: str) -> frozenset[str]:
    return frozenset(text.split(",")) if text else frozenset()
