"""What is known of one object: one JSON document each, and the record of first use.

Plain data and its text form; :mod:`resolverd.checkpoints.disk` puts it in place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from resolverd.checkpoints.access.rules import Readers
from resolverd.checkpoints.asset import digest, repository
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.plan import Trust
from resolverd.checkpoints.asset.repository import Repository
from resolverd.errors import SourceError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an object: its path in the object, its length, its digests by algorithm."""

    path: str
    size: int
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object.

    Attributes:
        key: Name of the object.
        asset: Name of the link that fairseq2 follows.
        uri: Where it came from, without secrets.
        kind: What it was first wanted for.
        stamp: The origin's validator for this version; None without one.
        trust: On whose word it was verified.
        fetched: What was downloaded: the files themselves, or the archive they were in.
        files: What the object holds.
        created: Seconds since the epoch when it was published.
        private: Whether the origin gives it only to those who hold a secret.
        readers: Group ids whose members may read it; None: everyone.
    """

    key: str
    asset: str
    uri: str
    kind: str
    stamp: str | None
    trust: Trust
    fetched: tuple[Entry, ...]
    files: tuple[Entry, ...]
    created: float
    private: bool = False
    readers: Readers = None
    format: int = field(default=FORMAT)

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return sum(entry.size for entry in self.files)

    @property
    def repository(self) -> Repository | None:
        """The Hub's repository that it is of; None for what came from elsewhere."""
        if not self.uri.startswith(f"{repository.SCHEME}://"):
            return None
        try:
            return repository.read(self.uri, self.kind)
        except SourceError:
            return None

    @property
    def whole(self) -> bool:
        """Whether the object holds what was fetched as it is, not unpacked."""
        return {entry.path for entry in self.fetched} == {entry.path for entry in self.files}

    def fits(self, card: Mapping[str, Digest]) -> bool | None:
        """Whether this is what the card says; None when only hashing can tell.

        Args:
            card: Digests by file name; the empty name stands for the only file that was fetched.
        """
        entries = {entry.path: entry for entry in (*self.files, *self.fetched)}
        if len(self.fetched) == 1:
            entries[""] = self.fetched[0]
        answers: set[bool | None] = set()
        for name, said in card.items():
            known = entries[name].digests.get(said.algorithm) if name in entries else ""
            # What was unpacked is gone: it can't be hashed again.
            unknown = None if name in entries and (self.whole or name) else False
            answers.add(unknown if known is None else known == said.hex)
        return False if False in answers else None if None in answers else True

    @property
    def digest(self) -> str | None:
        """Digest of what was fetched (of all files together, when there are several)."""
        known = [dict(entry.digests) for entry in self.fetched or self.files]
        if len(known) > 1 and all("sha256" in digests for digests in known):
            names = [entry.path for entry in self.fetched or self.files]
            sums = {name: digests["sha256"] for name, digests in zip(names, known, strict=True)}
            return str(digest.of_many(sums))
        if len(known) != 1 or not known[0]:
            return None
        best = "sha256" if "sha256" in known[0] else min(known[0])
        return f"{best}:{known[0][best]}"


def dump(manifest: Manifest) -> bytes:
    """The document."""
    return json.dumps(asdict(manifest), indent=1, ensure_ascii=True).encode() + b"\n"


def load(data: bytes) -> Manifest | None:
    """Read a document; None when it is damaged or of another format."""
    try:
        raw: dict[str, Any] = json.loads(data)
        if raw["format"] != FORMAT:
            return None
        fetched, files = (
            tuple(Entry(**item) for item in raw.pop(key)) for key in ("fetched", "files")
        )
        readers = raw.pop("readers", None)
        readers = None if readers is None else tuple(int(gid) for gid in readers)
        return Manifest(fetched=fetched, files=files, readers=readers, **raw)
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def is_damaged(data: bytes) -> bool:
    """Whether nobody can make sense of a document; one of another format is not damaged."""
    if load(data) is not None:
        return False
    try:
        return bool(json.loads(data)["format"] == FORMAT)
    except (ValueError, TypeError, LookupError):
        return True
