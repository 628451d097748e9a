"""What has arrived of one file: receivers add to it, hashing and journalling wait for more.

All that the threads of one attempt share and change is here, behind one condition.

What has just been written is handed to who hashes as the buffer that it came in: reading it back
would copy it once more. There are few buffers, so a receiver that is faster than hashing waits.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from resolverd.checkpoints.asset import plan
from resolverd.checkpoints.asset.plan import Ranges
from resolverd.checkpoints.limits import MIB
from resolverd.checkpoints.process.job import Job

BUFFER = MIB // 2
"""Bytes that a receiver gathers, at most, before it writes them."""

_LENT_MOST = 8


def new_buffer() -> memoryview:
    """Memory that is the system's again as soon as nobody uses it, and costs what is used of it."""
    return memoryview(mmap.mmap(-1, BUFFER))


class Arrival:
    """Which bytes are there, whether more come, and what went wrong.

    Args:
        ranges: What is there already.
        size: The file's length; None while unknown.
        receivers: Threads that will call :meth:`received`.
        job: What stops everything.

    Attributes:
        ranges: What is there.
        size: The file's length; known once it has all arrived.
        error: The first thing that went wrong.
    """

    def __init__(self, ranges: Ranges, size: int | None, receivers: int, job: Job) -> None:
        self.ranges = ranges
        self.size = size
        self.error: BaseException | None = None
        self._receivers = receivers
        self._job = job
        self._lock = threading.Lock()
        # Three, so that nobody is woken for what only another waits for.
        self._reaches = threading.Condition(self._lock)
        self._enough = threading.Condition(self._lock)
        self._returns = threading.Condition(self._lock)
        self._asked = 0
        self._aborts: set[Callable[[], None]] = set()
        self._hashed = 0
        self._lent: dict[int, memoryview] = {}
        self._spare: list[memoryview] = []
        self._buffers = 0

    def over(self) -> bool:
        """Whether every thread is to end."""
        return self.error is not None or self._job.stopped

    def ended(self) -> bool:
        """Whether no more comes."""
        return self._receivers <= 0

    # -- from the receivers

    def wrote(self, at: int, count: int) -> None:
        """Take in that bytes were written."""
        with self._lock:
            self._add(at, count)
        self._job.advance(count)

    def wrote_from(self, buffer: memoryview, at: int, count: int) -> memoryview:
        """Take in that a buffer's first bytes were written; it may be kept for hashing.

        Returns:
            The buffer to go on with.
        """
        with self._lock:
            near = at - self._hashed <= _LENT_MOST * BUFFER and at == plan.frontier(self.ranges)
            if near:
                self._lent[at] = buffer[:count]
            self._add(at, count)
            if near:
                buffer = self._another(buffer)
        self._job.advance(count)
        return buffer

    def _add(self, at: int, count: int) -> None:
        self.ranges = plan.add(self.ranges, at, at + count)
        if plan.frontier(self.ranges) > self._hashed:
            self._reaches.notify()
        if plan.covered(self.ranges) >= self._asked:
            self._enough.notify()

    def _another(self, lent: memoryview) -> memoryview:
        if not self._spare and self._buffers < _LENT_MOST:
            self._buffers += 1
            return new_buffer()
        self._returns.wait_for(lambda: self._spare or self.over())
        return self._spare.pop() if self._spare else lent  # over: nobody writes to it any more

    def joined(self) -> None:
        """Take in that there is one more receiver."""
        with self._lock:
            self._receivers += 1

    def received(self) -> None:
        """Take in that one receiver is done."""
        with self._lock:
            self._receivers -= 1
            self._wake_all()

    # -- to those who follow

    def next_piece(self, at: int) -> tuple[int, memoryview | None]:
        """Wait until more than ``at`` bytes are there without a gap.

        Returns:
            How many follow, and the bytes themselves where they are still at hand; 0 when no more
            come.
        """
        with self._lock:
            self._hashed = at
            self._reaches.wait_for(
                lambda: self.over() or self.ended() or plan.frontier(self.ranges) > at
            )
            if self.over():
                return 0, None
            if (lent := self._lent.pop(at, None)) is not None:
                return len(lent), lent
            return min(self._lent, default=plan.frontier(self.ranges)) - at, None

    def give_back(self, lent: memoryview) -> None:
        """Let receivers use a buffer again."""
        with self._lock:
            self._spare.append(memoryview(lent.obj))
            self._returns.notify()

    def wait_for(self, enough: int, seconds: float) -> tuple[bool, Ranges]:
        """Wait until there are ``enough`` bytes, or some time has passed, or no more comes.

        Returns:
            Whether no more comes, and what is there.
        """
        with self._lock:
            self._asked = enough
            self._enough.wait_for(
                lambda: self.ended() or plan.covered(self.ranges) >= enough, timeout=seconds
            )
            return self.ended(), self.ranges

    # -- ending early

    def guarded(self, work: Callable[[], None]) -> None:
        """Do a thread's work; what it raises is kept, and ends the others."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # kept, and raised by who began the threads
            with self._lock:
                if self.error is None:
                    self.error = error
            self.abort()

    @contextmanager
    def aborting(self, abort: Callable[[], None]) -> Iterator[None]:
        """While in the block, whatever ends the attempt calls ``abort`` too."""
        with self._lock:
            self._aborts.add(abort)
        try:
            yield
        finally:
            with self._lock:
                self._aborts.discard(abort)

    def abort(self) -> None:
        """Wake every thread that waits for bytes."""
        with self._lock:
            aborts = tuple(self._aborts)
            self._wake_all()
        for abort in aborts:
            abort()

    def _wake_all(self) -> None:
        for waiting in (self._reaches, self._enough, self._returns):
            waiting.notify_all()
