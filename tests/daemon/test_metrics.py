"""The daemon's metrics, as Prometheus and node_exporter read them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from resolverd_client import ResolverdError

from tests.checkpoints.origin import Origin
from tests.daemon.running import Daemon, card, daemon, eventually, write

WEIGHTS = b"weights" * 1000


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as running:
        running.put("/m.bin", WEIGHTS)
        yield running


@pytest.fixture(scope="module")
def node(origin: Origin) -> Iterator[Daemon]:
    with daemon(start=False) as running:
        configure(running, listen=running.folder / "m", textfile=running.folder / "node.prom")
        write(running.store / "good.yaml", card("good", checkpoint=origin.url("/m.bin?token=5e3")))
        write(running.store / "bad.yaml", "name: bad\nname: twice\n")
        running.start()
        eventually((running.folder / "m").exists)
        yield running


def configure(node: Daemon, **metrics: object) -> None:
    lines = "".join(f'{key} = "{value}"\n' for key, value in metrics.items())
    file = write(
        node.folder / "config.toml",
        f"fetch.attempts = 1\n[metrics]\ntextfile_interval = 1\n{lines}",
    )
    node.arguments = ["--config", str(file)]


def asked(address: Path | tuple[str, int], request: bytes) -> bytes:
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family) as sock:
        sock.settimeout(30)
        sock.connect(str(address) if isinstance(address, Path) else address)
        sock.sendall(request)
        answer = b""
        while data := sock.recv(1 << 16):
            answer += data
    return answer


def page(address: Path | tuple[str, int]) -> str:
    head, _, body = asked(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").partition(
        b"\r\n\r\n"
    )
    assert head.startswith(b"HTTP/1.1 200 "), head
    assert f"Content-Length: {len(body)}".encode() in head
    return body.decode()


def values(text: str) -> dict[str, float]:
    """Read every sample, by its name and its labels' values."""
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def seen(node: Daemon) -> dict[str, float]:
    return values(page(node.folder / "m"))


def test_cards_stores_and_problems_are_counted(node: Daemon) -> None:
    told, store = seen(node), f"path:{node.store}"
    assert told[f"resolverd_store_up {store}"] == 1
    assert told[f"resolverd_store_cards {store}"] == 1
    assert told[f"resolverd_store_problems {store}"] == 1
    assert told["resolverd_problems error"] == 1
    assert told["resolverd_generation"] >= 1
    assert told["resolverd_reload_seconds_count"] >= 1
    assert told["resolverd_build_info 0.1.0"] == 1
    assert told["resolverd_process_resident_bytes"] > 1 << 20


