"""One URL, for one download.

The first request asks for the first part of the file only: its answer tells length, version and
whether ranges are understood, and brings a small file whole, without a second round trip.
"""

from __future__ import annotations

import threading
from urllib.parse import urlsplit, urlunsplit

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.plan import Range
from resolverd.checkpoints.faults import Changed, RangesIgnored
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.sources.base import Listing, RemoteFile
from resolverd.checkpoints.sources.http.connections import Connections
from resolverd.checkpoints.sources.http.dialect import PLAIN, Dialect
from resolverd.checkpoints.sources.http.headers import Answer, conditions, validator
from resolverd.checkpoints.sources.http.transfer import HttpTransfer
from resolverd.errors import SourceError

_SUMS_MOST = 1 << 16


class HttpSource:
    """One URL, for one download. ``open`` may be called by several threads.

    Args:
        url: Which.
        limits: Bounds of the download.
        means: What brings answers; closed with the source.
        how: How the server is asked, and understood.
        private: Whether the means hold a secret.
    """

    def __init__(
        self,
        url: str,
        limits: Limits,
        means: Connections,
        how: Dialect = PLAIN,
        *,
        private: bool = False,
    ) -> None:
        self._url = url
        self._shown = means.name
        self._part_bytes = limits.part_bytes
        self._connections = means
        self._dialect = how
        self._private = private
        self._first: HttpTransfer | None = None
        self._lock = threading.Lock()

    def resolve(self, known: str | None = None, gap: Range | None = None) -> Listing | None:
        """Request the first part of the gap, and keep its body for the ``open`` that wants it."""
        _refuse_gated(self._url, self._shown)
        unless = {**self._dialect.headers, **conditions(known)}
        start, end = gap or (0, self._part_bytes)
        end = min(end, start - start % self._part_bytes + self._part_bytes)
        wish = {"Range": f"bytes={start}-{end - 1}", **unless}
        response, url = self._connections.get(self._url, wish)
        if response.status == 416:  # an empty file has no first part
            response.close()
            response, url = self._connections.get(self._url, unless)
        if response.status == 304:
            response.close()
            return None
        answer = self._accepted(response, url)
        if known is not None and answer.file.stamp == known:
            response.close()
            return None
        self._first = HttpTransfer(response, self._shown, answer.start, answer.end)
        return Listing((answer.file,), answer.file.stamp, self._private)

    def open(self, file: RemoteFile, start: int, end: int | None) -> HttpTransfer:
        """Request a range of the version that was listed."""
        if (first := self._kept(file, start, end)) is not None:
            return first
        wish = self._wish(file, start, end)
        response, url = self._connections.get(self._url, wish)
        if response.status == 416:
            response.close()
            raise Changed(f"{self._shown}: is shorter now than it was.")
        if response.status == 412:
            response.close()
            raise Changed(f"{self._shown}: changed at the origin.")
        answer = self._accepted(response, url)
        now = answer.file
        # An answer to If-Range need not repeat the date; that it is partial says enough.
        vouched = "If-Range" in wish and now.ranges and now.stamp is None
        if now.size != file.size or not (vouched or now.stamp == file.stamp):
            response.close()
            raise Changed(f"{self._shown}: changed at the origin.")
        if answer.start != start:
            response.close()
            if "Range" in wish:
                raise RangesIgnored(f"{self._shown}: the server ignores ranges.")
            raise SourceError(
                f"{self._shown}: asked for the whole file, the server sends it from byte "
                f"{answer.start}: it can't be fetched from there."
            )
        return HttpTransfer(response, self._shown, answer.start, answer.end)

    def sidecar(self, file: RemoteFile) -> Digest | None:
        """Request ``URL.sha256``; whatever goes wrong, there is none."""
        parts = urlsplit(self._url)
        beside = urlunsplit(parts._replace(path=parts.path + ".sha256"))
        try:
            response, _ = self._connections.get(beside, {})
            with response:
                if response.status != 200:
                    return None
                text = response.read(_SUMS_MOST, decode_content=True).decode("utf-8", "replace")
        except (SourceError, HTTPError, OSError):
            return None
        return digest.from_sums_file(text, file.name)

    def close(self) -> None:
        """Close every connection."""
        first, self._first = self._first, None
        if first is not None:
            first.close()
        self._connections.close()

    def _kept(self, file: RemoteFile, start: int, end: int | None) -> HttpTransfer | None:
        """The body of the first answer, when it holds just what is wanted now."""
        with self._lock:
            first = self._first
            if first is None or first.start != start:
                return None
            self._first = None
        reach = file.size if end is None else end
        if first.narrow(reach):
            return first
        first.close()
        return None

    def _accepted(self, response: BaseHTTPResponse, url: str) -> Answer:
        """What an answer says; one that brings nothing of use is closed, and raised."""
        try:
            self._dialect.refuse(response, self._shown)
            return self._dialect.describe(response, url, self._shown)
        except SourceError:
            response.close()
            raise

    def _wish(self, file: RemoteFile, start: int, end: int | None) -> dict[str, str]:
        """The headers that ask for a part of the version that was listed, or for all of it."""
        wish, pin = dict(self._dialect.headers), self._dialect.pin
        whole = not start and end is None
        if not whole:
            wish["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        if file.stamp is not None and not (whole and pin == "If-Range"):
            wish[pin] = validator(file.stamp)
        return wish


def _refuse_gated(url: str, name: str) -> None:
    if any(part.strip().lower() == "gated=true" for part in url.split(";")[1:]):
        raise SourceError(
            f"{name}: is gated. Ask for access at {name.partition(';')[0]}, download it yourself, "
            "and override the card's URI with the path, in a card of your own (NAME@user)."
        )
