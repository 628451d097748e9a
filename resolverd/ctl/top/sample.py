"""Two states of the daemon, and what happened between them; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

State = Mapping[str, Any]

LOOKUPS = ("get", "names", "digests", "resolve")


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the daemon.

    Attributes:
        state: Its status.
        lookups: Lookups a second since the look before; None when there was none, or when another
            daemon answered it.
        requests: Other requests a second.
        fetched: Bytes a second that came from origins.
    """

    state: State
    lookups: float | None = None
    requests: float | None = None
    fetched: float | None = None


def sample(before: State | None, now: State) -> Sample:
    """Compare two states by the daemon's own clock."""
    if before is None or before["pid"] != now["pid"]:
        return Sample(now)
    seconds = now["uptime"] - before["uptime"]
    if seconds <= 0:
        return Sample(now)
    old, new = _totals(before), _totals(now)
    lookups, requests, fetched = (
        max(0.0, (new_total - old_total) / seconds)
        for old_total, new_total in zip(old, new, strict=True)
    )
    return Sample(now, lookups, requests, fetched)


def _totals(state: State) -> tuple[int, int, int]:
    asked = state["counts"]["requests"]
    lookups = sum(asked.get(method, 0) for method in LOOKUPS)
    fetched = state["checkpoints"]["counts"]["fetched_bytes"]
    return lookups, sum(asked.values()) - lookups, fetched


def hit_rate(state: State) -> float | None:
    """The part of requests for checkpoints that the cache answered; None without any."""
    counts = state["checkpoints"]["counts"]
    asked = counts["hits"] + counts["misses"]
    return counts["hits"] / asked if asked else None


def seconds_left(download: State) -> float | None:
    """How long a download takes at its present rate; None when nobody can tell."""
    if not download["total"] or not download["rate"]:
        return None
    left: float = (download["total"] - download["done"]) / download["rate"]
    return max(0.0, left)
