"""How watching is going, for people: readable at any time while ``watch`` runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

_SILENT = 5.0


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """One store.

    Attributes:
        source: The store's source text.
        state: Its root's state.
        reason: Why it is not ``ok``.
        polled: Why it is polled; None when it is watched.
        root: Its resolved root.
        files: Card files known.
        directories: Directories known.
        unsettled: Files left alone because someone is writing them.
        scans: Full scans so far.
        scan_seconds: How long the last one took.
        scan_cpu_seconds: What it cost.
        next_scan_seconds: The pause after it.
        hints: Events so far.
        recoveries: Changes that only a scan found because their event was lost.
        asked: Since when (``time.monotonic``) an answer of its file system is awaited; None when
            none is.
    """

    source: str
    state: str = "missing"
    reason: str = ""
    polled: str | None = None
    root: str | None = None
    files: int = 0
    directories: int = 0
    unsettled: int = 0
    scans: int = 0
    scan_seconds: float = 0.0
    scan_cpu_seconds: float = 0.0
    next_scan_seconds: float = 0.0
    hints: int = 0
    recoveries: int = 0
    asked: float | None = None

    @property
    def answering(self) -> bool:
        """False when the store's file system has been silent for seconds."""
        return self.asked is None or time.monotonic() - self.asked < _SILENT

    def shown(self) -> dict[str, object]:
        """Say how the store is seen, for a status of the whole daemon."""
        return {
            "mode": "watched" if self.polled is None else "polled",
            "why": self.polled,
            "answering": self.answering,
            "directories": self.directories,
            "last_scan_seconds": self.scan_seconds,
            "scan_interval_seconds": self.next_scan_seconds,
            "events": self.hints,
            "recoveries": self.recoveries,
        }


@dataclass(frozen=True, slots=True)
class WatchProblem:
    """Something that keeps events away; scanning goes on meanwhile."""

    code: str
    reason: str
    remedy: str


@dataclass(slots=True)
class WatchStatus:
    """All stores, updated in place.

    Attributes:
        stores: By source text.
        watched_directories: Directories that inotify watches.
        rebuilds: How often the set of watches was made anew.
        problem: What keeps events away, if anything does.
    """

    stores: dict[str, StoreStatus] = field(default_factory=dict)
    watched_directories: int = 0
    rebuilds: int = 0
    problem: WatchProblem | None = None
