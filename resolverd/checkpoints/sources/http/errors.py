"""Translates what servers, urllib3 and the system say into what the engine knows."""

from __future__ import annotations

import errno
import ssl
import time

from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse

from resolverd.checkpoints.asset import plan
from resolverd.checkpoints.faults import Transient
from resolverd.errors import SourceError

_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_MOST_SAID = 200

_TROUBLES: tuple[tuple[type[Exception], str], ...] = (
    (ProxyError, "the proxy can't be used: {}"),
    (NameResolutionError, "the host's name can't be resolved: check it, and this node's DNS"),
    (NewConnectionError, "no connection: {}"),
    (
        ConnectTimeoutError,
        "no connection: the host does not answer; a firewall may be in the way, or a proxy needed",
    ),
    (ReadTimeoutError, "the server sent nothing for too long"),
    (TimeoutError, "the server sent nothing for too long"),
)
"""What went wrong, the more special kinds first."""


def refuse_status(response: BaseHTTPResponse, name: str) -> None:
    """Refuse an answer that brings no file.

    Raises:
        Transient: When the server may answer better in a moment.
        SourceError: When it will not.
    """
    status = response.status
    if status in {200, 206}:
        return
    said = printable(response.reason or "")
    text = f"{name}: the server answered {status} {said}".rstrip() + ". "
    if status == 407:
        raise SourceError(text + "The proxy wants a user and password: write them into its URL.")
    if status in {401, 403}:
        raise SourceError(
            text + "It wants other credentials than this node has: ask its owner for access and "
            "give the daemon the token (fetch.rules), or download the file yourself and point the "
            "card at it."
        )
    if status in {404, 410}:
        raise SourceError(text + "There is no such file: check the URI in the card.")
    if status in _TRY_AGAIN:
        wait = plan.retry_after(response.headers.get("Retry-After"), time.time())
        raise Transient(text + "Try again later.", wait)
    raise SourceError(text + "Check the URI in the card.")


def explained(name: str, error: Exception) -> SourceError:
    """The error to raise for what urllib3 or the system raised before there was an answer."""
    if isinstance(error, SSLError | ssl.SSLError) and not _hung_up(error):
        return SourceError(
            f"{name}: no trusted TLS connection: {_last(error)}. Check the host's certificate, "
            "this node's clock, and SSL_CERT_FILE for a private authority."
        )
    if isinstance(error, LocationParseError | ValueError):
        return SourceError(f"{name}: is not a URL that can be fetched: {printable(str(error))}.")
    return broken(name, error)


def broken(name: str, error: Exception) -> Transient:
    """The error to raise for what went wrong with a server that may do better next time."""
    return Transient(f"{name}: {_trouble(error)}.")


def printable(text: str) -> str:
    """What a server said, as one short line: it ends in logs and on terminals."""
    line = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text.strip())
    return line if len(line) <= _MOST_SAID else line[:_MOST_SAID] + "..."


def _trouble(error: Exception) -> str:
    said = _last(error)
    if getattr(_root(error), "errno", None) in {errno.EMFILE, errno.ENFILE}:
        return f"no connection: {said}. Let the daemon open more files (LimitNOFILE=)"
    for kind, text in _TROUBLES:
        if isinstance(error, kind):
            return text.format(said)
    return f"the connection broke: {said}"


def _last(error: BaseException) -> str:
    root = _root(error)
    said = printable(getattr(root, "strerror", None) or str(root)).rstrip(".")
    return said or type(root).__name__


def _root(error: BaseException) -> BaseException:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return error


def _hung_up(error: BaseException) -> bool:
    """Whether a TLS connection ended too early, which says nothing against who is trusted."""
    return isinstance(_root(error), ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError)
