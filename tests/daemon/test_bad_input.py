"""Whatever comes in wrong gets a clear answer, and the daemon serves on."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest
from resolverd_client import AssetNotFoundError, Client, RequestError

from tests.daemon.running import Daemon, card, daemon, eventually, write


@pytest.fixture(scope="module")
def node() -> Iterator[Daemon]:
    with daemon() as running:
        write(running.store / "a.yaml", card("llama", model_arch="1"))
        eventually(lambda: running.client().asset_names)
        yield running


@pytest.fixture(autouse=True)
def unharmed(node: Daemon) -> Iterator[None]:
    """After every test the same process still serves."""
    before = node.client().status()["pid"]
    yield
    assert node.client().get_metadata("llama")["model_arch"] == 1
    assert node.client().status()["pid"] == before


def connect(node: Daemon) -> socket.socket:
    raw = socket.socket(socket.AF_UNIX)
    raw.settimeout(10)
    raw.connect(str(node.socket))
    return raw


def read_until_closed(raw: socket.socket) -> bytes:
    data = b""
    while chunk := raw.recv(65536):
        data += chunk
    return data


def greeted(node: Daemon) -> socket.socket:
    raw = connect(node)
    raw.sendall(msgpack.packb([0, 1, "hello", [1, {}]]))
    raw.recv(65536)
    return raw


def test_an_unknown_name_is_no_card_and_an_error_that_names_it(node: Daemon) -> None:
    client = node.client()
    assert client.maybe_get_metadata("nobody") is None
    with pytest.raises(AssetNotFoundError, match="nobody"):
        client.get_metadata("nobody")
    with pytest.raises(AssetNotFoundError, match="nobody"):
        client.path("nobody")


def test_a_name_that_is_nearly_right_is_suggested(node: Daemon) -> None:
    assert "Did you mean llama?" in node.ctl("show", "lama").stderr


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("get", [3]),
        ("get", []),
        ("resolve", [["a"]]),
        ("list", [{"glob": 1}]),
        ("list", [{"colour": "red"}]),
        ("list", [{"kind": "poem"}]),
        ("path", ["llama"]),
        ("path", [{"name": "llama", "field": 3}]),
        ("path", [{"uri": "http://x/y", "kind": "poem"}]),
        ("path", [{"name": "llama"}, {"timeout": -1}]),
        ("path", [{"name": "llama"}, {"timeout": 1e300}]),
        ("path", [{"name": "llama"}, {"wait": "yes"}]),
        ("prefetch", ["llama"]),
        ("verify", [{"names": "llama"}]),
        ("watch", [7]),
    ],
)
def test_a_wrong_argument_is_named(node: Daemon, method: str, params: list[object]) -> None:
    with pytest.raises(RequestError) as caught:
        node.client().call(method, *params)
    assert caught.value.code == "bad-request"
    assert len(str(caught.value)) > 10


@pytest.mark.parametrize("uri", ["file:///a\0b", "file:///a%00b", "http://x/\ud800"])
@pytest.mark.parametrize("refresh", [False, True])
def test_a_uri_that_nothing_can_hold_is_refused(node: Daemon, uri: str, refresh: bool) -> None:
    with pytest.raises(RequestError, match="NUL or half a surrogate"):
        node.client().path(uri=uri, refresh=refresh)
    with pytest.raises(RequestError):
        node.client().prefetch([{"uri": uri}], refresh=refresh, wait=False)


def test_names_and_folders_that_no_terminal_shows_are_escaped() -> None:
    with daemon() as node:
        write(node.store / "a.yaml", 'name: "half\\ud800"\n')
        write(node.store / "new\nline\x1b[31m" / "b.yaml", "name: [")
        eventually(lambda: node.client().status()["problem_count"] == 1)
        listed = node.ctl("list")
        assert (listed.returncode, listed.stderr) == (0, "")
        assert "half\\ud800" in listed.stdout
        assert json.loads(node.ctl("list", "--json").stdout)[0]["name"] == "half\ud800@"
        for told in (node.ctl("status").stdout, node.log):
            assert "\x1b" not in told
            assert "new\\nline" in told


def test_a_secret_in_a_uri_is_in_no_answer_and_no_log(node: Daemon) -> None:
    uri = "http://me:hunter2@127.0.0.1:9/m?token=hunter3&sig=hunter4"
    done = node.ctl("prefetch", uri, "--timeout", "0.5")
    assert done.returncode == 1
    for told in (done.stdout, done.stderr, node.log, repr(node.client().status())):
        assert "hunter" not in told


def test_what_can_not_be_fetched_at_all_is_refused_without_waiting(node: Daemon) -> None:
    done = node.ctl("prefetch", "gopher://x/y", "--no-wait")
    assert done.returncode == 1
    assert "gopher" in done.stdout


def test_a_target_that_is_no_map_costs_only_itself(node: Daemon) -> None:
    results = node.client().call("prefetch", [3, {"name": "nobody"}])
    assert [each["error"]["code"] for each in results] == ["bad-request", "not-found"]


def test_what_is_published_is_for_others_whatever_the_umask() -> None:
    with daemon(wrapper=["sh", "-c", 'umask 077; exec "$@"', "sh"]) as node:
        write(node.store / "a.yaml", card("a"))
        eventually((node.cache / "index.snapshot").exists)
        assert node.cache.stat().st_mode & 0o777 == 0o755
        assert node.socket.stat().st_mode & 0o777 == 0o666


def test_an_unknown_method_is_named(node: Daemon) -> None:
    with pytest.raises(RequestError, match="frobnicate") as caught:
        node.client().call("frobnicate")
    assert caught.value.code == "unknown-method"


@pytest.mark.parametrize(
    "frame",
    [
        b"\xc1",
        b"GET / HTTP/1.1\r\n\r\n",
        msgpack.packb({"method": "get"}),
        msgpack.packb([0, "id", "get", ["x"]]),
        msgpack.packb([9, 1, "get", ["x"]]),
        struct.pack(">BI", 0xDD, 0xFFFFFFFF),
        b"\x91" * 100_000 + b"\xc0",
    ],
)
def test_a_malformed_frame_ends_only_its_connection_with_the_reason(
    node: Daemon, frame: bytes
) -> None:
    with greeted(node) as raw:
        raw.sendall(frame)
        assert b"protocol" in read_until_closed(raw)


def test_an_oversized_frame_ends_only_its_connection(node: Daemon) -> None:
    with greeted(node) as raw:
        try:
            raw.sendall(msgpack.packb([0, 2, "get", ["x" * (2 << 20)]]))
            assert b"error" in read_until_closed(raw)
        except (BrokenPipeError, ConnectionResetError):
            pass  # closed while it was still being sent, which is as good


def test_a_client_that_dies_in_the_middle_of_a_request_harms_nobody(node: Daemon) -> None:
    for cut in (1, 5, 12):
        with greeted(node) as raw:
            raw.sendall(msgpack.packb([0, 2, "list", [{}]])[:cut])
    with greeted(node) as raw:
        raw.sendall(msgpack.packb([0, 2, "list", [{}]]))


def serve(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Start a daemon that is expected to refuse."""
    return subprocess.run(
        [sys.executable, "-m", "resolverd", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **environ},
    )


