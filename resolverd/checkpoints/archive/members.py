"""What the two kinds of archive have in common: members, read one by one, never trusted."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from resolverd.checkpoints.faults import Cancelled
from resolverd.errors import ResolverdError, SourceError

Kind = Literal["file", "folder", "link", "hard link", "other"]


@dataclass(frozen=True, slots=True)
class Member:
    """One member, as the archive describes it.

    Attributes:
        name: As it is written there.
        kind: What it would become.
        size: Bytes it would have.
        target: Where a link leads.
        fault: Why its kind of archive can't give it; None when it can.
        token: What finds it again.
    """

    name: str
    kind: Kind
    size: int = 0
    target: str = ""
    fault: str | None = None
    token: Any = None


class Archive(Protocol):
    """An open archive."""

    def members(self) -> Iterator[Member]:
        """Every member, in the archive's order."""

    def pieces(self, member: Member) -> Iterator[bytes]:
        """The bytes of a file."""


class Bounded(io.FileIO):
    """A file of which no single read may be larger than a sane archive needs.

    The readers of the standard library take whatever a header says is there into memory at once.
    """

    def __init__(self, path: str, most: int) -> None:
        super().__init__(path)
        self._most = most
        self._left = most

    def read(self, size: int | None = -1) -> bytes:
        """Read as much as is asked for, within the bound.

        Raises:
            ValueError: When it is more.
        """
        if size is None or size < 0:
            size = max(0, os.fstat(self.fileno()).st_size - self.tell())
        if size > self._left:
            raise ValueError("a header that is larger than any real one")
        self._left -= size
        return super().read(size)

    def renew(self) -> None:
        """Begin with another header."""
        self._left = self._most


@contextmanager
def damaged(name: str, member: str | None = None) -> Iterator[None]:
    """Translate what the readers of hostile bytes raise, which may be anything.

    Raises:
        SourceError: With the archive's and the member's name.
    """
    try:
        yield
    except (ResolverdError, Cancelled):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}:
            raise  # the disk's fault, not the archive's, which asks to seek before the start
        what = f"{name}: " if member is None else f"{name}: member {member!r}: "
        said = str(error) or type(error).__name__
        raise SourceError(f"{what}can't be unpacked: {said}.") from error
