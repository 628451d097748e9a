"""Translates S3's errors into what the engine knows, each with a remedy."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from resolverd.checkpoints.asset import plan
from resolverd.checkpoints.faults import Transient
from resolverd.checkpoints.sources.s3 import answers
from resolverd.checkpoints.sources.s3.location import sound_region
from resolverd.errors import SourceError

_BODY_MOST = 1 << 16
_AGAIN = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling",
          "ThrottlingException", "RequestThrottled", "OperationAborted"}  # fmt: skip
_REMEDIES = {
    "NoSuchBucket": "There is no such bucket: check the URI in the card, and the endpoint.",
    "NoSuchVersion": "There is no such version: check the URI in the card.",
    "NoSuchKey": "There is no such object: check the URI in the card.",
    "InvalidObjectState": "It is archived: have its owner restore it first.",
    "InvalidAccessKeyId": "The server does not know the access key: check the credentials, and "
    "that they belong to this endpoint.",
    "SignatureDoesNotMatch": "The secret does not belong to the access key, or a proxy changes "
    "requests: check the credentials.",
    "InvalidToken": "The session token is not valid: renew the credentials.",
    "RequestTimeTooSkewed": "This node's clock{skew} differs too much from the server's: "
    "synchronise it (timedatectl, chronyc).",
    "AccessDenied": "{access}",
}
_SIGNED = (
    "Its owner must let the credentials of this node read it (s3:GetObject, and s3:ListBucket, "
    "without which the server also says this of what does not exist)."
)
_UNSIGNED = (
    "It is not public, and this node has no credentials for it: set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, for the daemon; or s3.instance_role."
)


class Elsewhere(SourceError):  # noqa: N818  # says what to do, not that it failed
    """The bucket is in another region.

    Attributes:
        region: Which.
    """

    def __init__(self, message: str, region: str) -> None:
        super().__init__(message)
        self.region = region


class Expired(Transient):
    """The credentials were good once; there may be newer ones by now."""


class Missing(SourceError):  # noqa: N818  # says what to do, not that it failed
    """There is no object of that key."""


def refuse(response: BaseHTTPResponse, name: str, *, signed: bool) -> None:
    """Refuse an answer that brings nothing.

    Raises:
        Elsewhere: When another region has it.
        Missing: When the bucket has no such object.
        Expired: When the credentials are too old.
        Transient: When the server may answer better in a moment.
        SourceError: When it will not.
    """
    status = response.status
    if status in {200, 206}:
        return
    said = _said(response, name)
    code = said.get("Code") or _CODES.get(status, "")
    text = f"{name}: the server answered {status} {code or response.reason or ''}".rstrip() + ". "
    region = sound_region(response.headers.get("x-amz-bucket-region") or said.get("Region"))
    if region and (status in {301, 307} or code == "AuthorizationHeaderMalformed"):
        raise Elsewhere(f"{text}The bucket is in region {region}: set s3.region.", region)
    if code == "NoSuchKey":
        raise Missing(text + _REMEDIES[code])
    if code in {"ExpiredToken", "TokenRefreshRequired"}:
        raise Expired(f"{text}The credentials have expired: renew them.")
    if code in _AGAIN or status in {429, 500, 502, 503, 504}:
        wait = plan.retry_after(response.headers.get("Retry-After"), time.time())
        raise Transient(text + "Try again later.", wait)
    remedy = _REMEDIES.get(code, "Check the URI in the card, the endpoint and the region.")
    access, skew = (_SIGNED if signed else _UNSIGNED), _skew(response.headers.get("Date"))
    raise SourceError(text + remedy.format(access=access, skew=skew))


_CODES = {401: "AccessDenied", 403: "AccessDenied", 404: "NoSuchKey"}
"""What a status stands for when no document says more."""


def _said(response: BaseHTTPResponse, name: str) -> Mapping[str, str]:
    try:
        return answers.error(response.read(_BODY_MOST, decode_content=True))
    except (HTTPError, OSError) as error:
        raise Transient(f"{name}: the server's error can't be read: {error}.") from error


def _skew(date: str | None) -> str:
    """How far this node's clock is from the one that the answer shows."""
    try:
        away = time.time() - parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return ""
    return f" ({abs(away):.0f} s {'ahead' if away > 0 else 'behind'})"
