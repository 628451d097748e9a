"""A file of a store as it was seen: which version, and what was in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple


class Stamp(NamedTuple):
    """Tells two versions of a file apart without reading them.

    Compared for equality only, never for order: a clock may run backwards.
    """

    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int


@dataclass(frozen=True, slots=True)
class FileRead:
    """One attempt at reading one file.

    Attributes:
        path: Absolute path: the store's resolved root, then the names below it.
        stamp: The version that was read; None when the file could not be stat'ed, or when the
            version can't be told apart from a later one (written within the clock's grain of the
            reading), so that the next scan reads it again.
        data: The bytes, or None when the file can't be read.
        error: Why it can't be read; None when it was.
    """

    path: str
    stamp: Stamp | None
    data: bytes | None
    error: str | None = None


RootState = Literal["ok", "missing", "error", "empty-mount"]


RootIdentity = tuple[str, int, int]
"""Path, device and inode."""


@dataclass(frozen=True, slots=True)
class StoreChange:
    """What has changed in one store since the last such report.

    Attributes:
        source: The store, by its source text (``Store.source``).
        state: ``ok``, or why the root can't be trusted; then the last good cards are kept, marked
            stale, and nothing of ``removed`` applies.
        reason: Why the state is not ``ok``; empty otherwise.
        root: The root as resolved at this moment; None when it does not resolve.
        device: Device number of the root's file system; None when unknown.
        roots: Path, device and inode of each resolved root (a package may have several); the inode
            of a single file counts as 0, as every atomic write replaces it.
        reads: Files that are new, changed, or newly unreadable.
        removed: Paths that are gone for sure.
        unreadable: Directories that could not be listed, with the reason: what was known below
            them is kept, marked stale.
        complete: True for a report of the whole store, as at start and when a root was replaced:
            ``reads`` then holds all files that ``kept`` does not, and any other path is gone.
        kept: With ``complete``: files unchanged from what was already known.
    """

    source: str
    state: RootState = "ok"
    reason: str = ""
    root: str | None = None
    device: int | None = None
    reads: tuple[FileRead, ...] = ()
    removed: frozenset[str] = frozenset()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False
    kept: frozenset[str] = frozenset()
    roots: tuple[RootIdentity, ...] = ()
