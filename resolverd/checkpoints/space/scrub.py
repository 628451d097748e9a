"""Hashes published objects again, slowly, in the background: what rots is found before a job does.

Each object is due once in a while, the one that was verified longest ago first. When that was is
the time of its manifest, so that a restart goes on where the last run was.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable

from resolverd.checkpoints import disk
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.faults import Cancelled
from resolverd.checkpoints.intake.fetch import Engine
from resolverd.checkpoints.intake.hashing import faults
from resolverd.checkpoints.process.job import Job

_LOOK_EVERY = 60.0
_LOOK_SOONEST = 0.05
_YIELD = 0.2


def due(verified: Iterable[tuple[str, float]], now: float, period: float) -> str | None:
    """Choose the object to hash next.

    Args:
        verified: Keys, and when each was last found right.
        now: Seconds since the epoch; an object from the future, by a clock that was wrong, is due.
        period: Seconds after which an object is due; 0: never.

    Returns:
        The one that waits longest; None when none is due.
    """
    waiting = [(then, key) for key, then in verified if not now - period < then <= now]
    return min(waiting)[1] if period > 0 and waiting else None


class Unhurried(Job):
    """A job that keeps to a rate, and stands aside while others work.

    Args:
        rate: Bytes a second.
        busy: Whether others work.
        clock: Seconds, from any start.
    """

    def __init__(
        self, rate: int, busy: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(lambda *_: None)
        self._per_second = max(1, rate)
        self._busy = busy
        self._now = clock
        self._next = clock()

    def check(self) -> None:
        """Wait until the next bytes may be read."""
        super().check()
        while self._busy():
            self.wait(_YIELD)
        ahead = self._next - self._now()
        if ahead > 0:
            self.wait(ahead)

    def advance(self, count: int) -> None:
        """Count bytes that were read just now."""
        self._next = max(self._next, self._now() - 1.0) + count / self._per_second


class Scrub:
    """The worker's background verification.

    Args:
        busy: Whether anything else is being done for somebody who waits.
        suspect: Has the last word on an object that looks bad.
    """

    def __init__(self, busy: Callable[[], bool], suspect: Callable[[str], None]) -> None:
        self._busy = busy
        self._suspect = suspect
        self._wake = threading.Event()

    def step(self, engine: Engine) -> None:
        """Hash all objects that are due."""
        limits = engine.room.limits
        while key := due(_verified(engine.layout), time.time(), limits.scrub_seconds):
            manifest = disk.read_manifest(engine.layout, key)
            if manifest is None:  # gone just now, damaged, or of another format
                disk.set_aside_unknown(engine.layout, key, limits)
                disk.found_right(engine.layout, key, time.time())
                continue
            job = Unhurried(limits.scrub_rate, self._busy)
            try:
                found = faults(engine.layout.object(key), manifest.files, job)
            except Cancelled:
                return
            if found:
                self._suspect(key)
            else:
                disk.found_right(engine.layout, key, time.time())

    def rest(self, engine: Engine) -> None:
        """Wait until an object may be due, or the configuration has changed."""
        period = engine.room.limits.scrub_seconds
        then = min((then for _, then in _verified(engine.layout)), default=time.time())
        pause = then + period - time.time() if period else _LOOK_EVERY
        self._wake.wait(min(max(pause, _LOOK_SOONEST), _LOOK_EVERY))
        self._wake.clear()

    def wake(self) -> None:
        """Look again now."""
        self._wake.set()


def _verified(layout: Layout) -> list[tuple[str, float]]:
    keys = os.listdir(layout.folder("objects"))
    return [(key, then) for key in keys if (then := disk.verified_at(layout, key)) is not None]
