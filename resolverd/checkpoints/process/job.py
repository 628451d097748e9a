"""One running job of the worker, as seen by the code that does it.

Whether to stop, how to wait, where to tell progress.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Literal

from resolverd.checkpoints.faults import Cancelled

Step = Literal[
    "waiting", "connecting", "fetching", "retrying", "verifying", "unpacking", "publishing"
]
Tell = Callable[[Step, int, "int | None", float, "str | None"], None]

_TELL_EVERY = 0.1
_RATE_OVER = 3.0


class Job:
    """Shared by the threads of one download."""

    def __init__(self, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._clock = clock
        self._stop = threading.Event()
        self._aborts: set[Callable[[], None]] = set()
        self._lock = threading.Lock()
        self._step: Step = "connecting"
        self._done = 0
        self._total: int | None = None
        self._fault: str | None = None
        self._told = -1.0
        self._marks: list[tuple[float, int]] = []

    def stop(self) -> None:
        """Ask every thread of the job to end."""
        self._stop.set()
        with self._lock:
            aborts = tuple(self._aborts)
        for abort in aborts:
            abort()

    @contextlib.contextmanager
    def stopping(self, abort: Callable[[], None]) -> Iterator[None]:
        """While in the block, :meth:`stop` also calls ``abort``, from its own thread."""
        with self._lock:
            self._aborts.add(abort)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._aborts.discard(abort)

    @contextlib.contextmanager
    def share(self) -> Iterator[Job]:
        """While in the block, a part of this job: it stops with it, and its bytes count in it."""
        seen = 0

        def take(
            step: Step, done: int, _total: int | None, _rate: float, fault: str | None
        ) -> None:
            nonlocal seen
            with self._lock:
                if fault not in {None, self._fault}:
                    self._told = -1.0  # told at once
                self._step, self._fault = step, fault or self._fault
                self._done += done - seen
                seen = done
            self.tell()

        part = Job(take, self._clock)
        with self.stopping(part.stop):
            yield part
        take(part._step, part._done, None, 0.0, None)  # its own kind

    @property
    def stopped(self) -> bool:
        """Whether the job is to end."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise :class:`Cancelled` when the job is to end."""
        if self._stop.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Sleep, unless the job is to end."""
        if self._stop.wait(seconds):
            raise Cancelled

    def enter(self, step: Step) -> None:
        """Tell at once what is being done now."""
        with self._lock:
            changed, self._step = self._step != step, step
        if changed:
            self._told = -1.0
            self.tell()

    def stumble(self, fault: str) -> None:
        """Tell at once what went wrong, and that it is tried again."""
        with self._lock:
            self._step, self._fault = "retrying", fault
        self._told = -1.0
        self.tell()

    @contextlib.contextmanager
    def standing_by(self) -> Iterator[None]:
        """While in the block, tell that the job waits for others."""
        before = self._step
        self.enter("waiting")
        try:
            yield
        finally:
            self.enter(before)

    def expect(self, done: int, total: int | None) -> None:
        """Set how much there is, and how much of it is there already."""
        with self._lock:
            self._done, self._total, self._marks = done, total, []
        self.tell()

    def advance(self, count: int) -> None:
        """Count bytes that were fetched just now."""
        with self._lock:
            self._done += count
        self.tell()

    def tell(self) -> None:
        """Send progress on, not more often than people can read."""
        now = self._clock()
        if now - self._told < _TELL_EVERY:
            return
        with self._lock:
            self._told = now
            self._marks.append((now, self._done))
            while now - self._marks[0][0] > _RATE_OVER:
                self._marks.pop(0)
            (began, first), fault = self._marks[0], self._fault
            step, done, total = self._step, self._done, self._total
        rate = (done - first) / (now - began) if now > began else 0.0
        self._tell(step, done, total, rate, fault)
