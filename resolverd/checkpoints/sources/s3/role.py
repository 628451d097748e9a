"""Credentials of a role: the machine's or container's, or one that a web identity stands for.

The machine's only where the operator allows it: they are the whole node's, not the daemon's. A web
identity (Kubernetes hands one to a service account's pods) is the daemon's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from resolverd.checkpoints.sources.s3 import answers
from resolverd.checkpoints.sources.s3.signing import Credentials
from resolverd.errors import SourceError

_MACHINE = "http://169.254.169.254"
_CONTAINER = "http://169.254.170.2"
_ROLES = "/latest/meta-data/iam/security-credentials/"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_MOST = 1 << 16


def credentials(environ: Mapping[str, str]) -> Credentials:
    """Ask the container's service when there is one, else the machine's.

    Raises:
        SourceError: When neither answers with credentials.
    """
    http = _http()
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


def web_identity(environ: Mapping[str, str]) -> Credentials:
    """Have Amazon's token service turn ``AWS_WEB_IDENTITY_TOKEN_FILE`` into ``AWS_ROLE_ARN``.

    Raises:
        SourceError: When it does not.
    """
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    url = environ.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.amazonaws.com"
    http = _http()
    try:
        with open(environ["AWS_WEB_IDENTITY_TOKEN_FILE"], encoding="ascii") as file:
            token = file.read(_MOST).strip()
        fields = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": environ["AWS_ROLE_ARN"],
            "RoleSessionName": environ.get("AWS_ROLE_SESSION_NAME") or "resolverd",
            "WebIdentityToken": token,
        }
        document = answers.document(_asked(http, "POST", url, _FORM, urlencode(fields)))
        found = {} if document is None else {answers.tag(e): e.text for e in document.iter()}
        return Credentials.load(found, "SessionToken")
    except (HTTPError, OSError, ValueError, LookupError, TypeError) as error:
        raise SourceError(
            f"the web identity gives no credentials ({type(error).__name__}): check AWS_ROLE_ARN, "
            "AWS_WEB_IDENTITY_TOKEN_FILE, and that the role trusts this service account."
        ) from None
    finally:
        http.clear()


def _http() -> urllib3.PoolManager:
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=2.0, read=5.0), retries=urllib3.Retry(2, redirect=0)
    )


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


def _asked(
    http: urllib3.PoolManager,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: str | None = None,
) -> bytes:
    response = http.request(method, url, headers=headers, body=body, preload_content=False)
    with response:
        if response.status != 200:
            raise LookupError(f"status {response.status}")
        return response.read(_MOST)
