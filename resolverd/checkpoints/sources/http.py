"""``http://`` and ``https://`` origins.

The first request asks for the first part of the file only: its answer tells length, version and
whether ranges are understood, and brings a small file whole, without a second round trip.
Encodings are refused: offsets and digests speak of the file, not of some packing of it.
"""

from __future__ import annotations

import ssl
import threading
import time
import urllib.request
from collections.abc import Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from types import TracebackType
from urllib.parse import urljoin, urlsplit, urlunsplit

import urllib3
from typing_extensions import Self
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    HTTPError,
    IncompleteRead,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse

from resolverd.checkpoints import digest, plan, policy
from resolverd.checkpoints.digest import Digest
from resolverd.checkpoints.faults import Changed, RangesIgnored, Transient
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.policy import Policy
from resolverd.checkpoints.sources.base import Listing, RemoteFile
from resolverd.checkpoints.target import file_name, shown
from resolverd.errors import SourceError

_REDIRECTS = {301, 302, 303, 307, 308}
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_SUMS_MOST = 1 << 16
_READ_MOST = 1 << 20
# Hosts exist that refuse agents they do not know; the first word is what they look for.
_AGENT = "Mozilla/5.0 (compatible; resolverd)"


def _guard(connection: HTTPConnection) -> None:
    """Refuse a connection by the address it has really reached, before anything is sent."""
    if connection.proxy is None and connection.sock is not None:
        policy.check_address(str(connection.sock.getpeername()[0]), connection.host)


