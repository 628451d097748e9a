"""One client's connection, from hello to its end.

Contract: whatever a client sends or fails to read costs at most its ``Limits`` and ends at most
its own connection. Lookups are answered at once, out of packed tables; every other method runs in
a task that ends with the connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any, Protocol, cast

from resolverd_client import protocol
from resolverd_client.errors import ProtocolError, RequestError, ResolverdError

from resolverd.errors import ResolverdError as DaemonError
from resolverd.serving.arguments import check
from resolverd.serving.call import Call, Handler, Peer, Reply
from resolverd.serving.counts import Histogram
from resolverd.serving.limits import Limits
from resolverd.serving.lookups import Lookups
from resolverd.serving.page import Page

log = logging.getLogger(__name__)

# Clients number their requests in one byte; the head of such a response is never packed again.
_HEADS = tuple(protocol.response_head(ident) for ident in range(128))
_CREDENTIALS = struct.Struct("3i")
_SO_PEERGROUPS = 59  # linux/socket.h; Python has no name for it
_GROUPS_MOST = 256  # the most that getsockopt gives: of 1,024 bytes
_UNTIMED = 63  # of 64 lookups of a connection one is timed, the first of them


class Host(Protocol):
    """What a connection needs of its server."""

    limits: Limits
    lookups: Lookups
    page: Page | None
    latency: Histogram
    requests: Counter[str]
    errors: Counter[str]

    @property
    def about(self) -> dict[str, object]:
        """The reply to hello, but for the version agreed on."""

    def handler(self, method: str, params: list[Any]) -> Handler:
        """Find what answers a method; raises RequestError when nothing does."""

    def admit(self, session: Session) -> str | None:
        """Count a new connection; say why not when there are too many."""

    def forget(self, session: Session) -> None:
        """Count a connection no more."""


class Session(asyncio.Protocol):
    """The server's end of one connection."""

    def __init__(self, server: Host) -> None:
        self._server = server
        self._greeted = False
        self._paused = False
        self._closed = False
        self._reader: protocol.FrameReader | None = None
        self._backlog: deque[Any] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closers: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._write: Any = None
        self.lookups = 0
        self.peer = Peer(0, 0, 0)

    def __repr__(self) -> str:
        peer = self.peer
        return f"<Session pid={peer.pid} uid={peer.uid} pending={len(self._tasks)}>"

    # The transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Look at who connects, and wait for hello."""
        # Not isinstance: uvloop's transports are no asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)
        self._write = self._transport.write
        sock = transport.get_extra_info("socket")
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, gid = _CREDENTIALS.unpack(raw)
        self.peer = Peer(pid, uid, gid, _groups(sock))
        refusal = self._server.admit(self)
        if refusal is not None:
            self._refuse("unavailable", refusal)
            return
        self._timer = self._later(self._server.limits.hello, self._no_hello)

    def connection_lost(self, exc: Exception | None) -> None:
        """End what still runs for this client."""
        self._closed = True
        self._server.forget(self)
        self._stop_timer()
        self._backlog.clear()
        for task in self._tasks:
            task.cancel()
        while self._closers:
            self._closers.pop()()

    def data_received(self, data: bytes) -> None:
        """Take requests: mostly exactly one, whole."""
        before = self.lookups
        begun = 0 if before & _UNTIMED else perf_counter_ns()
        if self._reader is None and not self._backlog:
            try:
                message = protocol.unpack_request(data)
            except protocol.FAULTS:
                pass
            else:
                self._take(message)
                if begun and self.lookups != before:
                    self._server.latency.observe((perf_counter_ns() - begun) / 1e9)
                return
        self._read(data)

    def eof_received(self) -> bool:
        """Close: a client that half-closes wants nothing more."""
        return False

    def pause_writing(self) -> None:
        """Read no more from a client that does not read."""
        self._paused = True
        self._transport.pause_reading()
        self._stop_timer()
        waiting = self._transport.get_write_buffer_size()
        self._timer = self._later(self._server.limits.stalled, self._stalled, waiting)

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self._stop_timer()
        self._drain()
        if not self._paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def end(self) -> list[asyncio.Task[None]]:
        """Close the connection; give the tasks that are ending."""
        self._refuse("unavailable", "the daemon is stopping")
        for task in self._tasks:
            task.cancel()
        return list(self._tasks)

    # Requests

    def _read(self, data: bytes) -> None:
        """Take part of a request, or several."""
        reader = self._reader
        if reader is None:
            reader = protocol.FrameReader(protocol.MAX_REQUEST, protocol.MAX_ITEMS)
        try:
            self._backlog.extend(reader.feed(data))
        except ProtocolError as error:
            self._drain()
            self._refuse(error.code, str(error))
            return
        self._reader = reader if reader.pending else None
        self._drain()

    def _drain(self) -> None:
        while self._backlog and not self._paused and not self._transport.is_closing():
            self._take(self._backlog.popleft())

    def _take(self, message: Any) -> None:
        if type(message) is list and len(message) == 4 and message[0] == protocol.REQUEST:
            _, ident, method, params = message
            if type(ident) is int and type(method) is str and type(params) is list:
                if method == "get" and self._greeted and len(params) == 1:
                    name = params[0]
                    if type(name) is str:
                        head = _HEADS[ident] if 0 <= ident < 128 else protocol.response_head(ident)
                        self._write(head + self._server.lookups.get(name))
                        self.lookups += 1
                        return
                self._request(ident, method, params)
                return
        if type(message) is list and len(message) == 3 and message[0] == protocol.NOTIFICATION:
            return
        self._refuse("protocol", "a message must be [0, id, method, [params...]]")

    def _request(self, ident: int, method: str, params: list[Any]) -> None:
        if not self._greeted and method != "hello":
            self._refuse("protocol", "the first request of a connection must be hello", ident)
            return
        try:
            if not protocol.nesting(params):
                raise RequestError(
                    f"more than {protocol.MAX_NESTING} levels deep", code="too-large"
                )
            builtin = _BUILTINS.get(method)
            if builtin is not None:
                builtin(self, ident, *_exactly(method, params, _ARITY[method]))
                self._server.requests[method] += 1
            else:
                self._start(ident, method, params)
        except ResolverdError as error:
            self._fail(ident, error)

    def _start(self, ident: int, method: str, params: list[Any]) -> None:
        server = self._server
        if len(self._tasks) >= server.limits.pending:
            raise RequestError(
                f"more than {server.limits.pending} requests of one connection wait",
                code="too-large",
            )
        handler = server.handler(method, params)
        server.requests[method] += 1
        call = Call(self.peer, ident, method, self.notify, self._on_close)
        task = asyncio.get_running_loop().create_task(
            self._answer(call, handler, params), name=f"{method} for pid {self.peer.pid}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, call: Call, handler: Any, params: list[Any]) -> None:
        try:
            result = await handler(call, *params)
            await self._reply(call.id, result if isinstance(result, Reply) else Reply(result))
        except ResolverdError as error:
            self._fail(call.id, error)
        except DaemonError as error:
            self._fail(call.id, ResolverdError(str(error)))
        except Exception as error:
            log.exception("%s of pid %d failed", call.method, self.peer.pid)
            fault = f"{type(error).__name__}: {error}; see the daemon's log"
            self._fail(call.id, ResolverdError(fault))

    # Methods of every server

    def _hello(self, ident: int, version: object, _info: object) -> None:
        if type(version) is not int or version < 1:
            raise ProtocolError(
                f"this daemon speaks version {protocol.VERSION}, not {version!r:.40}"
            )
        self._greeted = True
        self._stop_timer()
        about = {**self._server.about, "version": min(version, protocol.VERSION)}
        page = self._server.page
        data = protocol.response(ident, about)
        if page is None or not self._send_fds(data, [page.fd]):
            self._write(data)

    def _get(self, _ident: int, name: object) -> None:
        raise RequestError(f"a name must be a string, not {name!r:.80}")

    def _names(self, ident: int) -> None:
        self._write(protocol.response_head(ident) + self._server.lookups.names)

    def _digests(self, ident: int, glob: object) -> None:
        digests = self._server.lookups.digests(_a_glob(glob))
        self._write(protocol.response_head(ident) + digests)

    def _store_names(self, ident: int, source: object) -> None:
        names = self._server.lookups.stores.names(check(source, str, "store"))
        self._write(protocol.response_head(ident) + names)

    def _store_cards(self, ident: int, sources: object, stem: object) -> None:
        named = [check(each, str, "a store") for each in check(sources, list, "stores")]
        found = self._server.lookups.stores.family(named, check(stem, str, "stem"))
        self._write(protocol.response_head(ident) + found)

    def _on_close(self, closer: Callable[[], None]) -> None:
        if self._closed:
            closer()
        else:
            self._closers.append(closer)

    # Out

    def notify(self, method: str, params: Sequence[object]) -> None:
        """Send a notification."""
        self.send(protocol.notification(method, params))

    def send(self, data: bytes) -> None:
        """Send a message, or drop a client for which too much waits already."""
        if self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > self._server.limits.buffered:
            log.warning("%r reads too slowly: dropped", self)
            self._transport.abort()
            return
        self._write(data)

    async def _reply(self, ident: int, reply: Reply) -> None:
        fds = list(reply.fds)
        try:
            packed = protocol.pack(reply.value) if reply.packed is None else reply.packed
            if len(packed) > protocol.MAX_REPLY - 64:
                raise RequestError(
                    f"the result exceeds {protocol.MAX_REPLY} bytes", code="too-large"
                )
            data = protocol.response_head(ident) + packed
            if not fds:
                self.send(data)
            while fds and not self._transport.is_closing():
                if self._send_fds(data, fds):
                    break
                # Bytes still wait before these; descriptors can't overtake them.
                await asyncio.sleep(0.005)
        finally:
            for fd in fds:
                os.close(fd)

    def _send_fds(self, data: bytes, fds: list[int]) -> bool:
        """Send a message with descriptors now, if nothing waits before it."""
        if self._transport.get_write_buffer_size():
            return False
        number = self._transport.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(number)) as sock:
            try:
                sent = socket.send_fds(sock, [data], fds, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return False
            except OSError:
                self._transport.abort()
                return True
        if sent < len(data):
            self._write(data[sent:])
        return True

    def _fail(self, ident: int, error: ResolverdError) -> None:
        self._server.errors[error.code] += 1
        self.send(protocol.error_response(ident, error.code, str(error), error.details))

    def _refuse(self, code: str, message: str, ident: int | None = None) -> None:
        """Say why, and close."""
        if self._transport.is_closing():
            return
        if ident is not None:
            self._fail(ident, ResolverdError(message, code=code))
        else:
            self._server.errors[code] += 1
            self.notify("error", [protocol.error_map(code, message)])
        self._transport.close()

    # Time

    def _later(self, seconds: float, what: Any, *args: object) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, what, *args)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _no_hello(self) -> None:
        self._refuse("protocol", "no hello came in time")

    def _stalled(self, waiting: int) -> None:
        left = self._transport.get_write_buffer_size()
        if left >= waiting:
            log.warning("%r has read nothing for too long: dropped", self)
            self._transport.abort()
            return
        self._timer = self._later(self._server.limits.stalled, self._stalled, left)


def _groups(sock: Any) -> tuple[int, ...]:
    """The further groups of the process at the other end; none where the kernel does not tell."""
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _GROUPS_MOST)
    except OSError:
        return ()
    return struct.unpack(f"{len(raw) // 4}I", raw)


_BUILTINS: dict[str, Any] = {
    "hello": Session._hello,  # noqa: SLF001
    "get": Session._get,  # noqa: SLF001
    "names": Session._names,  # noqa: SLF001
    "digests": Session._digests,  # noqa: SLF001
    "store_names": Session._store_names,  # noqa: SLF001
    "store_cards": Session._store_cards,  # noqa: SLF001
}
_ARITY = {"hello": 2, "get": 1, "names": 0, "digests": 1, "store_names": 1, "store_cards": 2}


def _exactly(method: str, params: list[Any], count: int) -> list[Any]:
    if len(params) != count:
        raise RequestError(f"{method} takes {count} parameters, not {len(params)}")
    return params


def _a_glob(glob: object) -> str | None:
    if glob is not None and type(glob) is not str:
        raise RequestError(f"a pattern must be a string or nil, not {glob!r:.80}")
    return glob
