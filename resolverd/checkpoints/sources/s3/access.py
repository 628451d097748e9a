"""How S3 is reached in one download: which server, and signed by whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from resolverd.checkpoints.access import private
from resolverd.checkpoints.sources.s3 import credentials, profile
from resolverd.checkpoints.sources.s3.location import Endpoint, sound_region
from resolverd.checkpoints.sources.s3.settings import S3Settings
from resolverd.checkpoints.sources.s3.signing import Credentials, signed
from resolverd.errors import SourceError

_RENEW = 300  # seconds before they expire


class Access:
    """The server and the credentials; these are found when needed, and renewed before they expire.

    Args:
        name: What to call the URI that is being fetched.
        settings: What the operator says.
        environ: Amazon's variables.
    """

    def __init__(self, name: str, settings: S3Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self._lock = threading.Lock()
        self._who: Credentials | None = None
        self._searched = False
        said = profile.read(settings.profile, environ)
        self.endpoint = _endpoint(name, settings, environ, said)

    @property
    def signs(self) -> bool:
        """Whether there are credentials."""
        return self._credentials() is not None

    def move(self, region: str) -> None:
        """Ask another region from now on."""
        self.endpoint = replace(self.endpoint, region=region)

    def forget(self) -> None:
        """Look for credentials again when they are needed next."""
        with self._lock:
            self._searched = False

    def sign(self, method: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """A request's headers, signed when there are credentials."""
        who = self._credentials()
        if who is None:
            return headers
        return signed((method, url, headers), who, self.endpoint.region, time.time())

    def _credentials(self) -> Credentials | None:
        with self._lock:
            ends = self._who.expires if self._who else None
            if not self._searched or (ends is not None and ends - time.time() < _RENEW):
                said = profile.read(self._settings.profile, self._environ)
                self._who = credentials.found(self._settings, self._environ, said)
                self._searched = True
                for secret in (self._who.secret, self._who.token) if self._who else ():
                    private.remember(secret or "")
            return self._who


def _endpoint(
    name: str, settings: S3Settings, environ: Mapping[str, str], chosen: Mapping[str, str]
) -> Endpoint:
    url = (
        settings.endpoint
        or environ.get("AWS_ENDPOINT_URL_S3")
        or environ.get("AWS_ENDPOINT_URL")
        or chosen.get("endpoint_url")
    )
    if url and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
        raise SourceError(f"{name}: the S3 endpoint {url!r} is no http(s) URL: set s3.endpoint.")
    region = (
        settings.region
        or environ.get("AWS_REGION")
        or environ.get("AWS_DEFAULT_REGION")
        or chosen.get("region")
    )
    if region and not sound_region(region):
        raise SourceError(f"{name}: {region!r} is no region: set s3.region.")
    in_host = {"auto": not url, "path": False, "virtual": True}[settings.addressing]
    return Endpoint(url or None, region or "us-east-1", in_host)
