"""The socket starts the service, and the service says when it serves."""

from __future__ import annotations

import os
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from node import (
    SOCKET,
    client,
    entries,
    eventually,
    main_pid,
    messages,
    shown,
    systemctl,
    write_card,
)


def test_the_first_connection_starts_the_service_and_is_answered() -> None:
    systemctl("stop", "resolverd.service")
    assert shown("ActiveState", "resolverd.socket") == "active"
    assert client().get_metadata("first")["model_arch"] == "one"
    assert client().status()["pid"] == main_pid()


def test_the_service_is_active_once_it_serves_and_says_how_it_fares() -> None:
    eventually(lambda: shown("ActiveState") == "active")
    assert shown("Type") == "notify"
    cards = client().status()["cards"]
    eventually(lambda: re.match(rf"serving {cards} cards? of 1 store", shown("StatusText")))
    write_card("broken", model_arch="[")
    eventually(lambda: "1 problem: see" in shown("StatusText"))
    os.unlink("/srv/assets/broken.yaml")


def test_two_hundred_first_connections_at_once_are_answered_by_one_daemon() -> None:
    systemctl("stop", "resolverd.service")
    starts = len(entries("RESOLVERD_EVENT=start"))
    sockets = [socket.socket(socket.AF_UNIX) for _ in range(200)]
    for sock in sockets:
        sock.connect(SOCKET)  # none is refused; only the daemon that comes can answer them
    with ThreadPoolExecutor(200) as threads:
        pids = set(threads.map(lambda _: client().status()["pid"], range(200)))
    for sock in sockets:
        sock.close()
    assert pids == {main_pid()}
    assert len(entries("RESOLVERD_EVENT=start")) == starts + 1


def test_a_stop_is_orderly_and_quick_and_the_socket_stays() -> None:
    client().status()
    begun = time.monotonic()
    systemctl("stop", "resolverd.service")
    assert time.monotonic() - begun < 10  # TimeoutStopSec=, after which it would be killed
    assert shown("Result") == "success"
    assert shown("ExecMainStatus") == "0"
    assert os.path.exists(SOCKET)
    assert "stopping" in messages("RESOLVERD_EVENT=stop")


def test_the_journal_holds_priorities_and_fields() -> None:
    client().status()
    (entry,) = entries("RESOLVERD_EVENT=start")[-1:]
    assert entry["PRIORITY"] == "6"
    assert entry["SYSLOG_IDENTIFIER"] == "resolverd"
    assert entry["RESOLVERD_SOCKET"] == SOCKET
    assert entry["_SYSTEMD_UNIT"] == "resolverd.service"
