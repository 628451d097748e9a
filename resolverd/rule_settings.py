"""The array of tables ``[[fetch.rules]]``: what an operator may write there, and what is wrong."""

from __future__ import annotations

import grp
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

_SCHEMES = {"http", "https", "s3", "file", "hg"}
_PREFIX = re.compile(r"([a-z0-9]+)://([^/\s]*)(/.*)?")
_URL = re.compile(r"https?://(\S+@)?(\[[0-9a-fA-F:]+\]|[^/@:\s\[\]]+)(:\d{1,5})?(/[^@\s]*)?")
_HOST = re.compile(r"(\*\.)?(\[[0-9a-fA-F:]+\]|[^/@:?#\s\[\]]+)(:\d{1,5})?")
_TOKENS = ("token", "token_env", "token_file", "token_credential")
_FOR_S3 = ("endpoint", "region", "profile")

Note = Callable[[str, str], None]


class RuleSettings(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """One table ``[[fetch.rules]]``: what holds for URIs that begin with a prefix.

    Each key counts on its own: of all rules whose ``from`` a URI begins with, the most specific one
    that has the key. ``https://*.example.com/`` stands for all hosts below; ``https://`` for all.

    Attributes:
        from_: The prefix (key ``from``): scheme, host or bucket, and the beginning of a path.
        to: Prefixes that take its place (mirrors), tried in this order. The origin itself is tried
            only when it is one of them.
        proxy: URL of a proxy; ``direct`` for none, whatever the environment says.
        allow: Whether it may be fetched; redirects are held against this too.
        read_groups: Groups whose members may read what was fetched; ``*`` for everyone. Unset: the
            socket's group for what only a token or signature gives, everyone for all else.
        token: A token to show to the host. The file must then be the daemon's alone to read.
        token_env: Name of an environment variable that holds it.
        token_file: Path of a file that holds it, which nobody else may read.
        token_credential: Name of a systemd credential (``LoadCredential=``) that holds it.
        endpoint: For ``s3://``: URL of the server, in place of ``s3.endpoint``.
        region: For ``s3://``: its region, in place of ``s3.region``.
        profile: For ``s3://``: a profile of Amazon's files, in place of ``s3.profile``.
    """

    from_: Annotated[str, Meta(description="a prefix such as 'https://example.com/models/'")]
    to: Annotated[tuple[str, ...] | None, Meta(description="a list of such prefixes")] = None
    proxy: Annotated[str | None, Meta(description="a proxy's URL, or 'direct'")] = None
    allow: Annotated[bool | None, Meta(description="true or false")] = None
    read_groups: Annotated[
        tuple[str, ...] | None, Meta(description="a list of groups, or ['*']")
    ] = None
    token: Annotated[str | None, Meta(description="a text")] = None
    token_env: Annotated[str | None, Meta(description="a variable's name")] = None
    token_file: Annotated[str | None, Meta(description="a path")] = None
    token_credential: Annotated[str | None, Meta(description="a credential's name")] = None
    endpoint: Annotated[str | None, Meta(description="an http(s) URL")] = None
    region: Annotated[str | None, Meta(description="a region's name")] = None
    profile: Annotated[str | None, Meta(description="a profile's name")] = None

    @property
    def secret(self) -> tuple[str, str] | None:
        """Which of the token's keys is set, and to what."""
        return next(((key, said) for key in _TOKENS if (said := getattr(self, key))), None)


def read(values: object, note: Note) -> tuple[RuleSettings, ...]:
    """Validate all rules.

    Args:
        values: What TOML gave.
        note: Told of each problem: the key below ``fetch.rules``, and the fault.

    Returns:
        The rules; without those that are wrong.
    """
    if isinstance(values, Mapping):
        values = [values]  # [fetch.rules] in place of [[fetch.rules]]
    if not isinstance(values, Sequence) or isinstance(values, str):
        note("", f"{values!r:.80} is not allowed: it takes tables [[fetch.rules]]")
        return ()
    rules: list[RuleSettings] = []
    for number, value in enumerate(values, 1):
        problems = list(_problems(value))
        for key, fault in problems:
            note(f"[{number}]{key and '.'}{key}", fault)
        if not problems:
            rules.append(_converted(value))
    for prefix in sorted(_twice([rule.from_ for rule in rules])):
        note("", f"two rules are from {prefix!r}: write one")
    return tuple(rules)


def _converted(value: Mapping[str, object]) -> RuleSettings:
    one = {key: [said] if key in {"to", "read_groups"} and isinstance(said, str) else said
           for key, said in value.items()}  # fmt: skip
    return msgspec.convert(one, RuleSettings)


def _problems(value: object) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield "", f"{value!r:.80} is not allowed: a rule is a table"
        return
    fields = {field.encode_name: field for field in msgspec.structs.fields(RuleSettings)}
    for key in value.keys() - fields.keys():
        yield key, f"there is no such key; allowed: {', '.join(fields)}"
    faults = [
        (key, _fault(key, said, fields[key].type)) for key, said in value.items() if key in fields
    ]
    found = [(key, fault) for key, fault in faults if fault]
    yield from found
    if "from" not in value:
        yield "from", "is missing: a rule needs a prefix such as 'https://example.com/models/'"
    elif not found and value.keys() <= fields.keys():
        yield from _contradictions(_converted(value))


def _fault(key: str, said: object, kind: Any) -> str | None:
    """What is wrong with one key by itself."""
    (meta,) = kind.__metadata__
    listed = [said] if key in {"to", "read_groups"} and isinstance(said, str) else said
    try:
        msgspec.convert(listed, kind)
    except msgspec.ValidationError:
        value = "***" if key == "token" else f"{said!r:.80}"
        return f"{value} is not allowed: it takes {meta.description}"
    return _CHECKS[key](listed) if key in _CHECKS else None


def _prefix(text: Any) -> str | None:
    found = _PREFIX.fullmatch(text)
    if found and found[1] in _SCHEMES and (found[2] or found[1] == "file" or not found[3]):
        if found[1] in {"http", "https"} and found[2] and not _HOST.fullmatch(found[2]):
            return f"{text!r:.80} is not allowed: {found[2]!r} is no host, or host:port"
        return None
    schemes = ", ".join(sorted(_SCHEMES))
    return f"{text!r:.80} is not allowed: it takes a scheme ({schemes}), '://' and what follows"


def _url(text: Any) -> str | None:
    if _URL.fullmatch(text):
        return None
    return "is not allowed: it takes an http(s) URL"  # without the value: it may hold a password


def _groups(names: Any) -> str | None:
    unknown = [name for name in names if name != "*" and not _is_group(name)]
    return f"there is no group {unknown[0]!r} on this node" if unknown else None


def _is_group(name: str) -> bool:
    try:
        return bool(grp.getgrnam(name))
    except (KeyError, ValueError):
        return False


def _file(path: Any) -> str | None:
    if not os.path.isabs(path):
        return f"{path!r} is not allowed: it takes an absolute path"
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except PermissionError:
        return None  # for the daemon's user to see
    except OSError as error:
        return f"{path}: {error.strerror}: put the token there, for the daemon alone to read"
    return f"{path}: others can read it: chmod 600 it" if mode & 0o077 else None


_CHECKS: Mapping[str, Callable[[Any], str | None]] = {
    "from": _prefix,
    "to": lambda prefixes: next(filter(None, map(_prefix, prefixes)), None),
    "proxy": lambda text: None if text == "direct" else _url(text),
    "endpoint": _url,
    "read_groups": _groups,
    "token_file": _file,
}


def _contradictions(rule: RuleSettings) -> Iterator[tuple[str, str]]:
    """What is wrong with keys that are right each by itself."""
    scheme = rule.from_.partition(":")[0]
    tokens = [key for key in _TOKENS if getattr(rule, key) is not None]
    if len(tokens) > 1:
        yield tokens[1], f"there is {tokens[0]} already: a rule has one token"
    if tokens and scheme not in {"http", "https", "hg"}:
        yield tokens[0], f"{scheme} knows no tokens"
    if tokens and scheme != "hg" and not rule.from_.partition("://")[2].strip("/*"):
        yield tokens[0], "every host would be shown it: name one in 'from'"
    for key in _FOR_S3:
        if getattr(rule, key) is not None and scheme != "s3":
            yield key, "only a rule from 's3://' has this"
    for to in rule.to or ():
        if (scheme == "hg") != to.startswith("hg:"):
            yield "to", f"{to!r}: only an hg:// repository stands for another"
        if "*" in rule.from_.partition("://")[2].partition("/")[0]:
            yield "to", "a mirror stands for one host: write it without '*'"
        if _ends(rule.from_) != _ends(to):
            yield "to", f"{to!r} and 'from' must both end with a slash, or neither"


def _ends(prefix: str) -> bool:
    """Whether a prefix ends with a slash, or with the host, which is the same."""
    return prefix.endswith("/") or "/" not in prefix.partition("://")[2]


def _twice(prefixes: Sequence[str]) -> set[str]:
    return {prefix for prefix in prefixes if prefixes.count(prefix) > 1}
