"""A real HTTP origin with switches for what goes wrong in the world.

Serves bytes from memory with ranges, ETag, If-Range and If-None-Match; each path has its own
switches. Needs nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

CHUNK = 64 * 1024


@dataclass
class Faults:
    """What goes wrong with one path. Counters count down with each time it happens."""

    ignore_range: bool = False
    ignore_range_after: int | None = None  # answers with ranges, then none
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # answered first
    close_after: list[int] = field(default_factory=list)  # body bytes of each of the next answers
    stall_after: list[int] = field(default_factory=list)
    length: int | None = None  # announced instead of the true one
    no_length: bool = False
    chunked: bool = False
    encoding: str | None = None
    redirect: str | None = None
    redirect_status: int = 302
    rate: float | None = None  # bytes a second and connection
    gate: threading.Event | None = None  # the body waits for it
    gate_at: int = 0  # after that many body bytes


@dataclass
class Resource:
    """One file, and what is said about it."""

    data: bytes
    etag: str | None = None
    modified: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    requests: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    spans: list[list[int]] = field(default_factory=list)  # of each body: where it began and ended
    before: Callable[[Resource], None] | None = None  # called at each request


class Origin:
    """A server on loopback: ``with Origin() as origin: origin.put("/a", b"...")``."""

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        origin = self

        class Handler(_Handler):
            world = origin

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Origin:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for resource in self.resources.values():
            if resource.faults.gate:
                resource.faults.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def put(
        self, path: str, data: bytes, *, etag: str | None = "auto", **switches: object
    ) -> Resource:
        """Serve ``data`` at ``path``; the ETag is made from the bytes unless one is given."""
        if etag == "auto":
            etag = f'"{hashlib.md5(data).hexdigest()}"'
        resource = Resource(data, etag)
        for name, value in switches.items():
            setattr(resource if hasattr(resource, name) else resource.faults, name, value)
        self.resources[path] = resource
        return resource

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that leave are part of the game


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: Origin

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        resource = self.world.resources.get(urlsplit(self.path).path)
        if resource is None:
            self._short(404, {})
            return
        with self.world.lock:
            resource.requests.append({k.lower(): v for k, v in self.headers.items()})
            if resource.before:
                resource.before(resource)
            forced = resource.faults.statuses.pop(0) if resource.faults.statuses else None
        if forced:
            self._short(*forced)
        elif resource.faults.redirect:
            self._short(resource.faults.redirect_status, {"Location": resource.faults.redirect})
        else:
            self._serve(resource)

    def _short(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _serve(self, resource: Resource) -> None:  # noqa: C901  # one answer, read top to bottom
        data, faults, size = resource.data, resource.faults, len(resource.data)
        if resource.etag and self.headers.get("If-None-Match") == resource.etag:
            self._short(304, {"ETag": resource.etag})
            return
        start, end, partial = 0, size, False
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        validator = self.headers.get("If-Range")
        fresh = validator is None or validator in {resource.etag, resource.modified}
        if wanted and fresh and self._ranges(faults):
            start = int(wanted[1])
            end = min(size, int(wanted[2]) + 1) if wanted[2] else size
            if start >= size:
                self._short(416, {"Content-Range": f"bytes */{size}"})
                return
            partial = True
        self.send_response(206 if partial else 200)
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        if resource.etag:
            self.send_header("ETag", resource.etag)
        if resource.modified:
            self.send_header("Last-Modified", resource.modified)
        for name, value in resource.headers.items():
            self.send_header(name, value)
        if faults.encoding:
            self.send_header("Content-Encoding", faults.encoding)
        if faults.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif faults.no_length:
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(faults.length or end - start))
        self.end_headers()
        self._body(resource, memoryview(data)[start:end], start)

    @staticmethod
    def _ranges(faults: Faults) -> bool:
        if faults.ignore_range_after is not None:
            faults.ignore_range_after -= 1
            return faults.ignore_range_after >= 0
        return not faults.ignore_range

    def _body(self, resource: Resource, body: memoryview, start: int) -> None:
        faults, span = resource.faults, [start, start]
        with self.world.lock:
            resource.spans.append(span)
            cut = faults.close_after.pop(0) if faults.close_after else None
            stall = faults.stall_after.pop(0) if faults.stall_after else None
        stop = min(value for value in (cut, stall, len(body)) if value is not None)
        at, began = 0, time.monotonic()
        while at < stop:
            step = min(CHUNK, stop - at)
            if faults.gate and at + step > faults.gate_at:
                faults.gate.wait()
            if faults.rate:
                step = min(step, max(1, int(faults.rate / 50)))
                ahead = (at + step) / faults.rate - (time.monotonic() - began)
                if ahead > 0 and self.world.stopping.wait(ahead):
                    break
            piece = body[at : at + step]
            self.wfile.write(b"%x\r\n%s\r\n" % (step, piece) if faults.chunked else piece)
            at += step
            with self.world.lock:
                resource.sent += step
                span[1] += step
        if stall is not None:
            self.world.stopping.wait()
        if at < len(body):
            self.close_connection = True
        elif faults.chunked:
            self.wfile.write(b"0\r\n\r\n")
        if faults.length and faults.length != len(body):
            self.close_connection = True
