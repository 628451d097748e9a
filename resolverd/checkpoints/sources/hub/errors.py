"""Translates what the Hub refuses, and says how to get access.

The Hub tells why in ``X-Error-Code``. To who has no access it does not tell a private repository
from one that does not exist.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from urllib3.response import BaseHTTPResponse

from resolverd.checkpoints.asset import plan
from resolverd.checkpoints.asset.repository import Repository
from resolverd.checkpoints.faults import Transient
from resolverd.checkpoints.sources.http.errors import refuse_status
from resolverd.errors import SourceError

_DISABLED = "Access to this resource is disabled."
_RESET = re.compile(r"\br\s*=\s*0\s*;\s*t\s*=\s*(\d{1,9})")


class Missing(SourceError):  # noqa: N818  # says what to do, not that it failed
    """The repository is there, the revision or the file is not."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, and by whom.

    Attributes:
        name: What to call it.
        repository: Which.
        endpoint: Where.
        known: Whether a token was shown.
    """

    name: str
    repository: Repository
    endpoint: str
    known: bool

    @property
    def page(self) -> str:
        """Where people look at the repository."""
        return f"{self.endpoint}/{self.repository.page}"


def refuse(response: BaseHTTPResponse, asked: Asked) -> None:
    """Refuse an answer of the Hub that does not bring what was asked for.

    Raises:
        Missing: When there is no such revision, or no such file in it.
        Transient: When the Hub may answer better in a moment.
        SourceError: When it will not.
    """
    status, code = response.status, response.headers.get("X-Error-Code", "")
    if status < 400:
        refuse_status(response, asked.name)
    elif code == "GatedRepo":
        raise SourceError(_gated(asked))
    elif response.headers.get("X-Error-Message") == _DISABLED:
        raise SourceError(f"{asked.name}: the Hub has disabled this repository; see {asked.page}.")
    elif code == "RevisionNotFound":
        raise Missing(
            f"{asked.name}: {asked.repository.id} has no revision "
            f"{asked.repository.revision!r}: check the card; {asked.page}/tree/main lists them."
        )
    elif code == "EntryNotFound":
        raise Missing(f"{asked.name}: the Hub lists a file that it does not have.")
    elif code == "RepoNotFound" or status == 401:
        raise SourceError(_missing(asked))
    elif status == 429:
        headers = response.headers
        wait = plan.retry_after(headers.get("Retry-After"), time.time())
        raise Transient(
            f"{asked.name}: the Hub takes no more requests for now (429)."
            + ("" if asked.known else " It takes more from those who show a token."),
            _reset(headers.get("RateLimit")) if wait is None else wait,
        )
    elif status == 403:
        raise SourceError(
            f"{asked.name}: the Hub answered 403 Forbidden: this node's token does not allow to "
            "read it. " + _how(asked)
        )
    else:
        refuse_status(response, asked.name)


def _gated(asked: Asked) -> str:
    who = (
        "the account of this node's token has not been given access"
        if asked.known
        else "this node has no token"
    )
    return f"{asked.name}: is gated, and {who}. Ask for access at {asked.page}, then " + _how(asked)


def _missing(asked: Asked) -> str:
    who = (
        "this node's token may not see it, or is not valid any more"
        if asked.known
        else "it is private or gated and this node has no token"
    )
    kind = "dataset" if asked.repository.type == "datasets" else "model"
    return (
        f"{asked.name}: there is no {kind} repository {asked.repository.id} at {asked.endpoint}, "
        f"or {who}. Check the card's URI and kind; for a private one, " + _how(asked)
    )


def _how(asked: Asked) -> str:
    more = "a token of an account that may" if asked.known else "a token"
    return (
        f"give the daemon {more}: HF_TOKEN in its environment, `hf auth login` as its user, or "
        "hub.token_file in its configuration."
    )


def _reset(header: str | None) -> float | None:
    """Seconds until the Hub's window of requests ends: ``"api";r=0;t=55``."""
    found = _RESET.search(header or "")
    return float(found[1]) if found else None
