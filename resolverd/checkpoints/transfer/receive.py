"""Threads that bring bytes from the origin into the partial file, in whichever order."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from functools import partial

from resolverd.checkpoints.asset import plan
from resolverd.checkpoints.asset.plan import Ranges
from resolverd.checkpoints.faults import Transient
from resolverd.checkpoints.limits import MIB
from resolverd.checkpoints.sources.base import Transfer
from resolverd.checkpoints.space import pace
from resolverd.checkpoints.space.pace import Pace
from resolverd.checkpoints.transfer.arrival import BUFFER, Arrival, new_buffer
from resolverd.checkpoints.transfer.aside import Aside
from resolverd.checkpoints.transfer.attempt import Attempt, back_off
from resolverd.checkpoints.transfer.shares import Share, Shares
from resolverd.errors import SourceError

_FILL_SECONDS = 0.05
_WRITE_MOST = 1 << 16  # larger pages for larger writes cost twice the system time
_WRITE_OUT = 8 * MIB
_SYNC_FILE_RANGE_WRITE = 2

_libc = ctypes.CDLL(None, use_errno=True)

Begin = Callable[[Callable[[], None]], None]


class Receivers:
    """The receiving threads of one attempt: one at first, more where more bring more.

    Args:
        attempt: What they work on.
        arrival: Told of what they wrote; it counts the first of them already.
        parts: What is missing.
        begin: Gives work to one more thread.
    """

    def __init__(self, attempt: Attempt, arrival: Arrival, parts: Ranges, begin: Begin) -> None:
        self._attempt = attempt
        self._arrival = arrival
        self._shares = Shares(parts)
        self._begin = begin
        self._lock = threading.Lock()
        self._running = 1
        self._waited = 0.0
        most = attempt.limits.connections if attempt.journal else 1
        self._pace = Pace(most, time.monotonic())

    def receive_parts(self) -> None:
        """Bring shares until none is left, or fewer threads are wanted; the work of each."""
        try:
            while True:
                self._receive_shares()
                if self._leaves():
                    return
        finally:
            self._arrival.received()

    def _receive_shares(self) -> None:
        while not self._arrival.over() and not self._superfluous():
            share = self._shares.take()
            if share is None:
                return
            try:
                self._receive(share)
            finally:
                self._shares.done(share)

    def receive_whole(self) -> None:
        """Bring the file from its start to its end; the work of one thread."""
        share, arrival = Share(0, None, 0.0), self._arrival
        try:
            self._drain(share)
            if arrival.size is not None and share.at != arrival.size and not arrival.over():
                raise SourceError(
                    f"{self._attempt.file.name}: {share.at} bytes came, {arrival.size} were "
                    "announced."
                )
        finally:
            if arrival.size is None:
                arrival.size = share.at
            arrival.received()

    # -- how many

    def _superfluous(self) -> bool:
        with self._lock:
            return self._running > self._pace.connections

    def _leaves(self) -> bool:
        """Whether a thread may end: the last one may not while others have left something."""
        with self._lock:
            if self._running == 1 and self._shares and not self._arrival.over():
                return False
            self._running -= 1
            return True

    def _adapt(self, waited: float) -> None:
        """Take in how long the origin was waited for; have more threads where that is long."""
        with self._lock:
            self._waited += waited
            self._pace = pace.judged(self._pace, time.monotonic(), self._waited)
            wanted = self._pace.connections - self._running
            self._running += max(0, wanted)
        for _ in range(wanted):
            self._arrival.joined()
            self._begin(self.receive_parts)

    def _refused(self, share: Share, began: int) -> bool:
        """Whether a try brought nothing, while other threads show that the origin still gives."""
        with self._lock:
            if share.at != began or self._running == 1:
                return False
            self._pace = pace.refused(self._pace, self._running - 1)
            return True

    # -- one of them

    def _receive(self, share: Share) -> None:
        """Bring one share, in as many tries as it takes."""
        failures, job = 0, self._attempt.job
        while share.at != share.end and not self._arrival.over():
            began = share.at
            try:
                self._drain(share)
            except Transient as error:
                if self._arrival.over() or self._refused(share, began):
                    return
                failures = 1 if share.at - began >= BUFFER else failures + 1
                back_off(error, failures, self._attempt.limits, job)
                job.enter("fetching")

    def _drain(self, share: Share) -> None:
        """Read to the end of a share, or of the file."""
        file, source, began = self._attempt.file, self._attempt.source, time.monotonic()
        asked = Aside(partial(source.open, file, share.at, share.end), _close)
        with (
            asked.result(self._arrival.aborting, self._arrival.over) as transfer,
            self._arrival.aborting(transfer.abort),
        ):
            self._adapt(time.monotonic() - began)
            self._pour(transfer, share)

    def _pour(self, transfer: Transfer, share: Share) -> None:
        buffer, fd = new_buffer(), self._attempt.fd
        flushed, flow = share.at, _Flow(self._attempt)
        lane = self._attempt.lane
        while not self._arrival.over() and (room := self._shares.claim(share, lane.most(BUFFER))):
            at, began = share.at, time.monotonic()
            if count := transfer.copy_to(fd, room):
                waited, broken = time.monotonic() - began, None
                self._arrival.wrote(at, count)
            else:
                count, broken = _gather(transfer, buffer[:room])
                waited = time.monotonic() - began
                if self._arrival.size is None:
                    self._attempt.grow(at + count)
                _write(fd, buffer[:count], at)
                if count:
                    buffer = self._arrival.wrote_from(buffer, at, count)
            share.at += count
            if broken is not None:
                raise broken
            flow.add(count, waited)
            if count == 0:
                return
            if share.at - flushed >= _WRITE_OUT:
                _write_out(fd, flushed, share.at - flushed)
                flushed = share.at
            self._adapt(waited)
            lane.passed(count)


def _close(transfer: Transfer) -> None:
    with transfer:
        pass


class _Flow:
    """What one connection brings of late."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._count = 0
        self._seconds = 0.0

    def add(self, count: int, waited: float) -> None:
        """Take in that bytes came, and how long they were waited for.

        Raises:
            Transient: When that is too slow.
        """
        self._count += count
        self._seconds += waited
        limits = self._attempt.limits
        if plan.drips(self._count, self._seconds, limits):
            raise Transient(
                f"{self._attempt.file.name}: {self._count} bytes came in {self._seconds:.0f} s, "
                f"less than fetch.min_rate asks for ({limits.min_rate} bytes a second)."
            )
        if self._seconds >= limits.min_rate_seconds:
            self._count, self._seconds = 0, 0.0


def _gather(transfer: Transfer, buffer: memoryview) -> tuple[int, Transient | None]:
    """Gather small reads for one write, but not for longer than anyone would notice.

    Returns:
        The bytes in the buffer, and what ended the transfer after them.
    """
    filled, broken, until = 0, None, time.monotonic() + _FILL_SECONDS
    try:
        while filled < len(buffer) and (not filled or time.monotonic() < until):
            count = transfer.readinto(buffer[filled:])
            if count == 0:
                break
            filled += count
    except Transient as error:
        broken = error
    return filled, broken


def _write(fd: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(fd, data[:_WRITE_MOST], at)
        data, at = data[written:], at + written


def _write_out(fd: int, start: int, count: int) -> None:
    """Have the kernel begin to write, so that the final sync finds little left to do."""
    _libc.sync_file_range(fd, ctypes.c_int64(start), ctypes.c_int64(count), _SYNC_FILE_RANGE_WRITE)
