"""Digests: how cards and origins write them, one form for all. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from resolverd.errors import SourceError

GIT_BLOB = "git-blob"
"""What git names a file by: SHA-1 of a head that tells its length, and its bytes."""

_LENGTHS = {40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}
_SIZES = {algorithm: length for length, algorithm in _LENGTHS.items()} | {"md5": 32}
_HEADER_NAMES = {"sha-256": "sha256", "sha-512": "sha512", "sha-384": "sha384", "sha": "sha1"}
_STRONGEST = ("sha256", "sha512", "sha384", "sha1", "md5")


@dataclass(frozen=True, slots=True)
class Digest:
    """The hash of some bytes.

    Attributes:
        algorithm: As :func:`hashlib.new` names it.
        hex: The value, lower case.
    """

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def parse(text: object) -> Digest:
    """Read what a card says: ``sha256:<hex>``, ``sha1:<hex>``, or bare hex told by its length.

    Raises:
        SourceError: For anything else, with what is allowed.
    """
    head, colon, tail = str(text).strip().lower().rpartition(":")
    algorithm = head.replace("-", "") if colon else _LENGTHS.get(len(tail), "")
    known = algorithm in _LENGTHS.values()
    if not known or len(tail) != _SIZES[algorithm] or not re.fullmatch(r"[0-9a-f]+", tail):
        raise SourceError(
            f"checksum {text!r} is not a digest: write sha256:<64 hex digits>, sha1:<40>, "
            "sha384:<96> or sha512:<128>, or the bare digits."
        )
    return Digest(algorithm, tail)


def parse_card(checksum: object) -> dict[str, Digest]:
    """Read a card's ``checksum``: one digest (under the empty name), or a map of file to digest.

    Raises:
        SourceError: When it is neither.
    """
    if checksum is None:
        return {}
    if isinstance(checksum, Mapping):
        return {str(name): parse(text) for name, text in checksum.items()}
    return {"": parse(checksum)}


def check_names(card: Mapping[str, Digest], names: Sequence[str], shown: str) -> None:
    """Refuse a card's digests that speak of other files than there are.

    Raises:
        SourceError: With the name that is not there.
    """
    if "" in card and len(names) > 1:
        raise SourceError(
            f"{shown}: has {len(names)} files: give a checksum for each, by its name."
        )
    for name in card:
        if name and name not in names:
            there = ", ".join(sorted(names)[:10])
            raise SourceError(f"{shown}: the card's checksum names {name!r}; there are: {there}.")


def from_headers(headers: Mapping[str, str], *, whole: bool) -> tuple[Digest, ...]:
    """Digests an HTTP answer states for the file, strongest first.

    Args:
        headers: With names in lower case.
        whole: Whether the body is the whole file: ``Content-Digest`` speaks of the body alone.
    """
    names = ["repr-digest", "digest"] + (["content-digest"] if whole else [])
    found = {digest for name in names for digest in _fields(headers.get(name, ""))}
    return strongest_first(found)


def strongest_first(digests: set[Digest]) -> tuple[Digest, ...]:
    """Order digests by how much they prove."""
    return tuple(sorted(digests, key=lambda item: (_STRONGEST.index(item.algorithm), item.hex)))


def from_sums_file(text: str, name: str) -> Digest | None:
    """Read a ``.sha256`` file: bare digits, or a line of ``sha256sum`` for ``name``."""
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    sums = [(line[0], line[1].lstrip("*").strip() if len(line) > 1 else "") for line in lines]
    for value, file in sums:
        fits = file.rpartition("/")[2] == name or (len(sums) == 1)
        if fits and re.fullmatch(r"[0-9a-fA-F]{64}", value):
            return Digest("sha256", value.lower())
    return None


def of_many(files: Mapping[str, str]) -> Digest:
    """One digest for a set of files, each given by name and SHA-256."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{files[name]}\n".encode("utf-8", "surrogateescape"))
    return Digest("sha256", total.hexdigest())


def _fields(header: str) -> Iterator[Digest]:
    """Both forms: ``sha-256=:BASE64:`` (RFC 9530) and ``SHA-256=BASE64`` (RFC 3230)."""
    for field in header.split(","):
        name, _, value = field.strip().partition("=")
        algorithm = _HEADER_NAMES.get(name.strip().lower())
        if algorithm is None:
            continue
        try:
            raw = base64.b64decode(value.strip().strip(":"), validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(raw) * 2 == _SIZES[algorithm]:
            yield Digest(algorithm, raw.hex())
