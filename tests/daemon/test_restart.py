"""What a restart keeps, and what it does not trust."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator

import pytest

from tests.daemon.running import Daemon, card, daemon, eventually, write


@pytest.fixture
def node() -> Iterator[Daemon]:
    with daemon() as running:
        yield running


def test_a_restart_serves_what_changed_while_the_daemon_was_away(node: Daemon) -> None:
    client = node.client()
    write(node.store / "a.yaml", card("a", model_arch="1"))
    gone = write(node.store / "b.yaml", card("b", model_arch="1"))
    eventually(lambda: client.asset_names == {"a@", "b@"})
    node.stop()
    write(node.store / "a.yaml", card("a", model_arch="two"))
    gone.unlink()
    write(node.store / "c.yaml", card("c", model_arch="1"))
    node.start()
    assert client.asset_names == {"a@", "c@"}
    assert client.get_metadata("a")["model_arch"] == "two"


@pytest.mark.parametrize("damage", ["a flipped bit", "truncation", "nothing left"])
def test_a_damaged_snapshot_is_ignored(node: Daemon, damage: str) -> None:
    client = node.client()
    write(node.store / "a.yaml", card("a", model_arch="1"))
    eventually(lambda: client.asset_names == {"a@"})
    node.stop()
    snapshot = node.cache / "index.snapshot"
    data = bytearray(snapshot.read_bytes())
    if damage == "a flipped bit":
        data[len(data) // 2] ^= 4
    snapshot.write_bytes(data[: {"truncation": len(data) // 2, "nothing left": 0}.get(damage)])
    node.start()
    assert client.asset_names == {"a@"}
    assert "damaged" in node.log


def test_a_snapshot_that_is_a_fifo_holds_no_start_up(node: Daemon) -> None:
    node.stop()
    snapshot = node.cache / "index.snapshot"
    snapshot.unlink(missing_ok=True)
    os.mkfifo(snapshot)
    write(node.store / "a.yaml", card("a", model_arch="1"))
    node.start()
    assert node.client().asset_names == {"a@"}
    assert "it is not a regular file" in node.log


def test_the_last_good_cards_of_a_lost_root_survive_a_restart(node: Daemon) -> None:
    client = node.client()
    write(node.store / "a.yaml", card("a", model_arch="1"))
    eventually(lambda: client.asset_names == {"a@"})
    node.stop()
    shutil.rmtree(node.store)
    node.start()
    assert client.get_metadata("a")["model_arch"] == 1
    assert [c["state"] for c in client.list()] == ["stale"]


def test_a_client_goes_on_after_a_restart_and_sees_the_new_cards(node: Daemon) -> None:
    client = node.client(timeout=20)
    write(node.store / "a.yaml", card("a", model_arch="1"))
    eventually(lambda: client.maybe_get_metadata("a"))
    node.kill()
    write(node.store / "a.yaml", card("a", model_arch="two"))
    node.start()
    assert client.get_metadata("a")["model_arch"] == "two"


def test_a_watcher_hears_after_a_restart_what_it_missed(node: Daemon) -> None:
    client = node.client(timeout=20)
    write(node.store / "a.yaml", card("a", model_arch="1"))
    eventually(lambda: client.maybe_get_metadata("a"))
    events = client.watch("a*")
    node.kill()
    write(node.store / "a.yaml", card("a", model_arch="two"))
    node.start()
    assert next(events)["changed"] == ["a@"]


def test_a_stopped_daemon_removes_its_socket_and_exits_0(node: Daemon) -> None:
    assert node.process is not None
    node.signal(signal.SIGTERM)
    assert node.process.wait(10) == 0
    assert not node.socket.exists()


def test_an_interrupted_daemon_exits_0(node: Daemon) -> None:
    assert node.process is not None
    node.signal(signal.SIGINT)
    assert node.process.wait(10) == 0
