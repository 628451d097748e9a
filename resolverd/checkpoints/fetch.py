"""Brings one asset from its origin into the cache: resolve, download, verify, publish.

Everything that blocks happens here, in the worker. The order is the table of
:mod:`resolverd.checkpoints.state`; what is decided, :mod:`resolverd.checkpoints.plan` decides.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from resolverd.checkpoints import archive, digest, disk, plan, structure
from resolverd.checkpoints.attempt import Task, back_off
from resolverd.checkpoints.digest import Digest
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.download import download
from resolverd.checkpoints.faults import Changed, Transient, VerificationError
from resolverd.checkpoints.hashing import faults, hash_file
from resolverd.checkpoints.job import Job
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.manifest import Entry, Manifest
from resolverd.checkpoints.plan import Trust
from resolverd.checkpoints.policy import Policy
from resolverd.checkpoints.sources.base import Listing, RemoteFile, Source
from resolverd.checkpoints.sources.choose import source_of
from resolverd.checkpoints.state import Event, Life
from resolverd.checkpoints.target import Wanted
from resolverd.checkpoints.trust import Record
from resolverd.errors import SourceError

_RESTARTS = 4
_WORST_LAST: tuple[Trust, ...] = ("card", "origin", "first-use")


@dataclass(frozen=True, slots=True)
class Engine:
    """The cache, and the rules for filling it."""

    layout: Layout
    limits: Limits
    policy: Policy

    def fetch(
        self, wanted: Wanted, job: Job, *, refresh: bool = False, force: bool = False
    ) -> Manifest:
        """Make sure that the cache holds what is wanted.

        Args:
            wanted: What.
            job: To be told of progress, and to be stopped by.
            refresh: Ask the origin whether it has a new version.
            force: Fetch it again whatever the origin says.

        Returns:
            The manifest of the published object.

        Raises:
            SourceError: The origin is at fault.
            CacheError: The cache is.
        """
        card = digest.parse_card(wanted.checksum)
        have = disk.current(self.layout, wanted.asset)
        have = have and self._fitting(have, card, job)
        if have and not (refresh or force):
            return have
        source = source_of(wanted, self.limits, self.policy)
        try:
            return _Errand(self, wanted, card, source, job).run(None if force else have)
        finally:
            source.close()

    def verify(self, key: str, job: Job) -> tuple[Manifest | None, list[str]]:
        """Hash a published object again; a bad one goes to quarantine.

        Returns:
            Its manifest, and what is wrong; nothing when all is well.
        """
        manifest = disk.read_manifest(self.layout, key)
        if manifest is None:
            return None, ["there is no such object, or its manifest is damaged"]
        job.enter("verifying")
        job.expect(0, manifest.size)
        with disk.explained(self.layout):
            found = faults(self.layout.object(key), manifest.files, job)
            if found:
                reason = "; ".join(found)
                disk.withdraw(self.layout, manifest, reason, self.limits.quarantine_most)
        return manifest, found

    def _fitting(self, have: Manifest, card: Mapping[str, Digest], job: Job) -> Manifest | None:
        """The object when it is what the card says now; hashed when the manifest can't tell."""
        if (fits := have.fits(card)) is not None:
            return have if fits else None
        algorithms = {said.algorithm for said in card.values()} | {"sha256"}
        files = []
        job.enter("verifying")
        job.expect(0, have.size)
        with disk.explained(self.layout):
            for entry in have.files:
                path = os.path.join(self.layout.object(have.key), entry.path)
                files.append(replace(entry, digests=hash_file(path, sorted(algorithms), job)))
            if any(
                new.digests["sha256"] != old.digests["sha256"]
                for new, old in zip(files, have.files, strict=True)
            ):
                disk.withdraw(self.layout, have, "bit rot", self.limits.quarantine_most)
                return None
            whole = tuple(files) if have.whole else have.fetched
            learned = replace(have, files=tuple(files), fetched=whole)
            disk.record(self.layout, learned)
        return learned if learned.fits(card) else None


