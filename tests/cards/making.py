"""Makes cards, files and stores for the tests of this folder, and reads YAML as fairseq2 does."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from typing import Any

from resolverd_client import protocol
from ruamel.yaml import YAML

from resolverd.cards.catalogue import StoreCards, apply
from resolverd.cards.file import FileRead, Stamp, StoreChange
from resolverd.cards.store import Store

CODEC: Any = protocol
ROOT = "/cards"
SOURCE = f"path:{ROOT}"


def make_store(root: str = ROOT, precedence: int = 0, *, optional: bool = False) -> Store:
    return Store(f"path:{root}", root, precedence=precedence, optional=optional)


def make_read(path: str, text: str | bytes | None, *, error: str | None = None) -> FileRead:
    data = text.encode() if isinstance(text, str) else text
    size = -1 if data is None else len(data)
    return FileRead(path, Stamp(hash(data), 0, size, 1), data, error)


def make_cards(files: dict[str, str], root: str = ROOT, precedence: int = 0) -> StoreCards:
    """Make a store of files, given as path below the root and content."""
    reads = tuple(make_read(f"{root}/{path}", text) for path, text in files.items())
    change = StoreChange(f"path:{root}", root=root, device=1, reads=reads, complete=True)
    return apply(StoreCards(make_store(root, precedence)), change, CODEC)


def change_files(
    cards: StoreCards, files: dict[str, str | bytes], removed: Iterable[str] = ()
) -> StoreCards:
    root = cards.store.location
    reads = tuple(make_read(f"{root}/{path}", text) for path, text in files.items())
    gone = frozenset(f"{root}/{path}" for path in removed)
    change = StoreChange(cards.store.source, root=root, device=1, reads=reads, removed=gone)
    return apply(cards, change, CODEC)


def load_reference(data: bytes) -> list[object]:
    """Read all documents as fairseq2 0.8.1 reads a file of its own (with a fresh loader)."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(YAML(typ="safe", pure=True).load_all(text))


def exact(value: object) -> object:
    """Make a form of a value that is equal only to that of the same value of the same types."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, dict):
        return kind, [(exact(key), exact(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return kind, [exact(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return kind, sorted((exact(item) for item in value), key=repr)
    return kind, hex(value) if type(value) is int else repr(value)  # repr refuses huge ones
