"""What all downloads of the worker share: slots, and bandwidth.

:mod:`~resolverd.checkpoints.slots` and :mod:`~resolverd.checkpoints.transfer.bucket` decide.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from resolverd.checkpoints import slots
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.slots import Slots, Turn
from resolverd.checkpoints.transfer import bucket
from resolverd.checkpoints.transfer.bucket import Bucket

_HOSTS_MOST = 1000


class Traffic:
    """Slots and bandwidth of a worker.

    Args:
        limits: How much of both there is.
        clock: Seconds.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._changed = threading.Condition()
        self._slots = Slots()
        self._numbers = itertools.count()
        self._buckets: dict[str, Bucket] = {}

    def __repr__(self) -> str:
        return f"<Traffic running={self._slots.running} waiting={len(self._slots.waiting)}>"

    @property
    def limits(self) -> Limits:
        """How much there is; may be set while downloads run."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        with self._changed:
            self._limits = limits
            self._buckets.clear()
            self._put(slots.advanced(self._slots, limits))

    @contextmanager
    def lane(self, host: str, job: Job) -> Iterator[Lane]:
        """Wait for a slot, and have it while in the block.

        Raises:
            Cancelled: The job was stopped first.
        """
        number = next(self._numbers)
        try:
            with self._changed:
                self._put(slots.joined(self._slots, Turn(number, host), self._limits))
            self.wait(number, job)
            yield Lane(self, number, host, job)
        finally:
            with self._changed:
                self._put(slots.left(self._slots, number, self._limits))

    def grow(self, number: int) -> bool:
        """Take in that a download is a large one; tells whether it has its slot still."""
        with self._changed:
            self._put(slots.grown(self._slots, number, self._limits))
            return self._slots.has(number)

    def wait(self, number: int, job: Job) -> None:
        """Wait for a download's slot."""
        with job.stopping(self._wake), self._changed:
            if not self._slots.has(number):
                job.enter("waiting")
            self._changed.wait_for(lambda: job.stopped or self._slots.has(number))
        job.check()

    def charge(self, host: str, count: int) -> float:
        """Take in that bytes came from a host; gives the seconds to wait before the next."""
        limits, now = self._limits, self._clock()
        rates = {"": limits.bandwidth, f"host {host}": limits.host_bandwidth}
        with self._changed:
            return max(self._charged(name, rate, count, now) for name, rate in rates.items())

    def _charged(self, name: str, rate: int, count: int, now: float) -> float:
        if not rate:
            return 0.0
        if len(self._buckets) > _HOSTS_MOST:
            self._buckets.clear()
        held = self._buckets.get(name, Bucket(rate, 0.0, now))
        self._buckets[name] = found = bucket.charged(held, count, now)
        return bucket.pause(found)

    def _put(self, new: Slots) -> None:
        self._slots = new
        self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class Lane:
    """One download's part in it."""

    def __init__(self, traffic: Traffic, number: int, host: str, job: Job) -> None:
        self._traffic = traffic
        self._number = number
        self._host = host
        self._job = job

    def expect(self, count: int, before_waiting: Callable[[], None]) -> None:
        """Take in how many bytes come in all; a large download may have to wait for others.

        Args:
            count: Bytes that are missing.
            before_waiting: Lets go of what nobody should hold while waiting.
        """
        if count >= self._traffic.limits.large_bytes and not self._traffic.grow(self._number):
            before_waiting()
            self._traffic.wait(self._number, self._job)

    def most(self, count: int) -> int:
        """Bytes to read at a time, ``count`` at most."""
        limits = self._traffic.limits
        rates = [rate for rate in (limits.bandwidth, limits.host_bandwidth) if rate]
        return min(count, bucket.quantum(min(rates))) if rates else count

    def passed(self, count: int) -> None:
        """Take in that bytes have come, and wait as long as their number asks for.

        Raises:
            Cancelled: The job was stopped meanwhile.
        """
        if seconds := self._traffic.charge(self._host, count):
            self._job.wait(seconds)
