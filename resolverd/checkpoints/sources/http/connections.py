"""Connections to an origin: pooled, guarded by the policy, through the operator's proxies.

Redirects are followed here, so that each step of one is held against the policy. Encodings are
refused: offsets and digests speak of the file, not of some packing of it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse, HTTPResponse

from resolverd.checkpoints.access import policy, private
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.access.rules import DIRECT, first
from resolverd.checkpoints.asset.target import shown
from resolverd.checkpoints.faults import Denied
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.sources.http.errors import explained, printable
from resolverd.checkpoints.sources.http.head import Response
from resolverd.errors import SourceError

_HEAD_TIMEOUTS = 4
"""An answer's head must be there within so many times the longest silence."""

_REDIRECTS = {301, 302, 303, 307, 308}
# Hosts exist that refuse agents they do not know; the first word is what they look for.
_AGENT = "Mozilla/5.0 (compatible; resolverd)"


def _guard(connection: HTTPConnection) -> None:
    """Refuse a connection by the address it has really reached, before anything is sent."""
    if connection.proxy is None and connection.sock is not None:
        policy.check_address(str(connection.sock.getpeername()[0]), connection.host)


class _Http(HTTPConnection):
    response_class = Response

    def connect(self) -> None:
        super().connect()
        _guard(self)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3
        with _timely(self):
            return super().getresponse()


class _Https(HTTPSConnection):
    response_class = Response

    def connect(self) -> None:
        super().connect()
        _guard(self)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3
        with _timely(self):
            return super().getresponse()


@contextlib.contextmanager
def _timely(connection: HTTPConnection) -> Iterator[None]:
    """Break a connection off whose server drips the head of its answer, for ever as it may seem."""
    if connection.sock is None or not isinstance(connection.timeout, int | float):
        yield
        return
    late = threading.Timer(connection.timeout * _HEAD_TIMEOUTS, _shut, args=(connection.sock,))
    late.daemon = True
    late.start()
    try:
        yield
    finally:
        late.cancel()


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended by itself
        sock.shutdown(socket.SHUT_RDWR)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


Sign = Callable[[str, str, Mapping[str, str]], Mapping[str, str]]
"""Gives the headers to send: of a method, a URL and the headers at hand."""


def bearer(token: str, is_its_own: Callable[[str], bool]) -> Sign:
    """Shows a token to the URLs that it is for.

    Args:
        token: With a scheme before it (``Basic ...``), or alone.
        is_its_own: Tells of a URL whether it may see the token.
    """
    value = token if " " in token else f"Bearer {token}"

    def sign(_method: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        return {**headers, "Authorization": value} if is_its_own(url) else headers

    return sign


class Connections:
    """All connections of one download.

    Args:
        name: What to call the URI that is being fetched.
        limits: Timeouts, redirects and connections at a time.
        rules: What may be connected to.
        sign: Adds who asks to a request's headers.
        follow: Whether redirects are followed, or given to the caller.
    """

    def __init__(
        self,
        name: str,
        limits: Limits,
        rules: Policy,
        sign: Sign | None = None,
        *,
        follow: bool = True,
    ) -> None:
        self.name = name
        self._limits = limits
        self._policy = rules
        self._sign = sign
        self._follow = follow
        self._pools: dict[str | None, urllib3.PoolManager] = {}

    def get(
        self, url: str, headers: Mapping[str, str], method: str = "GET"
    ) -> tuple[BaseHTTPResponse, str]:
        """Follow redirects to an answer.

        Returns:
            The answer, its body still to be read, and the URL that gave it.

        Raises:
            SourceError: When there is no answer, or no way to it that is allowed.
        """
        origin = url
        for _ in range(self._limits.redirects + 1):
            self._check(url, redirected=url is not origin)
            response = self._send(method, url, headers)
            target = response.headers.get("Location")
            if response.status not in _REDIRECTS or target is None or not self._follow:
                return response, url
            response.close()
            url = self.redirected(url, target)
        raise SourceError(f"{self.name}: more than {self._limits.redirects} redirects.")

    def close(self) -> None:
        """Close those that are idle."""
        for pool in self._pools.values():
            pool.clear()

    def _check(self, url: str, *, redirected: bool) -> None:
        try:
            policy.check_url(self._policy, url, shown(url))
        except Denied as error:
            raise Denied(f"{self.name}: redirects to {error}") if redirected else error from None

    def redirected(self, url: str, location: str) -> str:
        """Where an answer from ``url`` leads to.

        Raises:
            SourceError: When that is no URL.
            Denied: When it leaves TLS.
        """
        try:
            target = urljoin(url, location)
        except ValueError:
            said = printable(location)
            raise SourceError(f"{self.name}: redirects to {said!r}, which is no URL.") from None
        scheme, before = urlsplit(target).scheme, urlsplit(url).scheme
        if scheme not in {"https", before}:
            raise Denied(f"{self.name}: redirects from {before} to {shown(target)}: refused.")
        return target

    def _send(self, method: str, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **headers}
        if self._sign is not None:
            headers = self._sign(method, url, headers)
        try:
            return self._pool(url).request(
                method,
                url,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=urllib3.Timeout(
                    connect=self._limits.connect_timeout, read=self._limits.stall_timeout
                ),
            )
        except (HTTPError, OSError, ValueError) as error:
            raise explained(shown(url), error) from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        proxy = _proxy_for(url, self._policy)
        if proxy not in self._pools:
            made = self._made(proxy)
            made.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
            self._pools[proxy] = made
        return self._pools[proxy]

    def _made(self, proxy: str | None) -> urllib3.PoolManager:
        size = self._limits.connections
        if not proxy:
            return urllib3.PoolManager(maxsize=size)
        try:
            login = urllib3.make_headers(proxy_basic_auth=_login(proxy))
            return urllib3.ProxyManager(proxy, maxsize=size, proxy_headers=login)
        except (HTTPError, ValueError) as error:
            raise SourceError(
                f"{self.name}: the proxy {shown(proxy)} can't be used: {error}."
            ) from None


def _login(proxy: str) -> str | None:
    """User and password that a proxy's URL holds."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return None
    private.remember(unquote(parts.password or ""))
    return f"{unquote(parts.username)}:{unquote(parts.password or '')}"


def _proxy_for(url: str, rules: Policy) -> str | None:
    """The proxy that a rule names, else the environment's; None for none."""
    if (said := first(rules.rules, url, lambda rule: rule.proxy)) is not None:
        return None if said == DIRECT else said
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")
