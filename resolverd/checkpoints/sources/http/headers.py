"""What an answer's status and headers say of the file behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime

from urllib3.response import BaseHTTPResponse

from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.target import file_name
from resolverd.checkpoints.sources.base import RemoteFile
from resolverd.errors import SourceError

_SAFELY_PAST = 60  # seconds: RFC 9110, 8.8.2.2


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read.

    Attributes:
        file: The file, as it is at the origin now.
        start: Where in it the body begins.
        end: Where the body ends; None when nobody says.
    """

    file: RemoteFile
    start: int
    end: int | None


def described(response: BaseHTTPResponse, url: str, name: str) -> Answer:
    """Read an answer that brings a file, or a part of one.

    Args:
        response: With status 200 or 206; only its headers are read.
        url: What gave it, after redirects.
        name: What to call it.

    Raises:
        SourceError: When its bytes can't be checked, or it contradicts itself.
    """
    headers = {key.lower(): value for key, value in response.headers.items()}
    file = file_name(url, headers.get("content-disposition"))
    packed = headers.get("content-encoding", "identity").lower()
    if packed != "identity" and not file.endswith((".gz", ".tgz")):
        raise SourceError(
            f"{name}: is sent {packed}-encoded, though asked not to: its bytes can't be "
            "checked. Serve the file without Content-Encoding."
        )
    start, end, total = _span(response, name)
    remote = RemoteFile(
        name=file,
        size=total,
        stamp=_stamp(headers),
        ranges=response.status == 206,
        digests=digest.from_headers(headers, whole=start == 0 and end == total),
        locator=url,
        framed=headers.get("transfer-encoding", "").lower() == "chunked",
    )
    return Answer(remote, start, end)


def conditions(known: str | None) -> dict[str, str]:
    """The headers that ask for another version than ``known`` only."""
    if known is None:
        return {}
    name = "If-None-Match" if known.startswith("etag:") else "If-Modified-Since"
    return {name: validator(known)}


def validator(stamp: str) -> str:
    """A stamp as the origin wrote it."""
    return stamp.partition(":")[2]


def _span(response: BaseHTTPResponse, name: str) -> tuple[int, int | None, int | None]:
    """Start, end and the whole file's length."""
    length = response.headers.get("Content-Length")
    body = int(length) if length is not None and length.isdigit() else None
    if response.status != 206:
        return 0, body, body
    try:
        span, _, total = response.headers["Content-Range"].removeprefix("bytes ").partition("/")
        low, _, high = span.partition("-")
        start, end, size = int(low), int(high) + 1, int(total)
    except (KeyError, ValueError):
        raise SourceError(
            f"{name}: the server sent a range without saying which: it can't be fetched from there."
        ) from None
    if not start < end <= size or (body is not None and body != end - start):
        raise SourceError(
            f"{name}: the server announced two different lengths: it can't be fetched from there."
        )
    return start, end, size


def _stamp(headers: Mapping[str, str]) -> str | None:
    """A strong validator (RFC 9110, 8.8): a strong ETag, or a date that is safely in the past."""
    tag = headers.get("etag", "")
    if tag and not tag.startswith("W/"):
        return f"etag:{tag}"
    try:
        changed = parsedate_to_datetime(headers["last-modified"])
        sent = parsedate_to_datetime(headers["date"])
        age = sent.astimezone(timezone.utc) - changed.astimezone(timezone.utc)
    except (KeyError, ValueError, TypeError):
        return None
    return f"date:{headers['last-modified']}" if age.total_seconds() >= _SAFELY_PAST else None
