"""What those who ask for checkpoints are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from resolverd.checkpoints.access.rules import Readers
from resolverd.checkpoints.asset.manifest import Manifest
from resolverd.checkpoints.asset.plan import Trust
from resolverd.checkpoints.asset.target import Wanted


@dataclass(frozen=True, slots=True)
class Published:
    """A verified file or folder, ready to be read.

    Attributes:
        path: What to open: the file when there is just one, else the folder.
        key: Name of the object; of a file used in place, a name that no object has.
        uri: Where it came from, without secrets.
        kind: What it was wanted for.
        size: Bytes.
        digest: ``algorithm:hex`` of what was fetched; None for a local file without a checksum.
        trust: On whose word it was verified.
        files: Paths below the object.
        readers: Group ids whose members may read it; None: everyone whom the file system lets.
    """

    path: str
    key: str
    uri: str
    kind: str
    size: int
    digest: str | None
    trust: Trust
    files: tuple[str, ...]
    readers: Readers = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is.

    Attributes:
        uri: Of what, without secrets.
        done: Bytes that are there.
        total: Bytes in all; None while unknown.
        rate: Bytes a second, over the last seconds.
        state: ``waiting``, ``connecting``, ``fetching``, ``retrying``, ``verifying``,
            ``unpacking`` or ``publishing``.
        fault: What went wrong last and was tried again; None when nothing did.
    """

    uri: str
    done: int
    total: int | None
    rate: float
    state: str
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What hashing an object again has shown.

    Attributes:
        key: The object.
        uri: Where it came from.
        ok: Whether it is what was published.
        reason: What is wrong; empty when nothing is. A bad object is in quarantine by now.
        restoring: Whether it is being fetched again.
    """

    key: str
    uri: str
    ok: bool
    reason: str = ""
    restoring: bool = False


class Lease(NamedTuple):
    """What protects an object from eviction.

    Attributes:
        fd: Holds the lease in every process that has it, until closed.
        told: Length of the lock file when the lease was taken. Once it has grown, the object has
            gone bad since.
    """

    fd: int
    told: int


Listener = Callable[[Progress], None]


def published(manifest: Manifest, wanted: Wanted, path: str) -> Published:
    """A published object, as the answer to a request for it."""
    return Published(
        path=path,
        key=manifest.key,
        uri=wanted.shown,
        kind=wanted.kind,
        size=manifest.size,
        digest=manifest.digest,
        trust="card" if wanted.checksum else manifest.trust,
        files=tuple(entry.path for entry in manifest.files),
        readers=manifest.readers,
    )