def test_lookups_are_counted_also_of_clients_that_are_gone(node: Daemon) -> None:
    before = seen(node)
    for _ in range(3):
        with node.client() as client:
            client.maybe_get_metadata("good@")
            client.maybe_get_metadata("nobody@")
    node.client().resolve("good")
    after = seen(node)

    def more(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert more("resolverd_lookups_total get") == 6
    assert more("resolverd_lookups_total resolve") == 1
    assert more("resolverd_lookup_seconds_count") == 3, "the first lookup of a connection is timed"


def test_errors_are_counted_by_their_code(node: Daemon) -> None:
    before = seen(node).get("resolverd_request_errors_total unknown-method", 0)
    with pytest.raises(ResolverdError):
        node.client().call("frobnicate")
    assert seen(node)["resolverd_request_errors_total unknown-method"] == before + 1


def test_what_is_fetched_verified_and_found_again_is_counted(node: Daemon, origin: Origin) -> None:
    node.client().path("good")
    node.client().path("good")
    told = seen(node)
    assert told["resolverd_fetched_bytes_total"] == len(WEIGHTS)
    assert told["resolverd_verified_bytes_total"] == len(WEIGHTS)
    assert told["resolverd_cache_bytes"] >= len(WEIGHTS)
    assert (told["resolverd_cache_hits_total"], told["resolverd_cache_misses_total"]) == (1, 1)
    with pytest.raises(ResolverdError):
        node.client().path(uri=origin.url("/m.bin"), checksum=f"sha256:{'0' * 64}")
    with pytest.raises(ResolverdError):
        node.client().path(uri=origin.url("/nothing"))
    told = seen(node)
    assert told["resolverd_failures_total verification"] == 1
    assert told["resolverd_failures_total origin"] == 1


def test_what_is_removed_is_counted(node: Daemon, origin: Origin) -> None:
    client = node.client()
    client.path(uri=origin.url("/m.bin?again"))
    before = seen(node)
    client.cache_remove([origin.url("/m.bin?again")])
    after = eventually(lambda: (now := seen(node))["resolverd_evictions_total"] > 0 and now)
    assert after["resolverd_evictions_total"] == before["resolverd_evictions_total"] + 1
    assert after["resolverd_cache_objects"] == before["resolverd_cache_objects"] - 1


def test_no_uri_reaches_the_page(node: Daemon) -> None:
    with pytest.raises(ResolverdError):
        node.client().path(uri="http://127.0.0.1:1/x?token=5e3")
    text = page(node.folder / "m")
    assert "5e3" not in text
    assert "127.0.0.1" not in text


def test_openmetrics_is_spoken_to_who_asks_for_it(node: Daemon) -> None:
    request = b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n"
    answer = asked(node.folder / "m", request)
    assert b"Content-Type: application/openmetrics-text" in answer
    assert answer.endswith(b"# EOF\n")


def test_the_text_file_is_kept_and_readable_by_all(node: Daemon) -> None:
    file = node.folder / "node.prom"
    eventually(file.exists)
    assert "resolverd_generation" in values(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"\x00\xff\r\n\r\n", b"400"),
        (b"GET /metrics SPDY\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nA: " + b"x" * 8300 + b"\r\n\r\n", b"431"),
        (b"GET /metrics HTTP/1.1\r\n" + b"A: x\r\n" * 200 + b"\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\n: \xff\r\n\r\n", b"200"),
    ],
    ids=["path", "method", "bytes", "protocol", "long", "many", "odd"],
)
def test_whatever_is_asked_gets_its_answer(node: Daemon, request_: bytes, status: bytes) -> None:
    assert asked(node.folder / "m", request_).split()[1] == status


def test_who_connects_and_says_nothing_keeps_no_one_out(node: Daemon) -> None:
    idle = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    try:
        for each in idle:
            each.connect(str(node.folder / "m"))
        assert page(node.folder / "m")
    finally:
        for each in idle:
            each.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        number: int = sock.getsockname()[1]
    return number


def test_a_reload_begins_moves_and_ends_the_metrics() -> None:
    with daemon(start=False) as node:
        configure(node)
        node.start()
        port = free_port()
        configure(node, listen=f"127.0.0.1:{port}")
        node.signal(signal.SIGHUP)
        eventually(lambda: f"metrics: 127.0.0.1:{port}" in node.log)
        assert page(("127.0.0.1", port))
        configure(node, textfile=node.folder / "x.prom")
        node.signal(signal.SIGHUP)
        eventually((node.folder / "x.prom").exists)
        with pytest.raises(ConnectionRefusedError):
            asked(("127.0.0.1", port), b"")
        node.stop()
        assert not (node.folder / "x.prom").exists(), "nobody keeps it true any more"


def test_metrics_that_cannot_be_shown_are_a_warning_and_cards_are_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, daemon(start=False) as node:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        configure(node, listen=address, textfile="/nowhere/x.prom")
        node.start()
        warnings = eventually(lambda: (w := node.client().status()["warnings"])[1:] and w)
        assert any(address in each and "in use" in each for each in warnings)
        assert any("/nowhere/x.prom" in each for each in warnings)


def test_without_metrics_their_library_is_not_loaded() -> None:
    program = "import sys, resolverd.daemon; sys.exit('prometheus_client' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
