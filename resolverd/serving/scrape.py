"""Answers ``GET /metrics`` over HTTP, on a loopback port or a Unix socket.

Contract: runs on the event loop; whoever connects costs at most one of a few connections, 8 KiB and
some seconds, and only this endpoint its answer.
"""

from __future__ import annotations

import http.client
import io
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
from anyio.abc import SocketStream

log = logging.getLogger(__name__)

CONNECTIONS = 32
_HEAD_MOST = 8192
_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Page:
    """An answer.

    Attributes:
        kind: Its content type.
        body: Its bytes.
    """

    kind: str
    body: bytes


Render = Callable[[str], Awaitable[Page]]
"""Makes the page for the value of an ``Accept`` header."""


class Endpoint:
    """Serves one page.

    Args:
        render: Makes the page.
    """

    def __init__(self, render: Render) -> None:
        self._render = render
        self._open = anyio.Semaphore(CONNECTIONS)

    async def answer(self, stream: SocketStream) -> None:
        """Serve one connection, which is closed after one answer."""
        async with stream:
            try:
                self._open.acquire_nowait()
            except anyio.WouldBlock:
                return
            try:
                with anyio.move_on_after(_SECONDS):
                    await stream.send(await self._made(await _head(stream)))
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return  # it left
            finally:
                self._open.release()

    async def _made(self, head: bytes | None) -> bytes:
        try:
            return await self._answered(head)
        except Exception:
            log.exception("the metrics can't be told")
            return _response(500, Page("text/plain", b"see the daemon's log\n"))

    async def _answered(self, head: bytes | None) -> bytes:
        if head is None:
            return _response(431, Page("text/plain", b"the request's head is too long\n"))
        line, _, rest = head.partition(b"\r\n")
        match line.split():
            case [b"GET" | b"HEAD" as method, target, version] if version.startswith(b"HTTP/1."):
                if target.partition(b"?")[0] != b"/metrics":
                    return _response(404, Page("text/plain", b"ask for /metrics\n"))
            case [_, _, version] if version.startswith(b"HTTP/1."):
                return _response(405, Page("text/plain", b"only GET is answered\n"))
            case _:
                return _response(400, Page("text/plain", b"this is no HTTP request\n"))
        try:
            accept = http.client.parse_headers(io.BytesIO(rest)).get("Accept", "")
        except http.client.HTTPException:
            return _response(400, Page("text/plain", b"the headers can't be read\n"))
        return _response(200, await self._render(accept), with_body=method == b"GET")


async def _head(stream: SocketStream) -> bytes | None:
    """Read up to the empty line that ends a request's head; None when it is too long."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) <= _HEAD_MOST:
        head += await stream.receive(_HEAD_MOST)
    return head if len(head) <= _HEAD_MOST else None


def _response(status: int, page: Page, *, with_body: bool = True) -> bytes:
    lines = (
        f"HTTP/1.1 {status} {http.client.responses[status]}",
        f"Content-Type: {page.kind}",
        f"Content-Length: {len(page.body)}",
        "Connection: close",
        "",
        "",
    )
    return "\r\n".join(lines).encode() + (page.body if with_body else b"")
