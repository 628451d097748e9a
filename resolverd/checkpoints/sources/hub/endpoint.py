"""The Hub itself, which alone is ever shown the token.

Its files may be kept elsewhere: an answer that redirects to another host is given to the caller,
who asks there without the token. Redirects within the Hub (a repository that was renamed, a file
from its own cache) are followed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from resolverd.checkpoints.access import policy
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.asset.target import shown
from resolverd.checkpoints.faults import Transient
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.sources.http.connections import Connections, bearer
from resolverd.checkpoints.sources.hub.errors import Asked, refuse
from resolverd.errors import SourceError

_ANSWER_MOST = 64 << 20
_BODY_MOST = 1 << 16
_REDIRECTS = {301, 302, 303, 307, 308}


class Endpoint:
    """Connections to the Hub.

    Args:
        asked: Who asks for what, where.
        token: Shown to the Hub, where there is one.
        limits: Bounds of the download.
        rules: What may be connected to.
    """

    def __init__(self, asked: Asked, token: str | None, limits: Limits, rules: Policy) -> None:
        self._asked = asked
        self._redirects = limits.redirects
        # Where the Hub is, the operator says, not the card.
        allowed = policy.trusting(rules, asked.endpoint)
        sign = bearer(token, self._is_hub) if token else None
        self._connections = Connections(asked.name, limits, allowed, sign, follow=False)

    def get(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> tuple[BaseHTTPResponse, str | None]:
        """Request a URL of the Hub.

        Returns:
            The answer, and where it redirects to, when that is not the Hub.

        Raises:
            SourceError: When there is no answer, or one that refuses.
        """
        for _ in range(self._redirects + 1):
            response, _ = self._connections.get(url, headers or {})
            try:
                if response.status not in _REDIRECTS:
                    refuse(response, self._asked)
                target = self._target(response, url)
            except SourceError:
                response.close()
                raise
            if target is None or not self._is_hub(target):
                return response, target
            spent(response)
            url = target
        raise SourceError(f"{self._asked.name}: more than {self._redirects} redirects.")

    def read(self, url: str) -> tuple[bytes, str | None]:
        """Request an answer of the API.

        Returns:
            Its body, and its ``Link`` header.

        Raises:
            SourceError: When it does not come, or is too long.
        """
        self._refuse_elsewhere(None if self._is_hub(url) else url)
        response, elsewhere = self.get(url)
        with response:
            self._refuse_elsewhere(elsewhere)
            try:
                body = response.read(_ANSWER_MOST + 1, decode_content=True)
            except (HTTPError, OSError) as error:
                raise Transient(f"{self._asked.name}: the answer broke off: {error}.") from error
            if len(body) > _ANSWER_MOST:
                raise SourceError(f"{self._asked.name}: the Hub's answer is too long.")
            return body, response.headers.get("Link")

    def close(self) -> None:
        """Close every connection."""
        self._connections.close()

    def _target(self, response: BaseHTTPResponse, url: str) -> str | None:
        location = response.headers.get("Location")
        if response.status not in _REDIRECTS or location is None:
            return None
        return self._connections.redirected(url, location)

    def _refuse_elsewhere(self, url: str | None) -> None:
        if url is not None:
            raise SourceError(
                f"{self._asked.name}: the Hub's API leads to another host, {shown(url)}: refused. "
                "Set hub.endpoint to where it is."
            )

    def _is_hub(self, url: str) -> bool:
        return _origin(url) == _origin(self._asked.endpoint)


def spent(response: BaseHTTPResponse) -> None:
    """Be done with an answer whose body says nothing; a short one leaves its connection."""
    with contextlib.suppress(HTTPError, OSError):
        response.read(_BODY_MOST, decode_content=False)
    response.close()


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    standard = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", parts.port or standard
