"""What the engine has done since the daemon started, in plain numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resolverd.checkpoints import faults
from resolverd.errors import CacheError

_REASONS: Mapping[str, str] = {
    faults.Denied.__name__: "denied",
    faults.VerificationError.__name__: "verification",
    CacheError.__name__: "cache",
}

Tell = Callable[[Mapping[str, Any]], None]


@dataclass(slots=True)
class Counts:
    """Changed on the event loop alone.

    Attributes:
        hits: Requests answered with what was there.
        misses: Requests that had to wait for the worker.
        fetched_bytes: Bytes that came from origins.
        verified_bytes: Bytes of files whose digests were found right.
        evictions: Objects, partial downloads and what was in quarantine that gave way, or were
            removed.
        evicted_bytes: What they took.
        failures: What failed, by reason: ``denied``, ``origin``, ``verification`` (what came is in
            quarantine), ``cache``, or ``damaged`` (what was in the cache is).
    """

    hits: int = 0
    misses: int = 0
    fetched_bytes: int = 0
    verified_bytes: int = 0
    evictions: int = 0
    evicted_bytes: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def failed(self, error: Exception) -> None:
        """Count a download that ended in an error."""
        self.failures[_REASONS.get(faults.name_of(error), "origin")] += 1

    def metered(self, tell: Tell) -> Tell:
        """Count the bytes that one download's events tell of, and pass the events on."""
        last: Mapping[str, Any] = {"step": "connecting", "done": 0, "total": None}

        def hear(event: Mapping[str, Any]) -> None:
            nonlocal last
            self.fetched_bytes += _arrived(last, event)
            last = event
            tell(event)

        return hear

    def shown(self) -> dict[str, Any]:
        """Give all as plain data."""
        return {
            "hits": self.hits,
            "misses": self.misses,
            "fetched_bytes": self.fetched_bytes,
            "verified_bytes": self.verified_bytes,
            "evictions": self.evictions,
            "evicted_bytes": self.evicted_bytes,
            "failures": dict(self.failures),
        }


def _arrived(before: Mapping[str, Any], now: Mapping[str, Any]) -> int:
    """Bytes that came between two events; what a journal knew of already is told first."""
    fetching = before["step"] in ("fetching", "retrying") and before["total"] == now["total"]
    return max(0, int(now["done"]) - int(before["done"])) if fetching else 0
