"""Brings one file to disk, hashed.

Threads receive, one hashes behind them, one makes durable and journals.
Hashing reads back what was written, from the page cache: what is hashed is what the file holds,
in order, whichever order the parts came in, and a resumed file needs no special case.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import hashlib
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from resolverd.checkpoints import plan
from resolverd.checkpoints.faults import RangesIgnored, Transient
from resolverd.checkpoints.job import Job
from resolverd.checkpoints.journal import Journal, Pin
from resolverd.checkpoints.limits import MIB, Limits
from resolverd.checkpoints.plan import Range, Ranges
from resolverd.checkpoints.sources.base import RemoteFile, Source, Transfer
from resolverd.errors import SourceError

_BUFFER = MIB
_FILL_SECONDS = 0.05
_WRITE_OUT = 8 * MIB
_SYNC_FILE_RANGE_WRITE = 2

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Task:
    """One file to bring to disk.

    Attributes:
        file: What the origin has.
        data: Path of the partial file.
        journal: Path of its journal.
        algorithms: What to hash it with.
    """

    file: RemoteFile
    data: str
    journal: str
    algorithms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Files:
    """The open partial file, and its journal when it can be resumed."""

    data: int
    journal: Journal | None


@dataclass(slots=True)
class _Reach:
    """How far a receiver has come in its part."""

    at: int
    end: int | None


def download(source: Source, task: Task, limits: Limits, job: Job) -> tuple[int, dict[str, str]]:
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
            return _attempt(source, task, limits, job)
        except RangesIgnored:  # noqa: PERF203  # a loop over attempts
            task = dataclasses.replace(task, file=dataclasses.replace(task.file, ranges=False))
        except Transient as error:
            # A file that can't be resumed begins anew; parts of others have their own attempts.
            failures += 1
            back_off(error, failures, limits, job)


def back_off(error: Transient, failures: int, limits: Limits, job: Job) -> None:
    """Wait before the next try.

    Raises:
        SourceError: When there have been enough.
    """
    pause = plan.delay(failures, random.random(), error.retry_after, limits)  # noqa: S311
    if pause is None:
        if failures < limits.attempts:
            raise SourceError(
                f"{error} It asks to come back in {error.retry_after:.0f} s."
            ) from error
        raise SourceError(f"{error} Given up after {failures} attempts.") from error
    job.enter("retrying")
    job.wait(pause)


def _attempt(source: Source, task: Task, limits: Limits, job: Job) -> tuple[int, dict[str, str]]:
    fd = os.open(task.data, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, fd)
        journal = None
        if task.file.resumable:
            pin = Pin(task.file.name, task.file.stamp or "", task.file.size or 0)
            journal = Journal(task.journal, pin)
            stack.callback(journal.close)
        return _Run(source, task, _Files(fd, journal), limits, job).all()


class _Run:
    """The threads of one attempt, and what they share."""

    def __init__(self, source: Source, task: Task, files: _Files, limits: Limits, job: Job) -> None:
        journal = files.journal
        self._source = source
        self._file = task.file
        self._hashes = [hashlib.new(name, usedforsecurity=False) for name in task.algorithms]
        self._fd = files.data
        self._journal = journal
        self._limits = limits
        self._job = job
        self._news = threading.Condition()
        self._size = task.file.size
        self._error: BaseException | None = None
        self._aborts: set[Callable[[], None]] = set()
        self._ranges = self._kept_ranges()
        self._queue: deque[Range] = deque(self._missing())
        self._receivers = min(limits.connections, len(self._queue)) if journal else 1

    def all(self) -> tuple[int, dict[str, str]]:
        self._allocate()
        self._job.expect(plan.covered(self._ranges), self._size)
        self._job.enter("fetching" if self._receivers else "verifying")
        receive = self._receive_parts if self._journal else self._receive_whole
        tasks = [receive] * self._receivers + [self._hash, self._keep]
        with ThreadPoolExecutor(len(tasks)) as pool, self._job.stopping(self._abort):
            for task in tasks:
                pool.submit(self._guarded, task)
        self._job.check()
        if self._error is not None:
            raise self._error
        if plan.frontier(self._ranges) != self._size:
            raise Transient(f"{self._file.name}: not all of it has come.")
        return self._size, {item.name: item.hexdigest() for item in self._hashes}

    # -- what is there, and what is missing

    def _kept_ranges(self) -> Ranges:
        if self._journal is None:
            os.ftruncate(self._fd, 0)
            return ()
        held = os.fstat(self._fd).st_size  # a journal can't speak of more than there is
        kept = plan.clip(self._journal.ranges, held)
        if not kept or held > (self._size or 0):
            os.ftruncate(self._fd, self._size if kept and self._size else 0)
        return kept

    def _missing(self) -> Ranges:
        if self._journal is None:
            return ()
        return plan.parts(self._ranges, self._file.size or 0, self._limits.part_bytes)

    def _allocate(self) -> None:
        """Claim the room now, so that a full disk shows before hours of download."""
        if not self._size:
            return
        try:
            os.posix_fallocate(self._fd, 0, self._size)
        except OSError as error:
            if error.errno in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
                return
            if not self._ranges:
                os.ftruncate(self._fd, 0)  # give back what it did get
            raise

    # -- threads begin and end

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # kept, and raised by all()
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._news:
            if self._error is None:
                self._error = error
            self._news.notify_all()
        self._abort()

    def _abort(self) -> None:
        with self._news:
            aborts = tuple(self._aborts)
            self._news.notify_all()
        for abort in aborts:
            abort()

    def _over(self) -> bool:
        return self._error is not None or self._job.stopped

    # -- receiving

    def _receive_parts(self) -> None:
        try:
            while not self._over() and (part := self._next_part()) is not None:
                self._receive(_Reach(*part))
        finally:
            self._received()

    def _next_part(self) -> Range | None:
        with self._news:
            return self._queue.popleft() if self._queue else None

    def _receive(self, reach: _Reach) -> None:
        failures = 0
        while reach.at != reach.end and not self._over():
            began = reach.at
            try:
                self._drain(reach)
            except Transient as error:
                if self._over():
                    return
                failures = 1 if reach.at - began >= _BUFFER else failures + 1
                back_off(error, failures, self._limits, self._job)
                self._job.enter("fetching")

    def _receive_whole(self) -> None:
        reach = _Reach(0, None)
        try:
            self._drain(reach)
            if self._size is not None and reach.at != self._size and not self._over():
                raise SourceError(
                    f"{self._file.name}: {reach.at} bytes came, {self._size} were announced."
                )
        finally:
            if self._size is None:
                self._size = reach.at
            self._received()

    def _received(self) -> None:
        with self._news:
            self._receivers -= 1
            self._news.notify_all()

    def _drain(self, reach: _Reach) -> None:
        """Read to the end of a part, or of the file."""
        with self._source.open(self._file, reach.at, reach.end) as transfer:
            with self._news:
                self._aborts.add(transfer.abort)
            try:
                self._pour(transfer, reach)
            finally:
                with self._news:
                    self._aborts.discard(transfer.abort)

    def _pour(self, transfer: Transfer, reach: _Reach) -> None:
        buffer = memoryview(bytearray(_BUFFER))
        flushed = reach.at
        while reach.at != reach.end and not self._over():
            room = _BUFFER if reach.end is None else min(_BUFFER, reach.end - reach.at)
            count, broken = transfer.copy_to(self._fd, room), None
            if count == 0:
                count, broken = self._fill(transfer, buffer[:room], reach.at)
            if count:
                self._wrote(reach.at, count)
                reach.at += count
            if broken is not None:
                raise broken
            if count == 0:
                return
            if reach.at - flushed >= _WRITE_OUT:
                self._write_out(flushed, reach.at - flushed)
                flushed = reach.at

    def _fill(
        self, transfer: Transfer, buffer: memoryview, at: int
    ) -> tuple[int, Transient | None]:
        """Gather small reads into one write, but not for longer than anyone would notice.

        Returns:
            The bytes written, and what ended the transfer after them.
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
        written = 0
        while written < filled:
            written += os.pwrite(self._fd, buffer[written:filled], at + written)
        return filled, broken

    def _wrote(self, at: int, count: int) -> None:
        with self._news:
            self._ranges = plan.add(self._ranges, at, at + count)
            self._news.notify_all()
        self._job.advance(count)

    def _write_out(self, start: int, count: int) -> None:
        """Have the kernel begin to write, so that the final sync finds little left to do."""
        _libc.sync_file_range(
            self._fd, ctypes.c_int64(start), ctypes.c_int64(count), _SYNC_FILE_RANGE_WRITE
        )

    # -- hashing, and keeping

    def _hash(self) -> None:
        buffer = memoryview(bytearray(_BUFFER))
        at = 0
        while (reach := self._reach_beyond(at)) > at:
            while at < reach and not self._over():
                count = os.preadv(self._fd, [buffer[: min(_BUFFER, reach - at)]], at)
                if count == 0:
                    raise OSError(errno.EIO, "the partial file was cut short", self._file.name)
                for item in self._hashes:
                    item.update(buffer[:count])
                at += count

    def _reach_beyond(self, at: int) -> int:
        """Wait until more than ``at`` bytes are there without a gap; ``at`` when no more come."""
        with self._news:
            self._news.wait_for(
                lambda: self._over() or self._ended or plan.frontier(self._ranges) > at
            )
            return at if self._over() else plan.frontier(self._ranges)

    def _keep(self) -> None:
        """Make durable, then journal; once more at the end, however it ends."""
        durable = 0 if self._journal is None else plan.covered(self._journal.ranges)
        ended = False
        while not ended:
            ended, ranges = self._worth_keeping(durable)
            if plan.covered(ranges) > durable or ended:
                os.fdatasync(self._fd)
                durable = plan.covered(ranges)
                if self._journal is not None:
                    self._journal.record(ranges)

    def _worth_keeping(self, durable: int) -> tuple[bool, Ranges]:
        """Wait until there is enough to keep, or some time has passed, or no more comes."""
        enough = durable + self._limits.journal_bytes
        with self._news:
            self._news.wait_for(
                lambda: self._ended or plan.covered(self._ranges) >= enough,
                timeout=self._limits.journal_seconds,
            )
            return self._ended, self._ranges

    @property
    def _ended(self) -> bool:
        return self._receivers <= 0
