"""Secrets: where they are read, and that nothing the process says holds one.

A file counts only when nobody else can read it. Every secret that was read is remembered, so that
:func:`struck` can take it out of whatever leaves the process, whoever put it there: a server may
repeat a token in its error.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping

from resolverd.checkpoints.access.rules import Token
from resolverd.errors import SourceError

_MOST = 1 << 14
_SHORTEST = 6  # what is shorter than any token would be found by chance

_known: set[str] = set()


def read(token: Token, environ: Mapping[str, str]) -> str:
    """Read a token from where it is kept.

    Raises:
        SourceError: When it is not there, others can read it, or it is no token.
    """
    place, text = _found(token, environ)
    text = text.strip()
    if not text or not text.isascii() or not text.isprintable():
        raise SourceError(f"{place}: holds no token: write it there as one line of ASCII.")
    remember(text)
    return text


def remember(secret: str) -> None:
    """Have a secret struck from now on."""
    if len(secret) >= _SHORTEST:
        _known.add(secret)


def struck(data: bytes) -> bytes:
    """Data with every known secret replaced by as many asterisks."""
    for secret in tuple(_known):
        word = secret.encode()
        if word in data:
            data = data.replace(word, b"*" * len(word))
    return data


class Discreet(logging.Formatter):
    """Formats as another one does, tracebacks included, and strikes the secrets."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        text = self._inner.format(record).encode("utf-8", "backslashreplace")
        return struck(text).decode("utf-8")


def discreet_logging() -> None:
    """Have everything that is logged from now on struck."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(Discreet(handler.formatter or logging.Formatter()))


def check(fd: int, path: str) -> None:
    """Refuse an open file that others can read or write.

    systemd's credentials are read-only files in a folder of the service's own, whose group bits
    are an access list's: in that folder the group's right to read counts for nothing.

    Raises:
        SourceError: With the remedy.
    """
    status = os.fstat(fd)
    if status.st_uid not in {0, os.geteuid()}:
        raise SourceError(f"{path}: belongs to another user: chown it to the daemon's.")
    handed = os.environ.get("CREDENTIALS_DIRECTORY")
    others = 0o033 if handed and os.path.dirname(path) == handed.rstrip("/") else 0o077
    if stat.S_IMODE(status.st_mode) & others:
        raise SourceError(f"{path}: others can read this secret: chmod 600 it.")


def _found(token: Token, environ: Mapping[str, str]) -> tuple[str, str]:
    """What to call the place of a token, and what is there."""
    if token.kind == "text":
        return "a token of fetch.rules", token.value
    if token.kind == "env":
        return f"environment variable {token.value}", environ.get(token.value, "")
    path = token.value
    if token.kind == "credential":
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise SourceError(
                f"credential {token.value}: systemd has handed none over: add "
                f"LoadCredential={token.value}:PATH to the service."
            )
        path = os.path.join(folder, token.value)
    try:
        with open(path, encoding="utf-8") as file:
            check(file.fileno(), path)
            return path, file.read(_MOST)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}. Put the token there.") from None
    except UnicodeDecodeError:
        return path, ""
