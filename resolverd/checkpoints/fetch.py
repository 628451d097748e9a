"""Brings one asset from its origin into the cache: resolve, download, verify, publish.

Everything that blocks happens here, in the worker. The order is the table of
:mod:`resolverd.checkpoints.state`; what is decided, :mod:`resolverd.checkpoints.plan` decides.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resolverd.checkpoints import archive, digest, disk, plan, structure
from resolverd.checkpoints.digest import Digest
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.download import Task, back_off, download
from resolverd.checkpoints.faults import Changed, Transient, VerificationError
from resolverd.checkpoints.job import Job
from resolverd.checkpoints.limits import MIB, Limits
from resolverd.checkpoints.manifest import Entry, Manifest
from resolverd.checkpoints.plan import Trust
from resolverd.checkpoints.policy import Policy
from resolverd.checkpoints.sources.choose import source_of
from resolverd.checkpoints.sources.base import Listing, RemoteFile, Source
from resolverd.checkpoints.sources.file import FileSource
from resolverd.checkpoints.state import Event, Life
from resolverd.checkpoints.target import Wanted
from resolverd.checkpoints.trust import Record
from resolverd.errors import CacheError, SourceError

_RESTARTS = 4
_TRUST_ORDER: Sequence[Trust] = ("card", "origin", "first-use")


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
        have = have if have and self._satisfies(have, card, job) else None
        if have and not (refresh or force):
            return have
        source = source_of(wanted, self.limits, self.policy)
        try:
            return self._fetch(wanted, card, source, job, None if force else have)
        finally:
            source.close()

    def _fetch(
        self,
        wanted: Wanted,
        card: Mapping[str, Digest],
        source: Source,
        job: Job,
        have: Manifest | None,
    ) -> Manifest:
        for _ in range(_RESTARTS):
            listing = self._resolve(wanted, source, job, have.stamp if have else None)
            if listing is None and have is not None:
                return have
            if listing is not None:
                try:
                    return self._bring(wanted, card, source, job, listing)
                except Changed:
                    disk.discard(self.layout, wanted.asset)
        raise SourceError(f"{wanted.shown}: changes at the origin faster than it can be fetched.")

    def _resolve(
        self, wanted: Wanted, source: Source, job: Job, known: str | None
    ) -> Listing | None:
        failures = 0
        while True:
            job.enter("connecting")
            try:
                return source.resolve(known, disk.resumes_at(self.layout, wanted.asset))
            except Transient as error:
                failures += 1
                back_off(error, failures, self.limits, job)

    def _satisfies(self, have: Manifest, card: Mapping[str, Digest], job: Job) -> bool:
        """Whether an object is what the card says now; hashes it when the manifest can't tell."""
        entries = {entry.path: entry for entry in (*have.files, *have.fetched)}
        for name, said in card.items():
            entry = (
                entries.get(name) if name else have.fetched[0] if len(have.fetched) == 1 else None
            )
            if entry is None:
                return False
            if (known := entry.digests.get(said.algorithm)) is None and entry in have.files:
                path = os.path.join(self.layout.object(have.key), entry.path)
                with disk.explained(self.layout):
                    known = hash_file(path, (said.algorithm,), job)[said.algorithm]
            if known != said.hex:
                return False
        return True

    def _bring(
        self, wanted: Wanted, card: Mapping[str, Digest], source: Source, job: Job, listing: Listing
    ) -> Manifest:
        asset = wanted.asset
        record = Record.load(self.layout.trust(asset))
        with disk.explained(self.layout):
            os.makedirs(self.layout.partial(asset), mode=0o700, exist_ok=True)
            self._refuse_no_room(asset, listing)
        fetched, trusts = [], []
        for file in listing.files:
            entry, trust = self._bring_file(wanted, card, source, job, file, record)
            fetched.append(entry)
            trusts.append(trust)
        job.enter("publishing")
        with disk.explained(self.layout):
            files = self._assemble(wanted, tuple(fetched), card, job)
            content = fetched[0].digests["sha256"]
            if len(fetched) > 1:
                content = digest.of_many(
                    {entry.path: entry.digests["sha256"] for entry in fetched}
                ).hex
            manifest = Manifest(
                key=f"{asset}-{content[:16]}",
                asset=asset,
                uri=wanted.shown,
                kind=wanted.kind,
                stamp=listing.stamp,
                trust=max(trusts, key=_TRUST_ORDER.index),
                fetched=tuple(fetched),
                files=files,
                created=time.time(),
            )
            self._publish(manifest, job)
            for file, entry in zip(listing.files, fetched, strict=True):
                record = record.bound(
                    file.name, file.stamp, Digest("sha256", entry.digests["sha256"])
                )
            disk.write(self.layout.trust(asset), record.dump())
            disk.discard(self.layout, asset)
        return manifest

    def _bring_file(
        self,
        wanted: Wanted,
        card: Mapping[str, Digest],
        source: Source,
        job: Job,
        file: RemoteFile,
        record: Record,
    ) -> tuple[Entry, Trust]:
        origin = file.digests
        expected = plan.expected(card, file.name, origin, record.of(file.name, file.stamp))
        if expected.trust == "first-use" and (beside := source.sidecar(file)):
            expected = plan.expected(card, file.name, (beside,), None)
        if expected.digest is None and file.size is None and not file.framed:
            raise SourceError(
                f"{wanted.shown}: the server tells neither length nor digest, so a cut-off file could "
                "not be told from a whole one: give a checksum in the card."
            )
        algorithms = {"sha256"} | ({expected.digest.algorithm} if expected.digest else set())
        data = self.layout.data(wanted.asset, file.name)
        life = Life()
        life.on(Event.BEGUN)
        task = Task(
            file, data, self.layout.journal(wanted.asset, file.name), tuple(sorted(algorithms))
        )
        with disk.explained(self.layout):
            size, digests = download(source, task, self.limits, job)
        life.on(Event.FILLED)
        job.enter("verifying")
        if expected.digest and digests[expected.digest.algorithm] != expected.digest.hex:
            life.on(Event.MISMATCHED)
            self._refuse(wanted, data, _mismatch(expected, digests))
        life.on(Event.MATCHED)
        if fault := structure.fault(data, file.name):
            life.on(Event.MISMATCHED)
            self._refuse(wanted, data, fault)
        return Entry(file.name, size, digests), expected.trust

    def _refuse(self, wanted: Wanted, data: str, reason: str) -> None:
        report: dict[str, object] = {"uri": wanted.shown, "reason": reason, "time": time.time()}
        with disk.explained(self.layout):
            place = disk.quarantine(
                self.layout, wanted.asset, data, report, self.limits.quarantine_most
            )
            disk.discard(self.layout, wanted.asset)
        raise VerificationError(f"{wanted.shown}: {reason}. It is not served; kept in {place}.")

    def _refuse_no_room(self, asset: str, listing: Listing) -> None:
        needed = sum(
            max(0, (file.size or 0) - disk.allocated(self.layout.data(asset, file.name)))
            for file in listing.files
        )
        self._refuse_room(needed)

    def _refuse_room(self, needed: int) -> None:
        free = disk.free_bytes(self.layout.root)
        if not plan.keeps_room(free, needed, self.limits):
            raise CacheError(
                f"{self.layout.root}: no room: {needed:,} bytes are needed, {free:,} are free, of which "
                f"{self.limits.min_free_bytes:,} must stay so. Free some, set cache.dir to a larger file "
                "system, or lower cache.min_free_bytes."
            )

    def _assemble(
        self, wanted: Wanted, fetched: tuple[Entry, ...], card: Mapping[str, Digest], job: Job
    ) -> tuple[Entry, ...]:
        """Put the object's tree together; returns the files it holds."""
        tree = self.layout.tree(wanted.asset)
        disk.remove_tree(tree)
        files = fetched
        data = self.layout.data(wanted.asset, fetched[0].path)
        if len(fetched) == 1 and archive.is_archive(data, fetched[0].path):
            job.enter("unpacking")
            self._refuse_room(archive.unpacked_size(data, fetched[0].path))
            files = archive.unpack(data, fetched[0].path, tree, self.limits, job)
        else:
            for entry in fetched:
                disk.place(self.layout.data(wanted.asset, entry.path), tree, entry.path)
        self._refuse_unknown(wanted, (*files, *fetched), card)
        return files

    def _refuse_unknown(
        self, wanted: Wanted, entries: tuple[Entry, ...], card: Mapping[str, Digest]
    ) -> None:
        """Hold the members of an archive, and the names of a set, against the card's map."""
        by_name = {entry.path: entry for entry in entries}
        for name, said in card.items():
            entry = by_name.get(name)
            if name and entry is None:
                raise SourceError(
                    f"{wanted.shown}: the card's checksum names {name!r}, which is not there; there are: "
                    f"{', '.join(sorted(by_name)[:10])}."
                )
            if entry and entry.digests.get(said.algorithm, said.hex) != said.hex:
                raise VerificationError(f"{wanted.shown}: {name} is not {said}, as the card says.")

    def _publish(self, manifest: Manifest, job: Job) -> None:
        there = self.layout.object(manifest.key)
        if os.path.isdir(there):
            if faults(there, manifest.files, job):
                report: dict[str, object] = {"uri": manifest.uri, "reason": "bit rot"}
                disk.quarantine(
                    self.layout, manifest.asset, there, report, self.limits.quarantine_most
                )
            else:  # the same bytes under a new stamp
                disk.adopt(self.layout, manifest)
                return
        for _ in disk.publication(self.layout, manifest):
            pass

    def verify(self, key: str, job: Job) -> tuple[Manifest | None, list[str]]:
        """Hash a published object again; a bad one goes to quarantine.

        Returns:
            Its manifest, and what is wrong; nothing when all is well.
        """
        manifest = disk.read_manifest(self.layout, key)
        if manifest is None:
            return None, ["there is no such object"]
        job.enter("verifying")
        job.expect(0, manifest.size)
        there = self.layout.object(key)
        with disk.explained(self.layout):
            found = faults(there, manifest.files, job)
            if found:
                disk.withdraw(self.layout, manifest, "; ".join(found), self.limits.quarantine_most)
        return manifest, found

    def examine(self, wanted: Wanted, job: Job) -> Manifest:
        """Verify a local file, or a directory of them, that is used in place.

        Files are hashed only when the card gives a digest, and only once for each version.

        Raises:
            VerificationError: When it is not what the card says.
        """
        card = digest.parse_card(wanted.checksum)
        source = FileSource(wanted.local_path, self.policy)
        listing = source.resolve()
        assert listing is not None  # noqa: S101  # nothing was known
        record = Record.load(self.layout.trust(wanted.asset))
        entries = []
        for file in listing.files:
            said = plan.expected(card, file.name, (), None).digest
            known = record.of(file.name, file.stamp, said.algorithm) if said else None
            if said and known is None:
                job.enter("verifying")
                job.expect(0, file.size)
                value = hash_file(file.locator, (said.algorithm,), job, advance=True)
                known = Digest(said.algorithm, value[said.algorithm])
                record = record.bound(file.name, file.stamp, known)
            reason = f"is {known}, the card says {said}" if known != said else None
            if reason := reason or structure.fault(file.locator, file.name):
                raise VerificationError(f"{file.locator}: {reason}. It is not served.")
            digests = {known.algorithm: known.hex} if known else {}
            entries.append(Entry(file.name, file.size or 0, digests))
        with disk.explained(self.layout):
            if card:
                disk.write(self.layout.trust(wanted.asset), record.dump())
        self._refuse_unknown(wanted, tuple(entries), card)
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


