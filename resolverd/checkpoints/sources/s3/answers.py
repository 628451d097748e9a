"""What S3 answers, read: headers of an object, pages of a listing, documents of an error. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.digest import Digest
from resolverd.errors import SourceError

_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
_BYTES = {"sha256": 32, "sha1": 20}


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a listing: its key, length and ETag."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing; ``following`` asks for the next part, None at the end."""

    entries: tuple[Entry, ...]
    following: str | None


def digests(headers: Mapping[str, str]) -> tuple[Digest, ...]:
    """What an object's headers say that all of it hashes to, strongest first.

    A checksum of type COMPOSITE, the usual one of an object that came in parts, is one of the
    parts' checksums. An ETag is the MD5 of an object
    that came in one part, unless a key of the bucket's owner or of the client encrypts it.

    Args:
        headers: With names in lower case.
    """
    found = set(_checksums(headers))
    packed = headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
    packed = packed or "x-amz-server-side-encryption-customer-algorithm" in headers
    if (tag := _MD5.fullmatch(headers.get("etag", ""))) and not packed:
        found.add(Digest("md5", tag[1]))
    return digest.strongest_first(found)


def _checksums(headers: Mapping[str, str]) -> Iterator[Digest]:
    parted = "-" in headers.get("etag", "")
    if headers.get("x-amz-checksum-type", "COMPOSITE" if parted else "") == "COMPOSITE":
        return
    for algorithm, length in _BYTES.items():
        try:
            raw = base64.b64decode(headers[f"x-amz-checksum-{algorithm}"], validate=True)
        except (KeyError, binascii.Error, ValueError):
            continue  # none, or that of parts: "...=-3"
        if len(raw) == length:
            yield Digest(algorithm, raw.hex())


def page(body: bytes, name: str) -> Page:
    """Read a part of a listing (``ListObjectsV2``).

    Raises:
        SourceError: When it is none.
    """
    root = document(body)
    if root is None or tag(root) != "ListBucketResult":
        raise SourceError(f"{name}: the server's listing can't be read. Check the endpoint.")
    # Asked for, as XML knows no control characters; servers that don't know it don't say it.
    key = unquote_plus if _text(root, "EncodingType") == "url" else str
    try:
        entries = tuple(
            Entry(key(_text(item, "Key")), int(_text(item, "Size")), _text(item, "ETag"))
            for item in root
            if tag(item) == "Contents"
        )
    except ValueError:
        raise SourceError(f"{name}: the server's listing tells a length that is none.") from None
    more = _text(root, "IsTruncated") == "true"
    return Page(entries, _text(root, "NextContinuationToken") or None if more else None)


def error(body: bytes) -> Mapping[str, str]:
    """What an error's document says (``Code``, ``Message``, ...); empty when it is none."""
    root = document(body)
    if root is None or tag(root) != "Error":
        return {}
    return {tag(item): (item.text or "").strip() for item in root}


def document(body: bytes) -> ElementTree.Element | None:
    """Parse XML; None for what is none, or defines entities: S3 never does."""
    if b"<!" in body:
        return None
    try:
        return ElementTree.fromstring(body)  # noqa: S314  # no entities, and bounded
    except ElementTree.ParseError:
        return None


def tag(element: ElementTree.Element) -> str:
    """An element's name, without its namespace."""
    return element.tag.rpartition("}")[2]


def _text(element: ElementTree.Element, name: str) -> str:
    return next((item.text or "" for item in element if tag(item) == name), "")