def test_a_socket_of_a_live_daemon_is_not_taken(node: Daemon) -> None:
    refused = serve("--store", str(node.store), "--socket", str(node.socket))
    assert refused.returncode == 1
    assert "in use" in refused.stderr
    assert str(node.client().status()["pid"]) in refused.stderr


def test_a_socket_path_that_is_too_long_is_refused_with_the_limit(tmp_path: Path) -> None:
    refused = serve("--store", str(tmp_path), "--socket", str(tmp_path / ("x" * 110)))
    assert refused.returncode == 1
    assert "107" in refused.stderr or "108" in refused.stderr


def test_a_file_in_place_of_the_socket_is_not_removed(tmp_path: Path) -> None:
    with daemon(start=False) as other:
        write(other.socket, "precious")
        refused = serve("--store", str(tmp_path), "--socket", str(other.socket))
        assert refused.returncode == 1
        assert "not a socket" in refused.stderr
        assert other.socket.read_text() == "precious"


def test_the_socket_of_a_dead_daemon_is_replaced() -> None:
    with daemon() as node:
        node.kill()
        assert node.socket.exists()
        node.start()
        assert node.client().asset_names == set()


def test_a_missing_store_is_served_empty_and_told(tmp_path: Path) -> None:
    with daemon(stores=[str(tmp_path / "nowhere")]) as node:
        status = node.client().status()
        assert status["stores"][0]["state"] == "missing"
        assert "nowhere" in status["problems"][0]["text"]
        write(tmp_path / "nowhere" / "a.yaml", card("a"))
        eventually(lambda: node.client().asset_names == {"a@"})


def test_a_bad_configuration_is_refused_with_every_problem(tmp_path: Path) -> None:
    file = write(tmp_path / "c.toml", "[daemon]\nlog_level = 3\n[fetch]\nconcurrency = 'many'\n")
    refused = serve("--config", str(file))
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 2
    checked = subprocess.run(
        [sys.executable, "-m", "resolverd", "check-config", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (1, refused.stderr)


def test_a_store_that_is_no_store_is_refused() -> None:
    refused = serve("--store", "package:no-such name")
    assert refused.returncode == 1
    assert "not a dotted package name" in refused.stderr


def test_a_cache_that_cannot_be_written_serves_cards_and_says_what_to_do(tmp_path: Path) -> None:
    occupied = write(tmp_path / "file", "")
    with daemon(start=False) as node:
        write(node.store / "a.yaml", card("a", checkpoint="http://127.0.0.1:9/x"))
        os.symlink(occupied, node.cache)
        node.start()
        client = node.client()
        assert client.asset_names == {"a@"}
        eventually(lambda: any("index.snapshot" in text for text in client.status()["warnings"]))
        with pytest.raises(Exception, match="cache"):
            client.path("a", timeout=20)
        assert client.asset_names == {"a@"}


def test_a_user_without_a_runtime_folder_is_told_to_name_a_socket(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        code = (
            "import os, resolverd.cli as c, resolverd.daemon; os.setuid(65534); c.main(['serve'])"
        )
        command = [sys.executable, "-c", code]
    else:
        command = [sys.executable, "-m", "resolverd", "serve"]
    environ = {k: v for k, v in os.environ.items() if k not in {"XDG_RUNTIME_DIR", "HOME"}}
    refused = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env=environ
    )
    assert refused.returncode == 1
    assert "--socket" in refused.stderr


def test_the_client_says_which_sockets_it_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESOLVERD_SOCKET", "/nonexistent/s")
    with pytest.raises(ConnectionError, match="/nonexistent/s"):
        Client(timeout=0.1).status()


def test_a_daemon_whose_standard_streams_are_closed_serves() -> None:
    with daemon(wrapper=("sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh")) as node:
        write(node.store / "a.yaml", card("a", model_arch="1"))
        eventually(lambda: node.client().asset_names == {"a@"})
