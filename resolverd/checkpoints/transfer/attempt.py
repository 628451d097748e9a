"""One attempt at bringing a file to disk: what its threads work on, and when there is another."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from resolverd.checkpoints.asset import plan
from resolverd.checkpoints.faults import Transient
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.sources.base import RemoteFile, Source
from resolverd.checkpoints.transfer.journal import Journal
from resolverd.checkpoints.transfer.traffic import Lane
from resolverd.errors import SourceError


@dataclass(frozen=True, slots=True)
class Task:
    """One file to bring to disk.

    Attributes:
        file: What the origin has.
        data: Path of the partial file.
        journal: Path of its journal.
        algorithms: What to hash it with.
        grow: Told how long a file of unknown length is about to be, before it is.
        lane: How fast it may come.
    """

    file: RemoteFile
    data: str
    journal: str
    algorithms: tuple[str, ...]
    grow: Callable[[int], None]
    lane: Lane


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the threads of one attempt work on.

    Attributes:
        source: Where the bytes come from.
        file: What the origin has.
        fd: The partial file.
        journal: Its journal, when it can be resumed.
        limits: Bounds of the attempt.
        job: To be told of progress, and to be stopped by.
        grow: As for the task.
        lane: As for the task.
    """

    source: Source
    file: RemoteFile
    fd: int
    journal: Journal | None
    limits: Limits
    job: Job
    grow: Callable[[int], None]
    lane: Lane


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
    job.stumble(str(error))
    job.wait(pause)
