"""Reads what the Hub's API says of a repository's files. Pure; every answer is hostile.

The tree of a commit gives each file's size and digest: SHA-256 of what is stored apart (LFS, Xet),
the git blob's SHA-1 of the rest. Both name the content, so that a file which two commits share has
the same stamp in both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from resolverd.checkpoints.asset.digest import GIT_BLOB, Digest
from resolverd.checkpoints.asset.repository import PATTERNS, is_commit, is_wanted
from resolverd.checkpoints.sources import names
from resolverd.checkpoints.sources.base import RemoteFile
from resolverd.errors import SourceError

FILES_MOST = 100_000
"""Files that one repository may give."""

_HEX = re.compile(r"[0-9a-f]+")
_NEXT = re.compile(r"""<([^<>]*)>\s*;\s*rel="?next"?""")


@dataclass(frozen=True, slots=True)
class About:
    """A repository at a revision.

    Attributes:
        commit: What the revision is at.
        restricted: Whether not everyone may read it; where the Hub does not say, so it is.
    """

    commit: str
    restricted: bool


def about(body: bytes, name: str) -> About:
    """Read what the Hub says of a repository at a revision.

    Raises:
        SourceError: When the answer is none of the Hub's.
    """
    found = _json(body, name)
    said: dict[str, Any] = found if isinstance(found, dict) else {}
    sha = said.get("sha")
    if not isinstance(sha, str) or not is_commit(sha):
        raise SourceError(f"{name}: the Hub's answer names no commit: check the endpoint.")
    return About(sha, restricted=said.get("private", True) is not False or bool(said.get("gated")))


def page(body: bytes, name: str) -> list[Mapping[str, Any]]:
    """The files of one page of a tree, as the Hub words them.

    Raises:
        SourceError: When the answer is none of the Hub's.
    """
    found = _json(body, name)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise SourceError(f"{name}: the Hub's answer is no list of files: check the endpoint.")
    return [entry for entry in found if entry.get("type") == "file"]


def following(link: str | None, url: str) -> str | None:
    """The URL of the page after the one at ``url``, from its ``Link`` header."""
    found = _NEXT.search(link or "")
    return urljoin(url, found[1]) if found else None


def chosen(entries: Iterable[Mapping[str, Any]], kind: str, name: str) -> tuple[RemoteFile, ...]:
    """The files of a kind, in the order of their names.

    Args:
        entries: All files of a commit.
        kind: ``model``, ``tokenizer`` or ``dataset``.
        name: What to call the repository.

    Raises:
        SourceError: When there is none, or one has a name that no folder can hold.
    """
    there = list(entries)
    files = [_file(entry, name) for entry in there if is_wanted(str(entry.get("path")), kind)]
    if not files:
        seen = ", ".join(sorted(f"{entry.get('path')!r:.80}" for entry in there)[:10]) or "nothing"
        raise SourceError(
            f"{name}: has no file for a {kind} ({', '.join(PATTERNS[kind])}); there is: {seen}."
        )
    if clash := names.clash(file.name for file in files):
        raise SourceError(f"{name}: {clash!r} is there twice, or is a file and a folder.")
    return tuple(sorted(files, key=lambda file: file.name))


def _file(entry: Mapping[str, Any], name: str) -> RemoteFile:
    path, size, lfs = entry.get("path"), entry.get("size"), entry.get("lfs")
    if not isinstance(path, str) or not names.is_sound(path):
        raise SourceError(
            f"{name}: {path!r:.200} is no name that a file can have: it is not fetched."
        )
    if isinstance(lfs, dict):
        said, size = _digest("sha256", 64, lfs.get("oid")), lfs.get("size", size)
    else:
        said = _digest(GIT_BLOB, 40, entry.get("oid"))
    if said is None or isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise SourceError(
            f"{name}: the Hub tells no digest or no size of {path!r}: check the endpoint."
        )
    return RemoteFile(path, size, str(said), ranges=True, digests=(said,), locator=path)


def _digest(algorithm: str, length: int, value: object) -> Digest | None:
    text = value.removeprefix("sha256:") if isinstance(value, str) else ""
    return Digest(algorithm, text) if len(text) == length and _HEX.fullmatch(text) else None


def _json(body: bytes, name: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise SourceError(f"{name}: the Hub's answer is no JSON: check the endpoint.") from None
