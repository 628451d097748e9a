"""``systemctl reload``: applied without a restart, refused when the configuration is wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from node import (
    CONFIG,
    STORE,
    client,
    configure,
    entries,
    eventually,
    main_pid,
    messages,
    shown,
    systemctl,
)


@pytest.fixture
def good() -> Iterator[str]:
    before = CONFIG.read_text()
    client().status()
    yield before
    configure(before)
    systemctl("reload", "resolverd.service")


def test_a_reload_applies_the_configuration_and_drops_no_connection(good: str) -> None:
    pid, connected = main_pid(), client()
    assert connected.status()["environment"] is None
    configure(good.replace("[stores]", '[stores]\nenvironment = "here"'))
    systemctl("reload", "resolverd.service")
    eventually(lambda: connected.status()["environment"] == "here")
    assert main_pid() == pid
    assert shown("ActiveState") == "active"


def test_a_wrong_configuration_fails_the_reload_and_changes_nothing(good: str) -> None:
    pid, reloads = main_pid(), len(entries("RESOLVERD_EVENT=reload"))
    configure("[stores]\npaths = 3\n")
    done = subprocess.run(["systemctl", "reload", "resolverd.service"], check=False)
    assert done.returncode != 0
    assert any(f"{CONFIG}: stores.paths: 3 is not allowed" in each for each in messages())
    assert len(entries("RESOLVERD_EVENT=reload")) == reloads
    assert main_pid() == pid
    assert shown("ActiveState") == "active"
    assert [store["location"] for store in client().status()["stores"]] == [str(STORE)]
