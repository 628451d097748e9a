"""A file that a new version shares with the version at hand is linked, not fetched again.

Only where the origin tells a file's digest before its bytes, as the Hub does: a commit that changes
the README must not cost the weights once more. The bytes are hashed again all the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from resolverd.checkpoints import disk
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.manifest import Entry, Manifest
from resolverd.checkpoints.intake.errand import Errand
from resolverd.checkpoints.intake.hashing import hash_file
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.sources.base import RemoteFile


def unchanged(earlier: Manifest | None, files: Iterable[RemoteFile]) -> Mapping[str, Entry]:
    """The files of an earlier version that have the same path and, by the origin's word, bytes."""
    if earlier is None or not earlier.whole:
        return {}
    known = {entry.path: entry for entry in earlier.files}
    return {
        file.name: entry
        for file in files
        if (entry := known.get(file.name)) and file.size == entry.size and _is_same(entry, file)
    }


def _is_same(entry: Entry, file: RemoteFile) -> bool:
    same = (entry.digests.get(said.algorithm) == said.hex for said in file.digests)
    return bool(file.digests) and all(same)


def reused(errand: Errand, file: RemoteFile, said: Digest | None) -> Entry | None:
    """Take a file over from the version at hand.

    Args:
        errand: What is to be brought.
        file: The file.
        said: What it must hash to, by the best word on it.

    Returns:
        The file, verified; None when it has to be fetched.
    """
    entry = errand.unchanged.get(file.name)
    with disk.explained(errand.layout):
        disk.drop_kept(errand.layout, errand.asset, file.name)
        if entry is None:
            return None
        if not said or entry.digests.get(said.algorithm) == said.hex:
            if (kept := _kept(errand, entry)) and _is_sound(kept, entry, errand.job):
                return entry
            disk.drop_kept(errand.layout, errand.asset, file.name)
    errand.claim.hold({file.name: entry.size})
    return None


def _kept(errand: Errand, entry: Entry) -> str | None:
    key = errand.earlier.key if errand.earlier else ""
    path = os.path.join(errand.layout.object(key), entry.path)
    return disk.keep(errand.layout, errand.asset, entry.path, path)


def _is_sound(path: str, entry: Entry, job: Job) -> bool:
    job.enter("verifying")
    job.expect(0, entry.size)
    return hash_file(path, ["sha256"], job)["sha256"] == entry.digests["sha256"]
