"""Threads that bring bytes from the origin into the partial file, in whichever order."""

from __future__ import annotations

import ctypes
import os
import time
from collections import deque
from dataclasses import dataclass

from resolverd.checkpoints.arrival import Arrival
from resolverd.checkpoints.attempt import Attempt, back_off
from resolverd.checkpoints.faults import Transient
from resolverd.checkpoints.limits import MIB
from resolverd.checkpoints.plan import Ranges
from resolverd.checkpoints.sources.base import Transfer
from resolverd.errors import SourceError

_BUFFER = MIB
_FILL_SECONDS = 0.05
_WRITE_OUT = 8 * MIB
_SYNC_FILE_RANGE_WRITE = 2

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class _Reach:
    """How far a receiver has come in its part."""

    at: int
    end: int | None


class Receivers:
    """The receiving threads of one attempt.

    Args:
        attempt: What they work on.
        arrival: Told of what they wrote.
        parts: What is missing.
    """

    def __init__(self, attempt: Attempt, arrival: Arrival, parts: Ranges) -> None:
        self._attempt = attempt
        self._arrival = arrival
        self._parts = deque(parts)

    def receive_parts(self) -> None:
        """Bring parts until none is left; the work of each of several threads."""
        try:
            while self._parts and not self._arrival.over():
                try:
                    reach = _Reach(*self._parts.popleft())
                except IndexError:
                    return  # another thread was faster
                self._receive(reach)
        finally:
            self._arrival.received()

    def receive_whole(self) -> None:
        """Bring the file from its start to its end; the work of one thread."""
        reach, arrival = _Reach(0, None), self._arrival
        try:
            self._drain(reach)
            if arrival.size is not None and reach.at != arrival.size and not arrival.over():
                raise SourceError(
                    f"{self._attempt.file.name}: {reach.at} bytes came, {arrival.size} were "
                    "announced."
                )
        finally:
            if arrival.size is None:
                arrival.size = reach.at
            arrival.received()

    def _receive(self, reach: _Reach) -> None:
        """Bring one part, in as many tries as it takes."""
        failures, job = 0, self._attempt.job
        while reach.at != reach.end and not self._arrival.over():
            began = reach.at
            try:
                self._drain(reach)
            except Transient as error:
                if self._arrival.over():
                    return
                failures = 1 if reach.at - began >= _BUFFER else failures + 1
                back_off(error, failures, self._attempt.limits, job)
                job.enter("fetching")

    def _drain(self, reach: _Reach) -> None:
        """Read to the end of a part, or of the file."""
        file = self._attempt.file
        with (
            self._attempt.source.open(file, reach.at, reach.end) as transfer,
            self._arrival.aborting(transfer.abort),
        ):
            self._pour(transfer, reach)

    def _pour(self, transfer: Transfer, reach: _Reach) -> None:
        buffer, fd = memoryview(bytearray(_BUFFER)), self._attempt.fd
        flushed = reach.at
        while reach.at != reach.end and not self._arrival.over():
            room = _BUFFER if reach.end is None else min(_BUFFER, reach.end - reach.at)
            count, broken = transfer.copy_to(fd, room), None
            if count == 0:
                count, broken = _gather(transfer, buffer[:room])
                if self._arrival.size is None:
                    self._attempt.grow(reach.at + count)
                _write(fd, buffer[:count], reach.at)
            if count:
                self._arrival.wrote(reach.at, count)
                reach.at += count
            if broken is not None:
                raise broken
            if count == 0:
                return
            if reach.at - flushed >= _WRITE_OUT:
                _write_out(fd, flushed, reach.at - flushed)
                flushed = reach.at


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
        written = os.pwrite(fd, data, at)
        data, at = data[written:], at + written


def _write_out(fd: int, start: int, count: int) -> None:
    """Have the kernel begin to write, so that the final sync finds little left to do."""
    _libc.sync_file_range(fd, ctypes.c_int64(start), ctypes.c_int64(count), _SYNC_FILE_RANGE_WRITE)
