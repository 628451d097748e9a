"""What has arrived of one file: receivers add to it, hashing and journalling wait for more.

All that the threads of one attempt share and change is here, behind one condition.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from resolverd.checkpoints import plan
from resolverd.checkpoints.job import Job
from resolverd.checkpoints.plan import Ranges


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
        self._news = threading.Condition()
        self._aborts: set[Callable[[], None]] = set()

    def over(self) -> bool:
        """Whether every thread is to end."""
        return self.error is not None or self._job.stopped

    def ended(self) -> bool:
        """Whether no more comes."""
        return self._receivers <= 0

    # -- from the receivers

    def wrote(self, at: int, count: int) -> None:
        """Take in that bytes were written."""
        with self._news:
            self.ranges = plan.add(self.ranges, at, at + count)
            self._news.notify_all()
        self._job.advance(count)

    def received(self) -> None:
        """Take in that one receiver is done."""
        with self._news:
            self._receivers -= 1
            self._news.notify_all()

    # -- to those who follow

    def reach_beyond(self, at: int) -> int:
        """Wait until more than ``at`` bytes are there without a gap; ``at`` when no more come."""
        with self._news:
            self._news.wait_for(
                lambda: self.over() or self.ended() or plan.frontier(self.ranges) > at
            )
            return at if self.over() else plan.frontier(self.ranges)

    def wait_for(self, enough: int, seconds: float) -> tuple[bool, Ranges]:
        """Wait until there are ``enough`` bytes, or some time has passed, or no more comes.

        Returns:
            Whether no more comes, and what is there.
        """
        with self._news:
            self._news.wait_for(
                lambda: self.ended() or plan.covered(self.ranges) >= enough, timeout=seconds
            )
            return self.ended(), self.ranges

    # -- ending early

    def guarded(self, work: Callable[[], None]) -> None:
        """Do a thread's work; what it raises is kept, and ends the others."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # kept, and raised by who began the threads
            with self._news:
                if self.error is None:
                    self.error = error
            self.abort()

    @contextmanager
    def aborting(self, abort: Callable[[], None]) -> Iterator[None]:
        """While in the block, whatever ends the attempt calls ``abort`` too."""
        with self._news:
            self._aborts.add(abort)
        try:
            yield
        finally:
            with self._news:
                self._aborts.discard(abort)

    def abort(self) -> None:
        """Wake every thread that waits for bytes."""
        with self._news:
            aborts = tuple(self._aborts)
            self._news.notify_all()
        for abort in aborts:
            abort()
