"""Credentials of the machine's or container's role, from the service that the cloud gives each.

Only where the operator allows it: they are the whole node's, not a user's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from resolverd.checkpoints.sources.s3.signing import Credentials
from resolverd.errors import SourceError

_MACHINE = "http://169.254.169.254"
_CONTAINER = "http://169.254.170.2"
_ROLES = "/latest/meta-data/iam/security-credentials/"
_MOST = 1 << 16


def credentials(environ: Mapping[str, str]) -> Credentials:
    """Ask the container's service when there is one, else the machine's.

    Raises:
        SourceError: When neither answers with credentials.
    """
    http = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=2.0, read=5.0), retries=urllib3.Retry(2, redirect=0)
    )
    try:
        document = json.loads(_container(http, environ) or _machine(http, environ))
        return Credentials.load(document, "Token")
    except (HTTPError, OSError, ValueError, LookupError, TypeError) as error:
        raise SourceError(
            f"this node's role gives no credentials ({type(error).__name__}): attach a role to "
            "it, or unset s3.instance_role."
        ) from None
    finally:
        http.clear()


def _machine(http: urllib3.PoolManager, environ: Mapping[str, str]) -> bytes:
    """EC2's service, version 2: a token first, then the role's name, then its credentials."""
    base = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _MACHINE
    life = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
    token = _asked(http, "PUT", urljoin(base, "/latest/api/token"), life).decode("ascii")
    proof = {"X-aws-ec2-metadata-token": token}
    name = _asked(http, "GET", urljoin(base, _ROLES), proof).decode("utf-8").split()[0]
    return _asked(http, "GET", urljoin(base, _ROLES + name), proof)


def _container(http: urllib3.PoolManager, environ: Mapping[str, str]) -> bytes | None:
    relative = environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    url = urljoin(_CONTAINER, relative) if relative else None
    url = url or environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not url or urlsplit(url).scheme not in {"http", "https"}:
        return None
    token = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if path := environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
        with open(path, encoding="utf-8") as file:
            token = file.read(_MOST).strip()
    return _asked(http, "GET", url, {"Authorization": token} if token else {})


def _asked(http: urllib3.PoolManager, method: str, url: str, headers: Mapping[str, str]) -> bytes:
    response = http.request(method, url, headers=headers, preload_content=False)
    with response:
        if response.status != 200:
            raise LookupError(f"status {response.status}")
        return response.read(_MOST)