@dataclass(frozen=True, slots=True)
class _Errand:
    """One asset on its way."""

    engine: Engine
    wanted: Wanted
    card: Mapping[str, Digest]
    source: Source
    job: Job

    def run(self, have: Manifest | None) -> Manifest:
        for _ in range(_RESTARTS):
            listing = self._resolve(have.stamp if have else None)
            if listing is None and have is not None:
                return have
            if listing is not None:
                try:
                    return self._bring(listing)
                except Changed:
                    disk.discard(self._layout, self.wanted.asset)
        raise SourceError(f"{self.wanted.shown}: changes faster than it can be fetched.")

    @property
    def _layout(self) -> Layout:
        return self.engine.layout

    def _resolve(self, known: str | None) -> Listing | None:
        failures = 0
        while True:
            self.job.enter("connecting")
            self.job.check()
            try:
                return self.source.resolve(known, disk.resumes_at(self._layout, self.wanted.asset))
            except Transient as error:
                failures += 1
                back_off(error, failures, self.engine.limits, self.job)

    def _bring(self, listing: Listing) -> Manifest:
        asset = self.wanted.asset
        record = Record.load(self._layout.trust(asset))
        with disk.explained(self._layout):
            os.makedirs(self._layout.partial(asset), mode=0o700, exist_ok=True)
            self._refuse_no_room(listing)
        brought = [self._bring_file(file, record) for file in listing.files]
        fetched = tuple(entry for entry, _ in brought)
        with disk.explained(self._layout):
            files = self._assemble(fetched)
            trust = max((trust for _, trust in brought), key=_WORST_LAST.index)
            if self.card and all(entry.path in self.card for entry in files):
                trust = "card"
            manifest = self._described(listing, fetched, files, trust)
            self._publish(manifest)
            for file, entry in zip(listing.files, fetched, strict=True):
                learned = Digest("sha256", entry.digests["sha256"])
                record = record.bound(file.name, file.stamp, learned)
            disk.write(self._layout.trust(asset), record.dump())
            disk.discard(self._layout, asset)
        return manifest

    def _refuse_no_room(self, listing: Listing) -> None:
        needed = sum(
            max(0, (file.size or 0) - disk.allocated(self._data(file.name)))
            for file in listing.files
        )
        disk.refuse_no_room(self._layout, needed, self.engine.limits)

    def _data(self, name: str) -> str:
        return self._layout.data(self.wanted.asset, name)

    def _bring_file(self, file: RemoteFile, record: Record) -> tuple[Entry, Trust]:
        """From absent to verified."""
        expected = self._expected(file, record)
        algorithms = {"sha256"} | ({expected.digest.algorithm} if expected.digest else set())
        data = self._data(file.name)
        life = Life()
        life.on(Event.BEGUN)
        journal = self._layout.journal(self.wanted.asset, file.name)
        task = Task(file, data, journal, tuple(sorted(algorithms)))
        with disk.explained(self._layout):
            size, digests = download(self.source, task, self.engine.limits, self.job)
        life.on(Event.FILLED)
        if expected.digest and digests[expected.digest.algorithm] != expected.digest.hex:
            life.on(Event.MISMATCHED)
            self._quarantine(data, _mismatch(expected, digests))
        life.on(Event.MATCHED)
        if fault := structure.fault(data, file.name):
            life.on(Event.MISMATCHED)
            self._quarantine(data, fault)
        return Entry(file.name, size, digests), expected.trust

    def _expected(self, file: RemoteFile, record: Record) -> plan.Expected:
        bound = record.of(file.name, file.stamp)
        expected = plan.expected(self.card, file.name, file.digests, bound)
        if expected.trust == "first-use" and (beside := self.source.sidecar(file)):
            return plan.expected(self.card, file.name, (beside,), None)
        if expected.digest is None and file.size is None and not file.framed:
            raise SourceError(
                f"{self.wanted.shown}: the server tells neither length nor digest, so that a "
                "cut-off file can't be told from a whole one: give a checksum in the card."
            )
        return expected

    def _quarantine(self, data: str, reason: str) -> NoReturn:
        shown, keep = self.wanted.shown, self.engine.limits.quarantine_most
        finding = disk.Finding(self.wanted.asset, shown, reason)
        with disk.explained(self._layout):
            place = disk.quarantine(self._layout, data, finding, keep)
            disk.discard(self._layout, self.wanted.asset)
        raise VerificationError(f"{shown}: {reason}. It is not served; it is kept in {place}.")

    def _assemble(self, fetched: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """Put the object's tree together; returns the files it holds."""
        tree = self._layout.tree(self.wanted.asset)
        disk.remove_tree(tree)
        data, first = self._data(fetched[0].path), fetched[0].path
        try:
            if len(fetched) == 1 and archive.is_archive(data, first):
                return self._unpacked(data, first, tree)
            digest.check_names(self.card, [entry.path for entry in fetched], self.wanted.shown)
        except SourceError as error:
            self._quarantine(data, str(error).rstrip("."))
        for entry in fetched:
            disk.place(self._data(entry.path), tree, entry.path)
        return fetched

    def _unpacked(self, data: str, name: str, tree: str) -> tuple[Entry, ...]:
        self.job.enter("unpacking")
        needed = archive.unpacked_size(data, name)
        disk.refuse_no_room(self._layout, needed, self.engine.limits)
        algorithms = {
            said.algorithm for member, said in self.card.items() if member not in {"", name}
        }
        files = archive.unpack(data, name, tree, self.engine.limits, self.job)
        names = [name, *(entry.path for entry in files)]
        inside = {member: said for member, said in self.card.items() if member}
        digest.check_names(inside, names, self.wanted.shown)
        checked = []
        for entry in files:
            digests = dict(entry.digests)
            said = inside.get(entry.path)
            if said and said.algorithm not in digests:
                path = os.path.join(tree, entry.path)
                digests |= hash_file(path, sorted(algorithms), self.job)
            if said and digests[said.algorithm] != said.hex:
                raise VerificationError(f"{entry.path} is not {said}, as the card says")
            checked.append(replace(entry, digests=digests))
        return tuple(checked)

    def _described(
        self, listing: Listing, fetched: tuple[Entry, ...], files: tuple[Entry, ...], trust: Trust
    ) -> Manifest:
        content = digest.of_many({entry.path: entry.digests["sha256"] for entry in fetched})
        return Manifest(
            key=f"{self.wanted.asset}-{content.hex[:16]}",
            asset=self.wanted.asset,
            uri=self.wanted.shown,
            kind=self.wanted.kind,
            stamp=listing.stamp,
            trust=trust,
            fetched=fetched,
            files=files,
            created=time.time(),
        )

    def _publish(self, manifest: Manifest) -> None:
        self.job.enter("publishing")
        there = self._layout.object(manifest.key)
        if os.path.isdir(there):
            found = faults(there, manifest.files, self.job)
            if not found:  # the same bytes under a new stamp
                disk.adopt(self._layout, manifest)
                return
            keep = self.engine.limits.quarantine_most
            disk.withdraw(self._layout, manifest, "; ".join(found), keep)
        for _ in disk.publication(self._layout, manifest):
            pass


def _mismatch(expected: plan.Expected, digests: Mapping[str, str]) -> str:
    algorithm = expected.digest.algorithm if expected.digest else "sha256"
    whose = {
        "card": "the card says",
        "origin": "the origin itself says",
        "first-use": "this version at the origin was, when first used,",
    }[expected.trust]
    return f"is {algorithm}:{digests[algorithm]}, {whose} {expected.digest}"
