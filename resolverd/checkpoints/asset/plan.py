"""Decides what to do next; performs nothing. Time and chance are passed in.

Ranges are half-open ``(start, end)`` pairs, kept sorted and disjoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.limits import Limits

Range = tuple[int, int]
Ranges = tuple[Range, ...]
Trust = Literal["card", "origin", "first-use"]


def add(ranges: Ranges, start: int, end: int) -> Ranges:
    """``ranges`` with ``start..end`` covered too."""
    kept = []
    for low, high in ranges:
        if high < start or low > end:
            kept.append((low, high))
        else:
            start, end = min(start, low), max(end, high)
    return tuple(sorted([*kept, (start, end)])) if end > start else tuple(kept)


def clip(ranges: Iterable[Range], end: int) -> Ranges:
    """The parts of ``ranges`` below ``end``."""
    return tuple((low, min(high, end)) for low, high in ranges if low < end)


def covered(ranges: Iterable[Range]) -> int:
    """How many bytes ``ranges`` hold."""
    return sum(high - low for low, high in ranges)


def frontier(ranges: Ranges) -> int:
    """How far the ranges reach from the start without a gap."""
    return ranges[0][1] if ranges and ranges[0][0] == 0 else 0


def gaps(ranges: Ranges, size: int) -> Ranges:
    """What is missing from a file of ``size`` bytes."""
    edges = [0, *(edge for pair in clip(ranges, size) for edge in pair), size]
    return tuple(
        (low, high) for low, high in zip(edges[::2], edges[1::2], strict=True) if low < high
    )


def parts(ranges: Ranges, size: int, part: int) -> Ranges:
    """The missing ranges, cut at multiples of ``part``, in order."""
    return tuple(
        (max(low, at), min(high, at + part))
        for low, high in gaps(ranges, size)
        for at in range(low - low % part, high, part)
    )


def delay(failures: int, jitter: float, retry_after: float | None, limits: Limits) -> float | None:
    """Seconds to wait before the next try; None to give up.

    Args:
        failures: Tries in a row that brought nothing, at least 1.
        jitter: Uniform in 0..1, so that a fleet does not come back as one.
        retry_after: What the server asked for.
        limits: Attempts and bounds.
    """
    if failures >= limits.attempts or (retry_after or 0.0) > limits.retry_after_most:
        return None
    step = min(limits.backoff * 2.0 ** min(failures - 1, 32), limits.backoff_most)
    own = step * (0.5 + jitter / 2)
    return own if retry_after is None else retry_after + own * jitter


def drips(count: int, seconds: float, limits: Limits) -> bool:
    """Whether an origin keeps a connection by a byte now and then, without giving the file.

    Args:
        count: Bytes that have come over the connection of late.
        seconds: How long they were waited for.
        limits: What is too slow, over how long.
    """
    return seconds >= limits.min_rate_seconds and count < limits.min_rate * seconds


def retry_after(header: str | None, now: float) -> float | None:
    """Read ``Retry-After``: seconds, or a date (in whatever century); None for nonsense.

    Args:
        header: The header's value, if there was one.
        now: Seconds since the epoch, by this node's clock.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file's digest must be, and on whose word; no digest: trust on first use."""

    digest: Digest | None
    trust: Trust


def expected(
    card: Mapping[str, Digest], name: str, origin: Sequence[Digest], bound: Digest | None
) -> Expected:
    """Choose the best word on what ``name`` must hash to.

    Args:
        card: The card's digests by file name; the empty name stands for the only file.
        name: The file's name (in a set: its path).
        origin: What the origin states, strongest first.
        bound: What the same version of the same URI hashed to before.
    """
    if said := card.get(name) or card.get(name.rpartition("/")[2]) or card.get(""):
        return Expected(said, "card")
    if origin:
        return Expected(origin[0], "origin")
    return Expected(bound, "first-use")
