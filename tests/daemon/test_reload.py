"""SIGHUP: the configuration is read again without dropping a connection."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from resolverd_client import DaemonUnavailableError, RequestError

from tests.checkpoints.origin import Origin
from tests.daemon.running import card, daemon, eventually, write


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with the store `one`; there is also `two`."""
    for name in ("one", "two"):
        text = "---\n".join(
            (card(name), card("both", model_arch=name), card("one@there", model_arch=name))
        )
        write(tmp_path / name / "c.yaml", text)
    return write(tmp_path / "config.toml", stores(tmp_path, "one"))


def stores(folder: Path, *names: str) -> str:
    return f"[stores]\npaths = {[str(folder / name) for name in names]}\n"


def test_new_stores_are_served_and_watched_and_old_ones_are_not(
    config: Path, tmp_path: Path
) -> None:
    with daemon("--config", str(config), stores=[]) as node:
        client = node.client()
        assert client.asset_names == {"one@", "both@", "one@there"}
        config.write_text(stores(tmp_path, "two"))
        node.signal(signal.SIGHUP)
        eventually(lambda: client.asset_names == {"two@", "both@", "one@there"})
        write(tmp_path / "two" / "new.yaml", card("new"))
        eventually(lambda: "new@" in client.asset_names)


def test_another_order_of_stores_decides_anew_who_wins(config: Path, tmp_path: Path) -> None:
    with daemon("--config", str(config), stores=[]) as node:
        client = node.client()
        assert client.get_metadata("both")["model_arch"] == "one"
        config.write_text(stores(tmp_path, "two", "one"))
        node.signal(signal.SIGHUP)
        eventually(lambda: client.get_metadata("both")["model_arch"] == "two")


def test_another_environment_is_used_at_once(config: Path) -> None:
    with daemon("--config", str(config), stores=[]) as node:
        client = node.client()
        assert "model_arch" not in client.resolve("one")
        config.write_text(config.read_text() + 'environment = "there"\n')
        node.signal(signal.SIGHUP)
        eventually(lambda: client.status()["environment"] == "there")
        assert client.resolve("one")["model_arch"] == "one"


def test_a_bad_configuration_changes_nothing_and_is_told(config: Path) -> None:
    with daemon("--config", str(config), stores=[]) as node:
        before = node.client().status()["pid"]
        config.write_text("[stores]\npaths = 3\n")
        node.signal(signal.SIGHUP)
        eventually(lambda: "the configuration stays as it was" in node.log)
        assert node.client().asset_names == {"one@", "both@", "one@there"}
        assert node.client().status()["pid"] == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only a system daemon is bound to its stores")
def test_a_new_stores_files_can_be_fetched_and_an_old_ones_no_more(
    config: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        write(tmp_path / name / "weights.bin", name)
    with daemon("--config", str(config), stores=[]) as node:
        client = node.client()

        def may(name: str) -> bool:
            try:
                client.path(uri=f"file://{tmp_path / name / 'weights.bin'}")
            except RequestError as error:
                return error.code != "denied"
            return True

        assert (may("one"), may("two")) == (True, False)
        config.write_text(stores(tmp_path, "two"))
        node.signal(signal.SIGHUP)
        eventually(lambda: may("two"))
        assert not may("one")


def test_rules_for_fetching_are_applied_at_once(config: Path) -> None:
    with Origin() as origin, daemon("--config", str(config), stores=[]) as node:
        origin.put("/m.bin", b"weights")
        client = node.client()
        config.write_text(config.read_text() + '[fetch]\nschemes = ["file"]\n')
        node.signal(signal.SIGHUP)
        eventually(lambda: node.log.count("configuration read again") == 1)
        with pytest.raises(RequestError):
            client.path(uri=origin.url("/m.bin"))
        config.write_text(config.read_text().replace('"file"', '"http"'))
        node.signal(signal.SIGHUP)
        eventually(lambda: node.log.count("configuration read again") == 2)
        assert client.path(uri=origin.url("/m.bin")).read_bytes() == b"weights"


def test_a_lower_number_of_connections_holds_for_new_ones(config: Path) -> None:
    with daemon("--config", str(config), stores=[]) as node:
        kept = node.client()
        kept.status()
        config.write_text(config.read_text() + "[daemon]\nmax_connections = 1\n")
        node.signal(signal.SIGHUP)
        eventually(lambda: "configuration read again" in node.log)
        with pytest.raises(DaemonUnavailableError):
            node.client(timeout=0.2).status()
        assert kept.status()["clients"], "who was there before stays"


def test_what_only_a_restart_applies_is_named(config: Path, tmp_path: Path) -> None:
    with daemon("--config", str(config), stores=[]) as node:
        config.write_text(config.read_text() + '[daemon]\nsocket_mode = "0600"\n')
        node.signal(signal.SIGHUP)
        eventually(lambda: "only a restart applies daemon.socket_mode" in node.log)


def test_a_configuration_that_never_comes_holds_up_neither_lookups_nor_the_end(
    config: Path,
) -> None:
    with daemon("--config", str(config), stores=[]) as node:
        config.unlink()
        os.mkfifo(config)  # as a file on a mount that hangs
        node.signal(signal.SIGHUP)
        assert node.client().asset_names == {"one@", "both@", "one@there"}
        assert node.process is not None
        node.signal(signal.SIGTERM)
        assert node.process.wait(30) == 0


def test_a_reload_that_comes_while_the_stores_are_read_is_done_after_that(config: Path) -> None:
    with daemon("--config", str(config), stores=[], start=False) as node:
        with (node.folder / "log").open("ab") as log:
            node.process = subprocess.Popen(node.command, stderr=log)
        eventually(lambda: "starting" in node.log)
        node.signal(signal.SIGHUP)
        eventually(lambda: "configuration read again" in node.log)
        assert node.log.index("serving 3 cards") < node.log.index("configuration read again")
