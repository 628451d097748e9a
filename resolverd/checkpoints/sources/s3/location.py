"""Where an ``s3://`` URI leads: bucket and key, and the URL that stands for them. Pure.

As in fairseq2 0.8.1, whose ``s3://`` paths are fsspec's: keys are taken literally (no percent
decoding), a slash at the end means nothing, and ``s3://bucket`` is all of a bucket.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from resolverd.errors import SourceError

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_IN_HOST = re.compile(r"[a-z0-9][a-z0-9-]*[a-z0-9]")
_VERSION = re.compile(r"\?versionId=([A-Za-z0-9._~-]+)$")
_REGION = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True, slots=True)
class Location:
    """One object, or all that is below a key.

    Attributes:
        bucket: The bucket.
        key: Without slashes at its end; empty for the whole bucket.
        version: The version that the URI asks for, with ``?versionId=``; None: the newest.
        folder: Whether only what is below the key is meant.
    """

    bucket: str
    key: str
    version: str | None
    folder: bool


def located(uri: str) -> Location:
    """Read an ``s3://bucket/key`` URI.

    Raises:
        SourceError: When it names no bucket, or a key that no URL can carry.
    """
    bucket, _, rest = uri.partition("://")[2].partition("/")
    version = _VERSION.search(rest)
    key = rest[: version.start()] if version else rest
    if not _BUCKET.fullmatch(bucket):
        raise SourceError(f"{uri}: {bucket!r} is no bucket: write s3://bucket/key.")
    if {".", ".."} & set(key.split("/")):
        raise SourceError(f"{uri}: a key with '.' or '..' between slashes can't be asked for.")
    folder = key == "" or key.endswith("/")
    return Location(bucket, key.rstrip("/"), version[1] if version else None, folder)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server.

    Attributes:
        url: Of a server other than Amazon's; None for that.
        region: Which of its regions; part of every signature.
        in_host: Whether buckets are named in the host.
    """

    url: str | None
    region: str
    in_host: bool

    def url_of(self, bucket: str, key: str = "", query: Mapping[str, str] | None = None) -> str:
        """The URL of a bucket or an object."""
        scheme, host, path = self._base()
        if self.in_host and _IN_HOST.fullmatch(bucket):  # a dot would not fit the certificate
            host = f"{bucket}.{host}"
        else:
            path += f"/{bucket}"
        asked = urlencode(sorted((query or {}).items()), quote_via=quote, safe="-_.~")
        return f"{scheme}://{host}{path}/{quote(key, safe='/-_.~')}{'?' if asked else ''}{asked}"

    @property
    def realm(self) -> str:
        """What all its URLs begin with, whatever bucket and region."""
        scheme, host, path = self._base()
        if self.url is None:
            return f"{scheme}://*.{host.partition('.')[2].partition('.')[2]}/"
        return f"{scheme}://{'*.' if self.in_host else ''}{host}{path}/"

    def _base(self) -> tuple[str, str, str]:
        if self.url is not None:
            parts = urlsplit(self.url)
            return parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/")
        domain = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return "https", f"s3.{self.region}.{domain}", ""


def sound_region(text: str | None) -> str | None:
    """A region's name as an answer or a setting words it; None when it is none."""
    return text if text and _REGION.fullmatch(text) else None
