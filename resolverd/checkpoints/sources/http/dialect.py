"""What servers that speak HTTP word in their own way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from urllib3.response import BaseHTTPResponse

from resolverd.checkpoints.sources.http.errors import refuse_status
from resolverd.checkpoints.sources.http.headers import Answer, described


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of server is asked, and understood.

    Attributes:
        headers: Sent with each request.
        pin: The header that asks for a part of one version only: ``If-Range`` is answered with all
            of another version, ``If-Match`` with status 412.
        refuse: Raises for an answer that brings no file; given the answer and the file's name.
        describe: Reads an answer that brings one; given the answer, its URL and the file's name.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    pin: Literal["If-Range", "If-Match"] = "If-Range"
    refuse: Callable[[BaseHTTPResponse, str], None] = refuse_status
    describe: Callable[[BaseHTTPResponse, str, str], Answer] = described


PLAIN = Dialect()
