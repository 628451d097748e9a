"""Local files that are used where they are: looked at, hashed when the card asks, never copied."""

from __future__ import annotations

import time

from resolverd.checkpoints import disk
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.asset import digest, plan
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.manifest import Entry, Manifest
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.asset.trust import Record
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.faults import VerificationError
from resolverd.checkpoints.intake import completeness, structure
from resolverd.checkpoints.intake.hashing import hash_file
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.sources.base import Listing, RemoteFile
from resolverd.checkpoints.sources.file import FileSource
from resolverd.errors import SourceError


def examine(layout: Layout, rules: Policy, wanted: Wanted, job: Job) -> Manifest:
    """Verify a local file, or a directory of them.

    A file is hashed only when the card gives its digest, and once for each of its versions.

    Returns:
        What a manifest would say of it, were it an object.

    Raises:
        VerificationError: When it is not what the card says.
        SourceError: When it can't be read, or the card speaks of files that are not there.
    """
    card = digest.parse_card(wanted.checksum)
    listing = FileSource(wanted.local_path, rules, tuple(wanted.each_shard)).resolve()
    if listing is None:
        raise SourceError(f"{wanted.shown}: could not be listed.")
    digest.check_names(card, [file.name for file in listing.files], wanted.shown)
    job.expect(0, sum(file.size or 0 for file in listing.files))
    record = Record.load(layout.trust(wanted.asset))
    entries = []
    for file in listing.files:
        said = plan.expected(card, file.name, (), None).digest
        if said is not None:
            record = _learned(record, file, said.algorithm, job)
        entries.append(_checked(file, said, record))
    _refuse_gap(wanted, listing)
    if card:
        with disk.explained(layout):
            disk.write(layout.trust(wanted.asset), record.dump())
    return Manifest(
        key=f"{wanted.asset}-local",
        asset=wanted.asset,
        uri=wanted.shown,
        kind=wanted.kind,
        stamp=listing.stamp,
        trust="card" if card else "first-use",
        fetched=(),
        files=tuple(entries),
        created=time.time(),
    )


def _refuse_gap(wanted: Wanted, listing: Listing) -> None:
    first = listing.files[0]
    folder = first.locator.removesuffix(first.name)
    if lack := completeness.gap(folder, [file.name for file in listing.files]):
        raise VerificationError(f"{wanted.shown}: {lack}. It is not served.")


def _learned(record: Record, file: RemoteFile, algorithm: str, job: Job) -> Record:
    """The record with this version's digest in it; hashes the file when it is not yet."""
    if record.of(file.name, file.stamp, algorithm) is not None:
        return record
    job.enter("verifying")
    try:
        value = hash_file(file.locator, [algorithm], job)[algorithm]
    except OSError as error:
        raise SourceError(f"{file.locator}: {error.strerror}. Check the file.") from error
    return record.bound((file.name, file.stamp, Digest(algorithm, value)))


def _checked(file: RemoteFile, said: Digest | None, record: Record) -> Entry:
    known = record.of(file.name, file.stamp, said.algorithm) if said else None
    reason = f"is {known}, the card says {said}" if known != said else None
    if reason := reason or structure.fault(file.locator, file.name):
        raise VerificationError(f"{file.locator}: {reason}. It is not served.")
    return Entry(file.name, file.size or 0, {known.algorithm: known.hex} if known else {})
