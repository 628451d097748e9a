"""The one interface that every kind of origin speaks.

One conformance suite, in ``tests/checkpoints``, runs over all of them. A source belongs to one
download. It raises only :class:`~resolverd.errors.SourceError` and its kin: foreign exceptions end
here.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from typing_extensions import Self

from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.plan import Range


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file at the origin, as it is now.

    Attributes:
        name: Its path in the object.
        size: Its length; None when the origin does not say.
        stamp: A strong validator of this version; None: two requests may give different bytes.
        ranges: Whether parts of it can be asked for.
        digests: What the origin says it hashes to, strongest first.
        locator: What the source itself needs to find it again.
        framed: Whether the transfer tells its own end, though the length is not known before.
    """

    name: str
    size: int | None
    stamp: str | None
    ranges: bool
    digests: tuple[Digest, ...] = ()
    locator: str = ""
    framed: bool = False

    @property
    def resumable(self) -> bool:
        """Whether a part fetched today fits one fetched tomorrow."""
        return self.ranges and self.stamp is not None and self.size is not None


@dataclass(frozen=True, slots=True)
class Listing:
    """All files of one URI, of one version.

    Attributes:
        files: At least one.
        stamp: The validator of the whole; None without one.
        private: Whether the origin gives it only to those who hold a secret.
    """

    files: tuple[RemoteFile, ...]
    stamp: str | None
    private: bool = False


class Transfer(Protocol):
    """Bytes on their way. Closed by leaving the ``with`` block."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill as much of the buffer as is at hand, at least one byte; 0 at the end.

        Raises:
            Transient: When the bytes stopped before the announced end.
        """

    def copy_to(self, target: int, most: int) -> int:
        """Let the kernel copy up to ``most`` bytes to the same place in ``target``.

        Returns:
            The bytes copied; 0 where only ``readinto`` can go on.
        """

    def abort(self) -> None:
        """Make a blocked ``readinto`` of another thread return at once."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Source(Protocol):
    """One origin, for one download."""

    def resolve(self, known: str | None = None, gap: Range | None = None) -> Listing | None:
        """Ask the origin what it has.

        Args:
            known: The stamp of the version at hand.
            gap: The missing part that reading is likely to begin with; a hint that saves a request.

        Returns:
            The listing; None when the origin still has the version ``known``.

        Raises:
            SourceError: When it has nothing to give.
        """

    def open(self, file: RemoteFile, start: int, end: int | None) -> Transfer:
        """Begin to read ``start..end`` of a file of the listing.

        Raises:
            Changed: When the origin has another version now, or takes no ranges after all.
            SourceError: When it gives nothing.
        """

    def sidecar(self, file: RemoteFile) -> Digest | None:
        """The digest of a ``.sha256`` file beside it, where there is one."""

    def close(self) -> None:
        """Let go of connections; ``open`` makes new ones."""