def hash_file(
    path: str, algorithms: tuple[str, ...], job: Job, *, advance: bool = False
) -> dict[str, str]:
    """Hash a file that is all there."""
    hashes = [hashlib.new(name, usedforsecurity=False) for name in algorithms]
    buffer = memoryview(bytearray(MIB))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            job.check()
            for item in hashes:
                item.update(buffer[:count])
            if advance:
                job.advance(count)
    return {item.name: item.hexdigest() for item in hashes}


def faults(folder: str, files: tuple[Entry, ...], job: Job) -> list[str]:
    """What is wrong with an object's files, one text each."""
    found = []
    for entry in files:
        path = os.path.join(folder, entry.path)
        try:
            if os.path.getsize(path) != entry.size:
                found.append(
                    f"{entry.path} has {os.path.getsize(path)} bytes instead of {entry.size}"
                )
            elif (
                hash_file(path, ("sha256",), job, advance=True)["sha256"] != entry.digests["sha256"]
            ):
                found.append(f"{entry.path} has other bytes than were published")
        except OSError as error:
            found.append(f"{entry.path} can't be read: {error.strerror}")
    return found


def _mismatch(expected: plan.Expected, digests: Mapping[str, str]) -> str:
    said = expected.digest
    assert said is not None  # noqa: S101  # there was something to compare with
    whose = {
        "card": "the card says",
        "origin": "the origin itself says",
        "first-use": "this version at the origin was, when first used,",
    }[expected.trust]
    return f"is {said.algorithm}:{digests[said.algorithm]}, {whose} {said}"
