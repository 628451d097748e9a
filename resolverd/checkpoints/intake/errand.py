"""One asset on its way into the cache: what all steps of that way work on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from resolverd.checkpoints import disk
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.manifest import Entry, Manifest
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.faults import VerificationError
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.space.claim import Claim
from resolverd.checkpoints.transfer.traffic import Lane


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be brought, and how.

    Attributes:
        layout: The cache.
        limits: Bounds of the download.
        wanted: What is to be brought.
        card: What the card says it hashes to.
        job: To be told of progress, and to be stopped by.
        claim: The room it takes.
        policy: Who may read it.
        lane: How fast it may come, and when.
        earlier: The version at hand.
        unchanged: Its files that are the same in the version that comes.
    """

    layout: Layout
    limits: Limits
    wanted: Wanted
    card: Mapping[str, Digest]
    job: Job
    claim: Claim
    policy: Policy
    lane: Lane
    earlier: Manifest | None = None
    unchanged: Mapping[str, Entry] = field(default_factory=dict)

    @property
    def asset(self) -> str:
        """Its name in the cache."""
        return self.wanted.asset

    def data(self, name: str) -> str:
        """Path of a partial file."""
        return self.layout.data(self.asset, name)

    def whole(self, name: str) -> str:
        """Path of a file that is all there: fetched, or kept of the version at hand."""
        kept = self.layout.kept(self.asset, name)
        return kept if os.path.exists(kept) else self.data(name)

    def quarantine(self, data: str, reason: str) -> NoReturn:
        """Give up on what the origin sent: keep the bad file, forget the rest.

        Raises:
            VerificationError: With the reason, and where the file is kept.
        """
        shown = self.wanted.shown
        finding = disk.Finding(self.asset, shown, reason)
        with disk.explained(self.layout):
            place = disk.quarantine(self.layout, data, finding, self.limits)
            disk.discard(self.layout, self.asset)
        raise VerificationError(f"{shown}: {reason}. It is not served; it is kept in {place}.")
