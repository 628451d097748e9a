"""Threads that follow the receivers: one hashes what has arrived, one makes it durable.

Hashing takes the buffers that were just written, and reads back from the page cache what it did not
get that way: what came out of order, too fast for it, or in an earlier attempt.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from resolverd.checkpoints.asset import plan
from resolverd.checkpoints.asset.plan import Range
from resolverd.checkpoints.transfer.arrival import Arrival, new_buffer
from resolverd.checkpoints.transfer.attempt import Attempt

if TYPE_CHECKING:
    from hashlib import _Hash


def hash_behind(attempt: Attempt, arrival: Arrival, hashes: Sequence[_Hash]) -> None:
    """Hash the file from its start to its end, as far as it has arrived without a gap."""
    at, buffer = 0, new_buffer()
    while count := (piece := arrival.next_piece(at))[0]:
        lent = piece[1]
        if lent is None:
            _read_back(attempt, arrival, hashes, (at, at + count), buffer)
        else:
            _update(hashes, lent)
            arrival.give_back(lent)
        at += count


def _read_back(
    attempt: Attempt,
    arrival: Arrival,
    hashes: Sequence[_Hash],
    span: Range,
    buffer: memoryview,
) -> None:
    at, end = span
    while at < end and not arrival.over():
        count = os.preadv(attempt.fd, [buffer[: end - at]], at)
        if count == 0:
            raise OSError(errno.EIO, "the partial file was cut short", attempt.file.name)
        _update(hashes, buffer[:count])
        at += count


def _update(hashes: Sequence[_Hash], data: memoryview) -> None:
    for item in hashes:
        item.update(data)


def keep_durable(attempt: Attempt, arrival: Arrival) -> None:
    """Make durable, then journal; once more at the end, however it ends."""
    limits, journal = attempt.limits, attempt.journal
    durable = 0 if journal is None else plan.covered(journal.ranges)
    ended = False
    while not ended:
        ended, ranges = arrival.wait_for(durable + limits.journal_bytes, limits.journal_seconds)
        if plan.covered(ranges) > durable or ended:
            os.fdatasync(attempt.fd)
            durable = plan.covered(ranges)
            if journal is not None:
                journal.record(ranges)
