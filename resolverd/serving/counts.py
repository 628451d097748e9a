"""Plain counters of the event loop, read whenever somebody asks.

Contract: counting costs a few nanoseconds, needs no lock and no library; nothing is lost when
nobody reads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

LOOKUP_SECONDS = (2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2.5e-4, 1e-3, 1e-2, 1e-1)
LAG_SECONDS = (1e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 1e-1, 2.5e-1, 1.0, 5.0)
RELOAD_SECONDS = (1e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 1e-1, 2.5e-1, 5e-1, 1.0, 2.5, 10.0, 60.0)


class Histogram:
    """How often a length of time fell between which bounds.

    Args:
        bounds: Upper bounds in seconds, ascending; what is longer than the last counts beyond.

    Attributes:
        counts: Of each bound's own range, then of what is beyond.
        sum: Of all lengths, in seconds.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one length of time."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


@dataclass(frozen=True, slots=True)
class Timings:
    """Lengths of time that were counted, in seconds.

    Attributes:
        lookup: Time spent on a lookup, of a sample of them.
        reload: From a change that was read to the generation that serves it.
        lag: How late the event loop ran what was due.
    """

    lookup: Histogram
    reload: Histogram
    lag: Histogram
