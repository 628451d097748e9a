"""Signatures of requests: AWS Signature Version 4, for S3 and requests without a body. Pure.

The rules: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

_EMPTY = hashlib.sha256(b"").hexdigest()
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks.

    Attributes:
        key: The access key's id.
        secret: The secret that belongs to it; never shown.
        token: The session's token, for temporary credentials; never shown.
        expires: Seconds since the epoch when they end to be valid; None: never.
    """

    key: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires: float | None = None

    @classmethod
    def load(cls, document: Mapping[str, Any], token: str) -> Credentials:
        """Credentials as Amazon's services and programs word them.

        Args:
            document: What they say.
            token: Their name for the session's token.

        Raises:
            LookupError: When something is missing.
            ValueError: When the date is none.
        """
        ends = document.get("Expiration")
        expires = datetime.fromisoformat(ends.replace("Z", "+00:00")).timestamp() if ends else None
        secret = str(document["SecretAccessKey"])
        return cls(str(document["AccessKeyId"]), secret, document.get(token) or None, expires)


def signed(
    request: tuple[str, str, Mapping[str, str]], who: Credentials, region: str, now: float
) -> dict[str, str]:
    """The headers of a request, with its signature.

    Args:
        request: Method, URL with its path and query percent-encoded, and headers.
        who: Whose signature.
        region: Of the server.
        now: Seconds since the epoch; servers refuse what is 15 minutes away from their clock.
    """
    method, url, headers = request
    moment = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    sent = {**headers, "x-amz-date": moment, "x-amz-content-sha256": _EMPTY}
    if who.token:
        sent["x-amz-security-token"] = who.token
    names, summary = _summary(method, url, sent)
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", moment, scope, _sha256(summary)))
    signature = hmac.new(_signing_key(who.secret, scope), text.encode(), "sha256").hexdigest()
    sent["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={who.key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return sent


def _summary(method: str, url: str, headers: Mapping[str, str]) -> tuple[str, str]:
    """The names of the headers that are signed, and the canonical request."""
    parts = urlsplit(url)
    chosen = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    chosen = {name: value for name, value in chosen.items() if name.startswith("x-amz-")}
    chosen["host"] = _host(url)
    names = ";".join(sorted(chosen))
    lines = [f"{name}:{chosen[name]}" for name in sorted(chosen)]
    query = "&".join(sorted(parts.query.split("&"), key=lambda pair: pair.partition("=")))
    return names, "\n".join((method, parts.path or "/", query, *lines, "", names, _EMPTY))


def _host(url: str) -> str:
    """The ``Host`` header as the HTTP library sends it: without the scheme's own port."""
    parts = urlsplit(url)
    name = (parts.hostname or "").lower()
    name = f"[{name}]" if ":" in name else name
    port = parts.port
    return name if port in {None, _DEFAULT_PORTS[parts.scheme]} else f"{name}:{port}"


def _signing_key(secret: str, scope: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return key


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
