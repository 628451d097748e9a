"""Whatever an origin makes a download wait for, it ends when nobody wants it any more."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.faults import Cancelled
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.transfer.aside import Aside
from resolverd.errors import SourceError
from tests.checkpoints.conftest import PART, Bench, limits
from tests.checkpoints.origin import Origin, Resource

BIG = os.urandom(3 * PART)
PATIENT = limits(stall_timeout=600.0, connect_timeout=600.0, connections=1)


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A URL whose server does what the test says with its first connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/a"
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(30)


def cancelled(bench: Bench, url: str, once: threading.Event) -> None:
    """Cancel a download once it waits, and see it end."""
    bench.limits, job, ended = PATIENT, Job(lambda *_: None), threading.Event()

    def fetch() -> None:
        with pytest.raises(Cancelled):
            bench.engine.fetch(Wanted("model", url), job)
        ended.set()

    threading.Thread(target=fetch, daemon=True).start()
    assert once.wait(30)
    job.stop()
    assert ended.wait(30)


def test_one_that_waits_for_an_answer(bench: Bench) -> None:
    asked, over = threading.Event(), threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        asked.set()
        over.wait(60)

    with listening(serve) as url:
        cancelled(bench, url, asked)
        over.set()


def test_one_that_waits_for_the_answer_to_a_later_part(origin: Origin, bench: Bench) -> None:
    asked, over = threading.Event(), threading.Event()

    def hold(resource: Resource) -> None:
        if len(resource.requests) == 2:
            asked.set()
            over.wait(60)

    origin.put("/a", BIG, before=hold)
    cancelled(bench, origin.url("/a"), asked)
    over.set()


def test_one_that_waits_for_a_connection(bench: Bench) -> None:
    with socket.socket() as server, contextlib.ExitStack() as others:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):  # then the queue is full, and the next one hangs
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(server.getsockname())
        begun = threading.Event()
        threading.Timer(0.2, begun.set).start()
        cancelled(bench, f"http://127.0.0.1:{server.getsockname()[1]}/a", begun)


def test_a_server_that_drips_its_answers_head_is_given_up(bench: Bench) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"x")
                time.sleep(0.01)

    bench.limits = limits(stall_timeout=0.1, attempts=1)
    with listening(serve) as url, pytest.raises(SourceError, match="Given up"):
        bench.fetch(url)


def test_what_comes_too_late_is_let_go_of() -> None:
    release, discarded = threading.Event(), threading.Event()

    def call() -> str:
        release.wait(30)
        return "late"

    def discard(what: str) -> None:
        assert what == "late"
        discarded.set()

    job = Job(lambda *_: None)
    job.stop()
    with pytest.raises(Cancelled):
        Aside(call, discard).result(job.stopping, lambda: job.stopped)
    release.set()
    assert discarded.wait(30)
