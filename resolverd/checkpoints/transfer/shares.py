"""Which thread brings which part of a file: parts in order, then halves of what others still have.

In order, so that hashing, which must go from start to end, keeps up with what arrives.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from resolverd.checkpoints.asset.plan import Ranges
from resolverd.checkpoints.limits import MIB

_SMALLEST = MIB
_WORTHWHILE_SECONDS = 0.25


class Share:
    """What one thread brings.

    Attributes:
        at: How far it has come.
        end: Where it ends; None at the end of a file of unknown length.
        claimed: How far it may come with the read that is under way.
        began: When it began, by the clock of :class:`Shares`.
        first: Where it began.
    """

    __slots__ = ("at", "began", "claimed", "end", "first")

    def __init__(self, at: int, end: int | None, began: float) -> None:
        self.at = self.first = self.claimed = at
        self.end = end
        self.began = began

    def __repr__(self) -> str:
        return f"<Share {self.first}..{self.at}..{self.end}>"


class Shares:
    """All that is missing of a file, shared among threads.

    Args:
        parts: What is missing, in order.
        clock: Seconds.
    """

    def __init__(self, parts: Ranges, clock: Callable[[], float] = time.monotonic) -> None:
        self._waiting = deque(parts)
        self._active: list[Share] = []
        self._clock = clock
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many parts nobody has begun."""
        return len(self._waiting)

    def take(self) -> Share | None:
        """The next part, or the half of one that another thread is slow with; None: nothing."""
        with self._lock:
            found = self._waiting.popleft() if self._waiting else self._half()
            if found is None:
                return None
            share = Share(*found, self._clock())
            self._active.append(share)
            return share

    def claim(self, share: Share, most: int) -> int:
        """How many bytes the next read may bring; nobody else is given these. 0 at its end."""
        if share.end is None:
            return most
        with self._lock:
            share.claimed = min(share.at + most, share.end)
            return share.claimed - share.at

    def done(self, share: Share) -> None:
        """Take in that a share has come, or is given up: what is left of it is for others."""
        with self._lock:
            self._active.remove(share)
            if share.end is not None and share.at < share.end:
                self._waiting.appendleft((share.at, share.end))

    def _half(self) -> tuple[int, int] | None:
        """Cut off the second half of the share that would take longest, if that is worth it."""
        now = self._clock()
        slow = [share for share in self._active if _worth_halving(share, now)]
        if not slow:
            return None
        share = max(slow, key=_left)
        end, middle = share.end, share.claimed + _left(share) // 2
        assert end is not None  # noqa: S101  # one without an end is not worth halving
        share.end = middle
        return middle, end


def _left(share: Share) -> int:
    return 0 if share.end is None else share.end - share.claimed


def _worth_halving(share: Share, now: float) -> bool:
    """Whether its rest is more than a new request, and a cut connection, cost."""
    rate = (share.at - share.first) / max(now - share.began, 1e-3)
    return _left(share) >= max(2 * _SMALLEST, rate * _WORTHWHILE_SECONDS)
