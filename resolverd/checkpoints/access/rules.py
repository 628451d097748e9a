"""The operator's rules: what holds for URIs that begin with a prefix. Pure.

Each key of a rule is looked for on its own: of all rules whose prefix a URI begins with, the most
specific one that says something of that key counts. A host is compared as a host, never as text
(``https://h`` is no prefix of ``https://h.evil``), ``*.h`` stands for every host below ``h``, and
paths are compared by whole segments, after ``..`` and percent-encoding are resolved.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeVar
from urllib.parse import quote, unquote, urlsplit

from resolverd.checkpoints.faults import Denied

EVERYONE = -1
"""Stands for everyone where the group ids of readers are listed."""

DIRECT = "direct"
"""Stands for no proxy."""

Readers = tuple[int, ...] | None
"""Group ids whose members may read, beside the daemon's own user; None: everyone."""

_PORTS = {"http": 80, "https": 443}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Token:
    """Where a secret is to be found.

    Attributes:
        kind: A text of the configuration, an environment variable, a file, a systemd credential.
        value: The text itself, or the name of the place.
    """

    kind: Literal["text", "env", "file", "credential"]
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for URIs that begin with a prefix; None: this rule says nothing of it.

    Attributes:
        prefix: ``scheme://``, a host or bucket, and the beginning of a path.
        to: Prefixes that take its place, in the order in which they are tried.
        proxy: URL of the proxy; ``direct`` for none.
        allow: Whether it may be fetched.
        readers: Groups that may read what was fetched.
        token: What to show the host, and no other.
        endpoint: Of ``s3://`` URIs: URL of the server.
        region: Of ``s3://`` URIs: its region.
        profile: Of ``s3://`` URIs: whose credentials.
    """

    prefix: str
    to: tuple[str, ...] | None = None
    proxy: str | None = None
    allow: bool | None = None
    readers: tuple[int, ...] | None = None
    token: Token | None = None
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None


def first(rules: Iterable[Rule], uri: str, key: Callable[[Rule], _T | None]) -> _T | None:
    """What the most specific rule that says anything of ``key`` says."""
    there = _Place.of(uri)
    found: tuple[tuple[bool, int, int], _T] | None = None
    for rule in rules:
        said, place = key(rule), _Place.of(rule.prefix)
        if said is not None and place.holds(there) and (not found or place.weight > found[0]):
            found = place.weight, said
    return found[1] if found else None


def routes(rules: Iterable[Rule], uri: str, shown: str) -> tuple[tuple[str, str], ...]:
    """The URIs that take the place of ``uri``, in the order in which they are tried.

    Returns:
        Each one's prefix and the whole of it; nothing when no rule says so.

    Raises:
        Denied: When what follows the prefix can't be put behind another one.
    """
    rule = first(rules, uri, lambda rule: None if rule.to is None else rule)
    if rule is None or not rule.to:
        return ()
    rest = uri.partition("://")[2].partition("/")[2]
    base = rule.prefix.partition("://")[2].partition("/")[2]
    if not rest.startswith(base) or {".", ".."} & set(unquote(rest).split("/")):
        raise Denied(f"{shown}: can't be looked for at a mirror: write it without '.' or '..'.")
    tail, scheme = rest[len(base) :], uri.partition(":")[0].lower()
    return tuple((to, _whole(to) + _reworded(tail, scheme, to.partition(":")[0])) for to in rule.to)


def _whole(prefix: str) -> str:
    """A prefix with the slash that ends its host."""
    return prefix if "/" in prefix.partition("://")[2] else prefix + "/"


def _reworded(tail: str, scheme: str, target: str) -> str:
    """The end of a URI in another scheme's words: URLs are percent-encoded, keys and paths not."""
    web, to_web = scheme in _PORTS, target in _PORTS
    if web == to_web:
        return tail
    return unquote(tail.partition("?")[0]) if web else quote(tail)


@dataclass(frozen=True, slots=True)
class _Place:
    """A URI, made comparable."""

    scheme: str
    host: str
    path: str

    @classmethod
    def of(cls, uri: str) -> _Place:
        scheme, _, rest = uri.partition("://")
        scheme = scheme.lower()
        if scheme in _PORTS:
            return cls._web(uri)
        authority, _, path = rest.partition("/")
        if scheme == "hg":  # the Hub's names are told apart by more than case
            authority, path = authority.lower(), path.lower()
        return cls(scheme, authority, _resolved(path))

    @classmethod
    def _web(cls, url: str) -> _Place:
        try:
            parts = urlsplit(url)
            name, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:  # nobody can connect to that
            return cls("", "", "")
        host = name if port in {None, _PORTS[parts.scheme]} else f"{name}:{port}"
        return cls(parts.scheme, host, _resolved(unquote(parts.path)))

    @property
    def weight(self) -> tuple[bool, int, int]:
        """Of two that hold one URI, the heavier is the more specific."""
        return not self.host.startswith("*."), len(self.host), len(self.path)

    def holds(self, other: _Place) -> bool:
        """Whether ``other`` begins with this."""
        if self.scheme != other.scheme:
            return False
        if self.host.startswith("*."):
            if not other.host.endswith(self.host[1:]):
                return False
        elif self.host not in {"", other.host}:
            return False
        base = self.path.rstrip("/")
        ends = ("/", "@") if self.scheme == "hg" else ("/",)  # @ begins a revision
        return (
            not base or other.path == base or other.path.startswith(tuple(base + c for c in ends))
        )


def _resolved(path: str) -> str:
    """A path without ``.`` and ``..``; a slash at its end stays."""
    resolved = posixpath.normpath("/" + path).lstrip("/")
    return resolved + "/" if resolved and path.endswith("/") else resolved
