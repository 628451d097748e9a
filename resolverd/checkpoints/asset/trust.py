"""Trust on first use: what each version of a URI's files hashed to when it was first seen.

Kept apart from the objects, so that a version stays bound to its bytes after they were evicted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from resolverd.checkpoints.asset.digest import Digest

_MOST = 4096


@dataclass(frozen=True, slots=True)
class Record:
    """Digests by file name, stamp and algorithm; the oldest give way."""

    entries: tuple[tuple[str, str, str, str], ...] = ()

    def of(self, name: str, stamp: str | None, algorithm: str = "sha256") -> Digest | None:
        """What this version of this file hashed to; None when it is new, or has no stamp."""
        if stamp is None:
            return None
        for known in self.entries:
            if known[:3] == (name, stamp, algorithm):
                return Digest(algorithm, known[3])
        return None

    def bound(self, *learned: tuple[str, str | None, Digest]) -> Record:
        """This record, with more digests.

        Args:
            learned: Name, stamp and digest; a version without a stamp can't be bound.
        """
        known = {(name, stamp, algorithm): value for name, stamp, algorithm, value in self.entries}
        for name, stamp, digest in learned:
            if stamp is not None:
                known.pop((name, stamp, digest.algorithm), None)
                known[name, stamp, digest.algorithm] = digest.hex
        return Record(tuple((*key, value) for key, value in known.items())[-_MOST:])

    def dump(self) -> bytes:
        """The record as a JSON document."""
        return json.dumps({"format": 1, "entries": self.entries}, indent=1).encode()

    @classmethod
    def load(cls, path: str) -> Record:
        """Read a record; an empty one when there is none, or it is damaged."""
        try:
            with open(path, "rb") as file:
                raw = json.load(file)
            entries = tuple((str(a), str(b), str(c), str(d)) for a, b, c, d in raw["entries"])
        except (OSError, ValueError, TypeError, LookupError):
            return cls()
        return cls(entries)
