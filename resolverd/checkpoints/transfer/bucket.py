"""A token bucket: how long bytes that have come must hold up the next. Pure; time is passed in.

Bytes are charged after they came, as nobody knows before how many will: who took too many waits.
"""

from __future__ import annotations

from dataclasses import dataclass

_BURST_SECONDS = 0.125


@dataclass(frozen=True, slots=True)
class Bucket:
    """One limit.

    Attributes:
        rate: Bytes a second.
        level: Bytes that may come at once; below 0: bytes that have to be waited for.
        at: When that was so, in seconds.
    """

    rate: float
    level: float
    at: float


def charged(bucket: Bucket, count: int, now: float) -> Bucket:
    """The bucket after ``count`` bytes have come."""
    refilled = bucket.level + bucket.rate * max(0.0, now - bucket.at)
    level = min(refilled, bucket.rate * _BURST_SECONDS) - count
    return Bucket(bucket.rate, level, max(now, bucket.at))


def pause(bucket: Bucket) -> float:
    """Seconds until more may come."""
    return max(0.0, -bucket.level / bucket.rate)


def quantum(rate: float) -> int:
    """Bytes to read at a time, so that a rate is kept evenly, and none waits long for another."""
    return max(1 << 14, int(rate * _BURST_SECONDS))
