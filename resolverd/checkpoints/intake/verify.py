"""One file of an asset, from absent to verified.

The order is the table of :mod:`resolverd.checkpoints.asset.state`. Whoever is told that a file does
not hold puts it into quarantine before anyone else hears of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from resolverd.checkpoints import disk
from resolverd.checkpoints.asset import plan
from resolverd.checkpoints.asset.digest import GIT_BLOB
from resolverd.checkpoints.asset.manifest import Entry
from resolverd.checkpoints.asset.plan import Expected, Trust
from resolverd.checkpoints.asset.state import Event, Life
from resolverd.checkpoints.asset.trust import Record
from resolverd.checkpoints.intake import structure
from resolverd.checkpoints.intake.errand import Errand
from resolverd.checkpoints.intake.hashing import git_blob
from resolverd.checkpoints.intake.reuse import reused
from resolverd.checkpoints.sources.base import RemoteFile, Source
from resolverd.checkpoints.transfer.aside import Aside
from resolverd.checkpoints.transfer.attempt import Task
from resolverd.checkpoints.transfer.download import download
from resolverd.errors import SourceError


class Unfit(Exception):  # noqa: N818  # says what it is about, for who keeps the rest
    """A file that came is not what it should be.

    Attributes:
        data: Where it is.
        reason: What is wrong.
    """

    def __init__(self, data: str, reason: str) -> None:
        super().__init__(reason)
        self.data = data
        self.reason = reason


def verified(
    errand: Errand, source: Source, file: RemoteFile, record: Record
) -> tuple[Entry, Trust]:
    """Download a file, and hold it against the best word there is on it.

    What the version at hand has already is taken from there.

    Returns:
        The file, and on whose word it was verified.

    Raises:
        Changed: When the origin has another version by now.
        Unfit: When it is not what it should be.
        SourceError: When the origin does not give it.
        CacheError: When the disk does not take it.
    """
    expected = _expected(errand, source, file, record)
    if entry := reused(errand, file, expected.digest):
        return entry, expected.trust
    said = {expected.digest.algorithm} if expected.digest else set()
    algorithms = {"sha256"} | said - {GIT_BLOB}
    data, journal = errand.data(file.name), errand.layout.journal(errand.asset, file.name)
    life = Life()
    life.on(Event.BEGUN)
    task = Task(file, data, journal, tuple(sorted(algorithms)), _grow(errand, file), errand.lane)
    with disk.explained(errand.layout):
        size, digests = download(source, task, errand.limits, errand.job)
        if GIT_BLOB in said:
            digests[GIT_BLOB] = git_blob(data).hex
    life.on(Event.FILLED)
    if reason := _mismatch(expected, digests):
        life.on(Event.MISMATCHED)
        raise Unfit(data, reason)
    life.on(Event.MATCHED)
    with disk.explained(errand.layout):
        reason = structure.fault(data, file.name)
    if reason:
        life.on(Event.MISMATCHED)
        raise Unfit(data, reason)
    return Entry(file.name, size, digests), expected.trust


def _grow(errand: Errand, file: RemoteFile) -> Callable[[int], None]:
    return lambda size: errand.claim.hold({file.name: size}, grows=True)


def _expected(errand: Errand, source: Source, file: RemoteFile, record: Record) -> Expected:
    bound = None if file.digests else record.of(file.name, file.stamp)
    expected = plan.expected(errand.card, file.name, file.digests, bound)
    if expected.trust == "first-use":
        asked = Aside(partial(source.sidecar, file), lambda _: source.close())
        if beside := asked.result(errand.job.stopping, lambda: errand.job.stopped):
            return plan.expected(errand.card, file.name, (beside,), None)
    if expected.digest is None and file.size is None and not file.framed:
        raise SourceError(
            f"{errand.wanted.shown}: the server tells neither length nor digest, so that a "
            "cut-off file can't be told from a whole one: give a checksum in the card."
        )
    return expected


def _mismatch(expected: Expected, digests: Mapping[str, str]) -> str | None:
    """How a file differs from what was expected; None when it does not."""
    said = expected.digest
    if said is None or digests[said.algorithm] == said.hex:
        return None
    whose = {
        "card": "the card says",
        "origin": "the origin itself says",
        "first-use": "this version at the origin was, when first used,",
    }[expected.trust]
    return f"is {said.algorithm}:{digests[said.algorithm]}, {whose} {said}"
