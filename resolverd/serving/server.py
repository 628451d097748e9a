"""The daemon's socket: accepts, admits, and tells every connection what is published.

Contract: runs on asyncio and uvloop alike. ``publish`` swaps the lookup table, then the
page, so a client that has seen a generation never gets an older answer.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import secrets
import socket
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

from resolverd_client.errors import RequestError

from resolverd.serving.call import Handler
from resolverd.serving.counts import LOOKUP_SECONDS, Histogram
from resolverd.serving.limits import Limits
from resolverd.serving.lookups import Lookups
from resolverd.serving.page import Page
from resolverd.serving.session import Session

log = logging.getLogger(__name__)

_BACKLOG = 4096  # the ranks of every job at once; the kernel has its own bound

MOST_USERS = 100
"""Users that one answer lists, those with the most connections."""


class Server:
    """Serves lookups and calls on one listening socket.

    Args:
        handlers: What answers each method, besides hello, get, names and digests.
        version: Of the daemon, as told in hello.
        limits: What one client may cost.

    Attributes:
        requests: How many of each method, but for ``get``: sessions count those themselves.
        errors: How many answers were errors, by code.
        refused: Connections refused because there were too many.
        latency: Time spent on a lookup, of a sample of them.
    """

    def __init__(
        self, handlers: Mapping[str, Handler], *, version: str = "", limits: Limits | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.lookups = Lookups(0, {})
        self.instance = secrets.token_bytes(16)
        self.page = _page(self.instance)
        self._version = version
        self._handlers = {name: (each, inspect.signature(each)) for name, each in handlers.items()}
        self.requests: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.refused = 0
        self.latency = Histogram(LOOKUP_SECONDS)
        self._ended_lookups = 0
        self._sessions: set[Session] = set()
        self._per_uid: Counter[int] = Counter()
        self._server: asyncio.AbstractServer | None = None

    def __repr__(self) -> str:
        return (
            f"<Server generation={self.lookups.generation} connections={len(self._sessions)} "
            f"page={'yes' if self.page else 'no'}>"
        )

    @property
    def about(self) -> dict[str, object]:
        """The reply to hello, but for the version agreed on."""
        return {
            "server": f"resolverd/{self._version}",
            "pid": os.getpid(),
            "instance": self.instance,
            "generation": self.lookups.generation,
            "features": sorted(["digests", "stores"] + ["page"] * (self.page is not None)),
        }

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._sessions)

    def traffic(self) -> dict[str, Any]:
        """Tell who is connected, and what was asked since the start; call it on the loop."""
        lookups: Counter[int] = Counter()
        for each in self._sessions:
            lookups[each.peer.uid] += each.lookups
        users = self._per_uid.most_common(MOST_USERS)
        return {
            "clients": len(self._sessions),
            "users": [{"uid": u, "clients": count, "lookups": lookups[u]} for u, count in users],
            "counts": {
                "requests": {"get": self._ended_lookups + lookups.total(), **self.requests},
                "errors": dict(self.errors),
                "refused": self.refused,
            },
        }

    async def start(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket; the socket stays the caller's to unlink."""
        loop = asyncio.get_running_loop()
        # From 3.13 on asyncio would unlink the path, which may be systemd's.
        options: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        self._server = await loop.create_unix_server(
            lambda: Session(self), sock=sock, backlog=_BACKLOG, **options
        )

    async def close(self) -> None:
        """Stop: no new connections, then the page says closed, then every connection ends."""
        if self._server is not None:
            self._server.close()
        if self.page is not None:
            self.page.close()
            self.page = None
        tasks = [task for session in list(self._sessions) for task in session.end()]
        await asyncio.gather(*tasks, return_exceptions=True)

    def publish(self, lookups: Lookups) -> None:
        """Serve another generation from now on."""
        self.lookups = lookups
        if self.page is not None:
            self.page.publish(lookups.generation)

    def handler(self, method: str, params: list[Any]) -> Handler:
        """Find what answers a method.

        Raises:
            RequestError: Nothing does, or not with so many parameters.
        """
        found = self._handlers.get(method)
        if found is None:
            raise RequestError(f"this daemon has no method {method!r:.80}", code="unknown-method")
        handler, signature = found
        try:
            signature.bind(None, *params)
        except TypeError as error:
            raise RequestError(f"{method}: {error}") from None
        return handler

    def admit(self, session: Session) -> str | None:
        """Count a new connection; say why not when there are too many."""
        uid = session.peer.uid
        self._sessions.add(session)
        self._per_uid[uid] += 1
        reason = self._too_many(uid)
        self.refused += reason is not None
        return reason

    def _too_many(self, uid: int) -> str | None:
        if len(self._sessions) > self.limits.connections:
            return f"more than {self.limits.connections} connections are open: try again later"
        if self._per_uid[uid] > self.limits.connections_per_uid:
            return (
                f"more than {self.limits.connections_per_uid} connections of uid {uid} are open: "
                f"close some, or share one Client in a process"
            )
        return None

    def forget(self, session: Session) -> None:
        """Count a connection no more."""
        if session in self._sessions:
            self._sessions.discard(session)
            self._ended_lookups += session.lookups
            uid = session.peer.uid
            self._per_uid[uid] -= 1
            if not self._per_uid[uid]:
                del self._per_uid[uid]


def _page(instance: bytes) -> Page | None:
    try:
        return Page(instance)
    except OSError as error:
        log.warning("no generation page (%s): clients will ask for every lookup", error)
        return None
