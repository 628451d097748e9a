"""What can go wrong with a checkpoint, sorted by what the engine does about it.

:class:`Transient` is tried again, :class:`Changed` starts the file over, :class:`Cancelled` is
nobody's fault; everything else ends the download and reaches who asked, with its text.
"""

from __future__ import annotations

from resolverd.errors import CacheError, SourceError


class Denied(SourceError):  # noqa: N818  # says what to do, not that it failed
    """The policy forbids to read from there."""


class VerificationError(SourceError):
    """The origin sent something else than what was expected; it is in quarantine."""


class Transient(SourceError):  # noqa: N818  # says what to do, not that it failed
    """The origin may answer better in a moment.

    Attributes:
        retry_after: Seconds the origin asked to wait, where it did.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Changed(SourceError):  # noqa: N818  # says what to do, not that it failed
    """The file at the origin is another one than when its download began."""


class RangesIgnored(SourceError):  # noqa: N818  # says what to do, not that it failed
    """The origin sent the whole file for a part of it, after it had understood ranges before."""


class Cancelled(Exception):  # noqa: N818  # not an error: the last requester left
    """Nobody wants this download any more."""


def of_name(fault: str, message: str) -> Exception:
    """The exception a worker named; ``CacheError`` for a name that is not known here."""
    kinds = {kind.__name__: kind for kind in (Denied, VerificationError, SourceError)}
    return kinds.get(fault, CacheError)(message)


def name_of(error: Exception) -> str:
    """The name under which ``error`` crosses from the worker; the inverse of :func:`of_name`."""
    for kind in (Denied, VerificationError, SourceError):
        if isinstance(error, kind):
            return kind.__name__
    return CacheError.__name__