class _Http(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _guard(self)


class _Https(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _guard(self)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class HttpSource:
    """One URL, for one download. ``open`` may be called by several threads."""

    def __init__(self, url: str, limits: Limits, rules: Policy) -> None:
        self._url = url
        self._shown = shown(url)
        self._limits = limits
        self._policy = rules
        self._pools: dict[str | None, urllib3.PoolManager] = {}
        self._first: HttpTransfer | None = None
        self._lock = threading.Lock()

    def resolve(self, known: str | None = None, at: int = 0) -> Listing | None:
        """Request the part at ``at``, and keep its body for the ``open`` that wants it."""
        _refuse_gated(self._url, self._shown)
        conditions = _conditions(known)
        end = at - at % self._limits.part_bytes + self._limits.part_bytes
        response, url = self._request(self._url, {"Range": f"bytes={at}-{end - 1}", **conditions})
        if response.status == 416:  # an empty file has no first part
            response.close()
            response, url = self._request(self._url, conditions)
        if response.status == 304:
            response.close()
            return None
        self._refuse_status(response)
        file = self._described(response, url)
        if known is not None and file.stamp == known:
            response.close()
            return None
        self._first = HttpTransfer(response, self._shown, *_span(response, self._shown)[:2])
        return Listing((file,), file.stamp)

    def open(self, file: RemoteFile, start: int, end: int | None) -> HttpTransfer:
        """Request a range of the version that was listed."""
        if (first := self._kept(file, start, end)) is not None:
            return first
        headers = {}
        if file.stamp is not None:
            headers = {"If-Range": _validator(file.stamp)}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        response, url = self._request(self._url, headers if "Range" in headers else {})
        if response.status == 416:
            response.close()
            raise Changed(f"{self._shown}: is shorter now than it was.")
        self._refuse_status(response)
        now = self._described(response, url)
        begin, stop, _ = _span(response, self._shown)
        # An answer to If-Range need not repeat the date; that it is partial says enough.
        vouched = "If-Range" in headers and now.ranges and now.stamp is None
        if now.size != file.size or not (vouched or now.stamp == file.stamp):
            response.close()
            raise Changed(f"{self._shown}: changed at the origin.")
        if begin != start:
            response.close()
            raise RangesIgnored(f"{self._shown}: the server ignores ranges.")
        return HttpTransfer(response, self._shown, begin, stop)

    def sidecar(self, file: RemoteFile) -> Digest | None:
        """Request ``URL.sha256``; whatever goes wrong, there is none."""
        parts = urlsplit(self._url)
        try:
            response, _ = self._request(urlunsplit(parts._replace(path=parts.path + ".sha256")), {})
            with response:
                if response.status != 200:
                    return None
                text = response.read(_SUMS_MOST, decode_content=True).decode("utf-8", "replace")
        except (SourceError, HTTPError, OSError):
            return None
        return digest.from_sums_file(text, file.name)

    def close(self) -> None:
        """Close every connection."""
        if self._first is not None:
            self._first.close()
        for pool in self._pools.values():
            pool.clear()

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

    def _request(self, url: str, headers: Mapping[str, str]) -> tuple[BaseHTTPResponse, str]:
        """Follow redirects to an answer; returns it and where it came from."""
        for _ in range(self._limits.redirects + 1):
            policy.check_url(self._policy, url, shown(url))
            response = self._send(url, headers)
            target = response.headers.get("Location")
            if response.status not in _REDIRECTS or target is None:
                return response, url
            response.close()
            target = urljoin(url, target)
            if url.startswith("https:") and not target.startswith("https:"):
                raise SourceError(
                    f"{self._shown}: redirects from https to {shown(target)}: refused."
                )
            url = target
        raise SourceError(f"{self._shown}: more than {self._limits.redirects} redirects.")

    def _send(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        try:
            return self._pool(url).request(
                "GET",
                url,
                headers={"User-Agent": _AGENT, "Accept-Encoding": "identity", **headers},
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=urllib3.Timeout(
                    connect=self._limits.connect_timeout, read=self._limits.stall_timeout
                ),
            )
        except (HTTPError, OSError, ValueError) as error:
            raise _explained(shown(url), error) from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        proxy = _proxy_for(url)
        if proxy not in self._pools:
            size = self._limits.connections
            try:
                made = (
                    urllib3.ProxyManager(proxy, maxsize=size)
                    if proxy
                    else urllib3.PoolManager(maxsize=size)
                )
            except (HTTPError, ValueError) as error:
                raise SourceError(
                    f"{self._shown}: the proxy {shown(proxy or '')} can't be used: {error}."
                ) from None
            made.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
            self._pools[proxy] = made
        return self._pools[proxy]

    def _refuse_status(self, response: BaseHTTPResponse) -> None:
        status = response.status
        if status in {200, 206}:
            return
        wait = plan.retry_after(response.headers.get("Retry-After"), time.time())
        response.close()
        text = (
            f"{self._shown}: the server answered {status} {response.reason or ''}".rstrip() + ". "
        )
        if status in {401, 403, 407}:
            raise SourceError(
                text
                + "It wants other credentials than this node has: ask its owner for access, or "
                "download the file yourself and point the card at it."
            )
        if status in {404, 410}:
            raise SourceError(text + "There is no such file: check the URI in the card.")
        if status in _TRY_AGAIN:
            raise Transient(text + "Try again later.", wait)
        raise SourceError(text + "Check the URI in the card.")

    def _described(self, response: BaseHTTPResponse, url: str) -> RemoteFile:
        headers = {name.lower(): value for name, value in response.headers.items()}
        name = file_name(url, headers.get("content-disposition"))
        packed = headers.get("content-encoding", "identity").lower()
        if packed != "identity" and not name.endswith((".gz", ".tgz")):
            response.close()
            raise SourceError(
                f"{self._shown}: is sent {packed}-encoded, though asked not to: its bytes can't be "
                "checked. Serve the file without Content-Encoding."
            )
        start, end, total = _span(response, self._shown)
        return RemoteFile(
            name=name,
            size=total,
            stamp=_stamp(headers),
            ranges=response.status == 206,
            digests=digest.from_headers(headers, whole=start == 0 and end == total),
            locator=url,
            framed=headers.get("transfer-encoding", "").lower() == "chunked",
        )


class HttpTransfer:
    """The body of one answer."""

    def __init__(self, response: BaseHTTPResponse, name: str, start: int, end: int | None) -> None:
        self._response = response
        self._shown = name
        self._at = start
        self._limit = end
        self.start = start
        self.end = end

    def narrow(self, end: int | None) -> bool:
        """Read to ``end`` only; False when the body does not reach that far."""
        if end != self.end and (end is None or self.end is None or end > self.end):
            return False
        self._limit = end
        return True

    def readinto(self, buffer: memoryview) -> int:
        """Read what has arrived, or wait for some."""
        room = min(len(buffer), _READ_MOST)
        if self._limit is not None:
            room = min(room, self._limit - self._at)
        if room == 0:
            return 0
        try:
            data = self._response.read1(room, decode_content=False)
        except (HTTPError, OSError, ValueError) as error:
            if self.end is None or not isinstance(error.__cause__, IncompleteRead):
                raise _explained(self._shown, error) from error
            data = b""
        if not data and self.end is not None:
            raise Transient(
                f"{self._shown}: the connection ended after {self._at} of {self.end} bytes."
            )
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def copy_to(self, target: int, most: int) -> int:
        """The kernel can't copy from a TLS or HTTP stream."""
        return 0

    def abort(self) -> None:
        """Shut the connection down."""
        try:
            self._response.shutdown()
        except (ValueError, RuntimeError, OSError):
            return  # it has ended by itself

    def close(self) -> None:
        """Give the connection back when the body was read, else close it."""
        if self._at == self.end:
            self._response.drain_conn()
            self._response.release_conn()
        else:
            self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _refuse_gated(url: str, name: str) -> None:
    if any(part.strip().lower() == "gated=true" for part in url.split(";")[1:]):
        raise SourceError(
            f"{name}: is gated. Ask for access at {name.partition(';')[0]}, download it yourself, "
            "and override the card's URI with the path, in a card of your own (NAME@user)."
        )


def _span(response: BaseHTTPResponse, name: str) -> tuple[int, int | None, int | None]:
    """Start, end and the whole file's length, as the answer tells them.

    Raises:
        SourceError: When they contradict each other.
    """
    length = response.headers.get("Content-Length")
    body = int(length) if length is not None and length.isdigit() else None
    if response.status != 206:
        return 0, body, body
    try:
        span, _, total = response.headers["Content-Range"].removeprefix("bytes ").partition("/")
        low, _, high = span.partition("-")
        start, end, size = int(low), int(high) + 1, int(total)
    except (KeyError, ValueError):
        response.close()
        raise SourceError(f"{name}: the server sent a range without saying which.") from None
    if not start < end <= size or (body is not None and body != end - start):
        response.close()
        raise SourceError(f"{name}: the server announced two different lengths.")
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
    return f"date:{headers['last-modified']}" if age.total_seconds() >= 60 else None


def _validator(stamp: str) -> str:
    return stamp.partition(":")[2]


def _conditions(known: str | None) -> dict[str, str]:
    if known is None:
        return {}
    name = "If-None-Match" if known.startswith("etag:") else "If-Modified-Since"
    return {name: _validator(known)}


def _proxy_for(url: str) -> str | None:
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def _explained(name: str, error: Exception) -> SourceError:
    """Translate what urllib3 and the system raise."""
    if isinstance(error, SSLError | ssl.SSLError):
        return SourceError(
            f"{name}: no trusted TLS connection: {_last(error)}. Check the host's certificate, "
            "this node's clock, and SSL_CERT_FILE for a private authority."
        )
    if isinstance(error, LocationParseError | ValueError):
        return SourceError(f"{name}: is not a URL that can be fetched: {error}.")
    return Transient(f"{name}: {_trouble(error)}.")


def _trouble(error: Exception) -> str:
    if isinstance(error, ProxyError):
        return f"the proxy can't be used: {_last(error)}"
    if isinstance(error, NameResolutionError):
        return "the host's name can't be resolved: check it, and this node's DNS"
    if isinstance(error, ReadTimeoutError | TimeoutError):
        return "the server sent nothing for too long"
    if isinstance(error, NewConnectionError):
        return f"no connection: {_last(error)}"
    return f"the connection broke: {_last(error)}"


def _last(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
