"""Brings one asset from its origin into the cache: resolve, download, verify, publish.

Everything that blocks happens here, in the worker. What is decided,
:mod:`resolverd.checkpoints.asset.plan` decides.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import partial

from resolverd.checkpoints import disk
from resolverd.checkpoints.access.policy import readers_of
from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.manifest import Entry, Manifest
from resolverd.checkpoints.asset.plan import Trust
from resolverd.checkpoints.asset.trust import Record
from resolverd.checkpoints.faults import Changed, Transient
from resolverd.checkpoints.intake.assemble import assemble
from resolverd.checkpoints.intake.errand import Errand
from resolverd.checkpoints.intake.gather import gathered
from resolverd.checkpoints.intake.hashing import faults
from resolverd.checkpoints.intake.reuse import unchanged
from resolverd.checkpoints.intake.verify import Unfit
from resolverd.checkpoints.sources.base import Listing, Source
from resolverd.checkpoints.transfer.aside import Aside
from resolverd.checkpoints.transfer.attempt import back_off
from resolverd.errors import SourceError

_RESTARTS = 4
_WORST_LAST: tuple[Trust, ...] = ("card", "origin", "first-use")


def ingest(errand: Errand, source: Source) -> Manifest:
    """Publish what the origin has now; the version at hand stays when there is nothing newer.

    Args:
        errand: What is to be brought.
        source: Where from.

    Raises:
        SourceError: The origin is at fault.
        CacheError: The cache is.
    """
    have = errand.earlier
    for _ in range(_RESTARTS):
        listing = _resolved(errand, source, have.stamp if have else None)
        if listing is None and have is not None:
            return have
        if listing is not None:
            try:
                return _brought(errand, source, listing)
            except Changed:
                disk.discard(errand.layout, errand.asset)
    raise SourceError(
        f"{errand.wanted.shown}: changes faster than it can be fetched: give the URI of one "
        "version in the card."
    )


def _resolved(errand: Errand, source: Source, known: str | None) -> Listing | None:
    """Ask the origin what it has, in as many tries as it takes."""
    failures = 0
    while True:
        errand.job.enter("connecting")
        errand.job.check()
        gap = disk.first_gap(errand.layout, errand.asset)
        asked = Aside(partial(source.resolve, known, gap), lambda _: source.close())
        try:
            return asked.result(errand.job.stopping, lambda: errand.job.stopped)
        except Transient as error:
            failures += 1
            back_off(error, failures, errand.limits, errand.job)


def _brought(errand: Errand, source: Source, listing: Listing) -> Manifest:
    """Download and verify every file of a listing, then publish them as one object."""
    layout = errand.layout
    record = Record.load(layout.trust(errand.asset))
    with disk.explained(layout):
        os.makedirs(layout.partial(errand.asset), mode=0o700, exist_ok=True)
        errand = replace(errand, unchanged=unchanged(errand.earlier, listing.files))
        new = [file for file in listing.files if file.name not in errand.unchanged]
        sizes = {file.name: file.size or 0 for file in new}
        errand.lane.expect(sum(sizes.values()), source.close)
        errand.claim.hold(sizes)
    brought = _gathered(errand, source, listing, record)
    fetched = tuple(entry for entry, _ in brought)
    with disk.explained(layout):
        files = assemble(errand, fetched)
        trust = max((trust for _, trust in brought), key=_WORST_LAST.index)
        if errand.card and all(entry.path in errand.card for entry in files):
            trust = "card"
        manifest = _described(errand, listing, fetched, files, trust)
        _publish(errand, manifest)
        learned = [
            (file.name, file.stamp, Digest("sha256", entry.digests["sha256"]))
            for file, entry in zip(listing.files, fetched, strict=True)
        ]
        disk.write(layout.trust(errand.asset), record.bound(*learned).dump())
        disk.discard(layout, errand.asset)
    return manifest


def _gathered(
    errand: Errand, source: Source, listing: Listing, record: Record
) -> list[tuple[Entry, Trust]]:
    """Every file, verified; one that does not hold is in quarantine before anyone hears of it."""
    try:
        return gathered(errand, source, listing.files, record)
    except Unfit as found:
        errand.quarantine(found.data, found.reason)


def _described(
    errand: Errand,
    listing: Listing,
    fetched: tuple[Entry, ...],
    files: tuple[Entry, ...],
    trust: Trust,
) -> Manifest:
    content = digest.of_many({entry.path: entry.digests["sha256"] for entry in fetched})
    return Manifest(
        key=f"{errand.asset}-{content.hex[:16]}",
        asset=errand.asset,
        uri=errand.wanted.shown,
        kind=errand.wanted.kind,
        stamp=listing.stamp,
        trust=trust,
        fetched=fetched,
        files=files,
        created=time.time(),
        private=listing.private,
        readers=readers_of(errand.policy, errand.wanted.normal, private=listing.private),
    )


def _publish(errand: Errand, manifest: Manifest) -> None:
    errand.job.enter("publishing")
    there = errand.layout.object(manifest.key)
    if os.path.isdir(there):
        found = faults(there, manifest.files, errand.job)
        if not found:  # the same bytes under a new stamp
            disk.adopt(errand.layout, manifest)
            return
        disk.withdraw(errand.layout, manifest, "; ".join(found), errand.limits)
    for _ in disk.publication(errand.layout, manifest):
        pass
