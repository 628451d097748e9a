"""Brings all files of a listing: small ones side by side, a large one over several connections.

So an asset never takes more connections than one large file may, however many files it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from resolverd.checkpoints.asset.manifest import Entry
from resolverd.checkpoints.asset.plan import Trust
from resolverd.checkpoints.asset.trust import Record
from resolverd.checkpoints.faults import Cancelled
from resolverd.checkpoints.intake.errand import Errand
from resolverd.checkpoints.intake.verify import verified
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.sources.base import RemoteFile, Source

Brought = tuple[Entry, Trust]
Bring = Callable[[RemoteFile, Job], Brought]


def gathered(
    errand: Errand, source: Source, files: Sequence[RemoteFile], record: Record
) -> list[Brought]:
    """Download and verify every file; each as ``verify.verified`` does.

    Returns:
        The files, in the order of the listing.
    """
    if len(files) == 1:
        return [verified(errand, source, files[0], record)]

    def bring(file: RemoteFile, job: Job) -> Brought:
        with job.share() as part:
            return verified(replace(errand, job=part), source, file, record)

    sizes = [file.size for file in files]
    errand.job.expect(0, None if None in sizes else sum(size or 0 for size in sizes))
    small = [file for file in files if (file.size or 0) <= errand.limits.part_bytes]
    done = _side_by_side(errand, small, bring)
    large = {file.name: bring(file, errand.job) for file in files if file.name not in done}
    return [(done | large)[file.name] for file in files]


def _side_by_side(errand: Errand, files: Sequence[RemoteFile], bring: Bring) -> dict[str, Brought]:
    """Bring files in several threads; when one fails, the others are stopped before it is told."""
    with errand.job.share() as job, ThreadPoolExecutor(errand.limits.connections) as pool:
        coming = {file.name: pool.submit(bring, file, job) for file in files}
        try:
            wait(coming.values(), return_when=FIRST_EXCEPTION)
        finally:
            if any(_failed(each) for each in coming.values()):
                job.stop()
            wait(coming.values())
        errand.job.check()
        errors = [each.exception() for each in coming.values()]
        if found := [error for error in errors if error and not isinstance(error, Cancelled)]:
            raise found[0]
        return {name: each.result() for name, each in coming.items()}


def _failed(future: Future[Brought]) -> bool:
    return future.done() and future.exception() is not None
