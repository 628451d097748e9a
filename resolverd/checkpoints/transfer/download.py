"""Brings one file to disk, hashed.

Threads receive, one hashes behind them, one makes durable and journals.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from resolverd.checkpoints.asset import plan
from resolverd.checkpoints.asset.plan import Ranges
from resolverd.checkpoints.faults import RangesIgnored, Transient
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.sources.base import Source
from resolverd.checkpoints.transfer.arrival import Arrival
from resolverd.checkpoints.transfer.attempt import Attempt, Task, back_off
from resolverd.checkpoints.transfer.follow import hash_behind, keep_durable
from resolverd.checkpoints.transfer.journal import Journal, Pin, forget
from resolverd.checkpoints.transfer.receive import Receivers

Hashed = tuple[int, dict[str, str]]


def download(source: Source, task: Task, limits: Limits, job: Job) -> Hashed:
    """Fetch what is missing of a file; when this returns, all of it is durable.

    Returns:
        Its length, and its digests by algorithm.

    Raises:
        Changed: When the origin has another version by now; what was fetched is void.
        SourceError: When the origin does not give it.
        OSError: When the disk does not take it.
    """
    failures = 0
    while True:
        try:  # a loop over attempts
            return _attempted(source, task, limits, job)
        except RangesIgnored:  # noqa: PERF203  # a loop over attempts
            if not task.file.ranges:
                raise  # not even asked for the whole file does it begin at the start
            task = dataclasses.replace(task, file=dataclasses.replace(task.file, ranges=False))
        except Transient as error:
            # A file that can't be resumed begins anew; parts of others have their own attempts.
            failures += 1
            back_off(error, failures, limits, job)


def _attempted(source: Source, task: Task, limits: Limits, job: Job) -> Hashed:
    """Open the partial file and its journal, and have the threads fill it."""
    fd = os.open(task.data, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, fd)
        journal = None
        if task.file.resumable:
            pin = Pin(task.file.name, task.file.stamp or "", task.file.size or 0)
            journal = Journal(task.journal, pin)
            stack.callback(journal.close)
        else:
            forget(task.journal)  # before the data is cut off: it must never speak of other bytes
        attempt = Attempt(source, task.file, fd, journal, limits, job, task.grow, task.lane)
        return _filled(attempt, task.algorithms)


def _filled(attempt: Attempt, algorithms: tuple[str, ...]) -> Hashed:
    kept = _kept_ranges(attempt)
    parts = _missing(attempt, kept)
    _allocate(attempt, kept)
    count = 1 if parts or not attempt.journal else 0
    arrival = Arrival(kept, attempt.file.size, count, attempt.job)
    attempt.job.expect(plan.covered(kept), attempt.file.size)
    attempt.job.enter("fetching" if count else "verifying")
    hashes = [hashlib.new(name, usedforsecurity=False) for name in algorithms]
    # The job can wake the threads for as long as they are waited for, in the block and at its end.
    with (
        attempt.job.stopping(arrival.abort),
        ThreadPoolExecutor(attempt.limits.connections + 2) as pool,
    ):
        begun: list[Future[None]] = []

        def begin(work: Callable[[], None]) -> None:
            begun.append(pool.submit(arrival.guarded, work))

        receivers = Receivers(attempt, arrival, parts, begin)
        for _ in range(count):
            begin(receivers.receive_parts if attempt.journal else receivers.receive_whole)
        begin(partial(hash_behind, attempt, arrival, hashes))
        begin(partial(keep_durable, attempt, arrival))
        while begun:  # receivers may begin others before they end
            begun.pop().result()
    attempt.job.check()
    if arrival.error is not None:
        raise arrival.error
    if plan.frontier(arrival.ranges) != arrival.size:
        raise Transient(f"{attempt.file.name}: not all of it has come.")
    return arrival.size, {item.name: item.hexdigest() for item in hashes}


def _kept_ranges(attempt: Attempt) -> Ranges:
    """What an earlier attempt has left that counts; the rest is cut off."""
    fd, size = attempt.fd, attempt.file.size
    if attempt.journal is None:
        os.ftruncate(fd, 0)
        return ()
    held = os.fstat(fd).st_size  # a journal can't speak of more than there is
    kept = plan.clip(attempt.journal.ranges, held)
    if kept != attempt.journal.ranges:
        attempt.journal.record(kept)  # before the file grows again, with zeros
    if not kept or held > (size or 0):
        os.ftruncate(fd, size if kept and size else 0)
    return kept


def _missing(attempt: Attempt, kept: Ranges) -> Ranges:
    if attempt.journal is None:
        return ()
    return plan.parts(kept, attempt.file.size or 0, attempt.limits.part_bytes)


def _allocate(attempt: Attempt, kept: Ranges) -> None:
    """Claim the room now, so that a full disk shows before hours of download."""
    if not attempt.file.size:
        return
    try:
        os.posix_fallocate(attempt.fd, 0, attempt.file.size)
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
            return
        if not kept:
            os.ftruncate(attempt.fd, 0)  # give back what it did get
        raise
