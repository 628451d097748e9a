"""Every error the client raises on purpose, and the wire's error codes behind them.

Each carries ``code`` (a stable slug, listed in PROTOCOL.md) and ``details`` (a map, often empty).
"""

from __future__ import annotations

from collections.abc import Mapping


class ResolverdError(Exception):
    """A call to resolverd failed; the message says why and what to do.

    Attributes:
        code: The wire's error code, such as ``fetch-failed``.
        details: Further facts for programs, by name.
    """

    code = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.details: dict[str, object] = dict(details or {})


class AssetNotFoundError(ResolverdError, LookupError):
    """No store has a card of that name."""

    code = "not-found"


class DaemonUnavailableError(ResolverdError, ConnectionError):
    """The daemon could not be reached, or did not answer, within the timeout."""

    code = "unavailable"


class RequestError(ResolverdError):
    """The request itself is at fault: an argument, a size, a missing right."""

    code = "bad-request"


class FetchError(ResolverdError):
    """A checkpoint could not be fetched, or can't be seen from here."""

    code = "fetch-failed"


class VerificationError(ResolverdError):
    """A checkpoint's content is not what its card or its origin promises; it is not served."""

    code = "verification-failed"


class ProtocolError(ResolverdError):
    """The other side sent bytes that the protocol does not allow."""

    code = "protocol"


BY_CODE: dict[str, type[ResolverdError]] = {
    "not-found": AssetNotFoundError,
    "unavailable": DaemonUnavailableError,
    "bad-request": RequestError,
    "unknown-method": RequestError,
    "too-large": RequestError,
    "denied": RequestError,
    "fetch-failed": FetchError,
    "not-local": FetchError,
    "verification-failed": VerificationError,
    "protocol": ProtocolError,
}


def from_wire(error: object) -> ResolverdError:
    """Make the exception for an error map of the wire.

    Args:
        error: ``{code, message, details}`` as received; anything else is a protocol fault.

    Returns:
        The exception, to be raised by the caller. A code unknown to this version becomes a plain
        ``ResolverdError`` that carries it.
    """
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return ProtocolError(f"the daemon sent an error of no known form: {error!r:.200}")
    details = error.get("details")
    return BY_CODE.get(error["code"], ResolverdError)(
        str(error.get("message", error["code"])),
        code=error["code"],
        details=details if isinstance(details, dict) else None,
    )
