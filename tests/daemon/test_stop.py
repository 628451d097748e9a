"""SIGTERM: an orderly end, soon, whatever is going on; nothing on disk is lost."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from resolverd_client import protocol

from tests.checkpoints.origin import Origin
from tests.daemon.running import Daemon, card, daemon, eventually, write

DATA = os.urandom(24 << 20)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


@pytest.fixture
def node() -> Iterator[Daemon]:
    with daemon() as running:
        yield running


def fetching(node: Daemon, origin: Origin) -> int:
    """Have the daemon fetch a checkpoint that comes slowly; give how much has come."""
    origin.put("/m.bin", DATA, rate=2e6)
    checksum = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    write(node.store / "m.yaml", card("m", checkpoint=origin.url("/m.bin"), checksum=checksum))
    eventually(lambda: node.client().maybe_get_metadata("m"))
    node.client().prefetch(["m"], wait=False)

    def come() -> int:
        downloads = node.client().status()["checkpoints"]["downloads"]
        return int(downloads[0]["done"]) if downloads else 0

    return eventually(lambda: come() if come() > 1 << 20 else 0)


def ends_in_order(node: Daemon) -> bool:
    assert node.process is not None
    node.signal(signal.SIGTERM)
    return node.process.wait(30) == 0 and "did not end within" not in node.log


def greedy(node: Daemon) -> socket.socket:
    """Connect a client that asks for more than it reads."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(node.socket))
    sock.setblocking(False)
    hello = protocol.request(1, "hello", [1, {}])
    sock.send(hello)
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(b"".join(protocol.request(n, "names", []) for n in range(2, 100)))
    return sock


def test_it_ends_in_order_with_a_download_watchers_and_a_client_that_reads_nothing(
    node: Daemon, origin: Origin
) -> None:
    write(node.store / "many.yaml", "---\n".join(card(f"card{n}") for n in range(2000)))
    eventually(lambda: len(node.client().asset_names) == 2000)
    watchers = [node.client().watch() for _ in range(3)]
    fetching(node, origin)
    with greedy(node):
        assert ends_in_order(node)
    assert len(watchers) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_downloaded_before_a_stop_or_a_crash_is_not_downloaded_again(
    origin: Origin, number: int
) -> None:
    with daemon(environ={"RESOLVERD_FETCH__CONNECTIONS": "1"}) as node:
        come = fetching(node, origin)
        assert node.process is not None
        node.signal(number)
        node.process.wait(30)
        resource = origin.resources["/m.bin"]
        resource.faults.rate = None
        asked = len(resource.requests)
        node.start()
        assert node.client(60).path("m").read_bytes() == DATA
        assert first_byte(resource.requests[asked]) >= come


def test_a_call_that_a_stop_cuts_is_answered_by_the_next_daemon(
    node: Daemon, origin: Origin
) -> None:
    fetching(node, origin)
    with ThreadPoolExecutor() as threads:
        path = threads.submit(node.client(60).path, "m")
        eventually(lambda: node.client().status()["checkpoints"]["downloads"][0]["requesters"] > 1)
        assert ends_in_order(node)
        origin.resources["/m.bin"].faults.rate = None
        node.start()
        assert path.result(60).read_bytes() == DATA


def test_what_never_answers_does_not_keep_it_from_ending() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], timeout=60, check=False)
    assert done.returncode == 0


STUCK = """
import threading
from resolverd.stopping import end_within
threading.Thread(target=threading.Event().wait).start()  # such as a read from a dead mount
end_within(0.1)
"""


def first_byte(request: dict[str, str]) -> int:
    """Where the range begins that a request asks for."""
    return int(request["range"].removeprefix("bytes=").partition("-")[0])
