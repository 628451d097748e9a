"""Threads that follow the receivers: one hashes what has arrived, one makes it durable.

Hashing reads back what was written, from the page cache: what is hashed is what the file holds,
in order, whichever order the parts came in, and a resumed file needs no special case.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from resolverd.checkpoints import plan
from resolverd.checkpoints.arrival import Arrival
from resolverd.checkpoints.attempt import Attempt
from resolverd.checkpoints.limits import MIB

if TYPE_CHECKING:
    from hashlib import _Hash

_BUFFER = MIB


def hash_behind(attempt: Attempt, arrival: Arrival, hashes: Sequence[_Hash]) -> None:
    """Hash the file from its start to its end, as far as it has arrived without a gap."""
    buffer = memoryview(bytearray(_BUFFER))
    at = 0
    while (reach := arrival.reach_beyond(at)) > at:
        while at < reach and not arrival.over():
            count = os.preadv(attempt.fd, [buffer[: min(_BUFFER, reach - at)]], at)
            if count == 0:
                raise OSError(errno.EIO, "the partial file was cut short", attempt.file.name)
            for item in hashes:
                item.update(buffer[:count])
            at += count


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
