"""What the worker does to the cache when it is asked: fetch into it, verify what is in it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from resolverd.checkpoints import disk
from resolverd.checkpoints.access.policy import Policy, readers_of
from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.manifest import Manifest
from resolverd.checkpoints.asset.target import Kind, Wanted
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.intake.errand import Errand
from resolverd.checkpoints.intake.hashing import faults, hash_file
from resolverd.checkpoints.intake.hub_view import commit_of
from resolverd.checkpoints.intake.ingest import ingest
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.sources.choose import source_of
from resolverd.checkpoints.space.claim import Claim
from resolverd.checkpoints.space.room import Room
from resolverd.checkpoints.transfer.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Engine:
    """The cache, the rules for filling it, the room in it, and what downloads share."""

    layout: Layout
    limits: Limits
    policy: Policy
    room: Room
    traffic: Traffic

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
        if have and not disk.whole(self.layout, have):
            reason = "files are missing, or have another length"
            disk.withdraw(self.layout, have, reason, self.limits)
            have = None
        have = have and self._admitted(have, wanted)
        have = have and self._fitting(have, card, job)
        if have and not (refresh or force):
            return have
        free = refresh or force or card  # what the card says may be of a newer commit
        preferred = "" if free else self._commit_of_another_kind(wanted)
        source = source_of(replace(wanted, commit=preferred), self.limits, self.policy)
        try:
            with self.traffic.lane(wanted.host, job) as lane:
                claim = Claim(self.room, wanted.asset, job)
                earlier = None if force else have
                errand = Errand(
                    self.layout, self.limits, wanted, card, job, claim, self.policy, lane, earlier
                )
                return ingest(errand, source)
        finally:
            source.close()

    def verify(self, key: str, job: Job) -> tuple[Manifest | None, list[str]]:
        """Hash a published object again; a bad one goes to quarantine.

        Returns:
            Its manifest, and what is wrong; nothing when all is well.
        """
        manifest = disk.read_manifest(self.layout, key)
        if manifest is None:
            with disk.explained(self.layout):
                disk.set_aside_unknown(self.layout, key, self.limits)
            return None, ["there is no such object, or its manifest is damaged"]
        job.enter("verifying")
        job.expect(0, manifest.size)
        with disk.explained(self.layout):
            found = faults(self.layout.object(key), manifest.files, job)
            if found:
                disk.withdraw(self.layout, manifest, "; ".join(found), self.limits)
            else:
                disk.found_right(self.layout, key, time.time())
        return manifest, found

    def _admitted(self, have: Manifest, wanted: Wanted) -> Manifest:
        """The object, readable for those whom the rules name by now."""
        readers = readers_of(self.policy, wanted.normal, private=have.private)
        if readers != have.readers:
            have = replace(have, readers=readers)
            with disk.explained(self.layout):
                disk.admit(self.layout, have)
        return have

    def _commit_of_another_kind(self, wanted: Wanted) -> str:
        """The commit that a repository's model is of, for its tokenizer, or the other way round."""
        if not wanted.is_repository or wanted.kind == "dataset":
            return ""
        other: Kind = "tokenizer" if wanted.kind == "model" else "model"
        there = disk.current(self.layout, replace(wanted, kind=other).asset)
        return (commit_of(there) if there else None) or ""

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
                disk.withdraw(self.layout, have, "bit rot", self.limits)
                return None
            whole = tuple(files) if have.whole else have.fetched
            learned = replace(have, files=tuple(files), fetched=whole)
            disk.record(self.layout, learned)
        return learned if learned.fits(card) else None
