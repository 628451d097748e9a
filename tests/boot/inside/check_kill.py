"""Crashes and restarts under load: no connection is refused, no call lost."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from node import SOCKET, client, eventually, kill, main_pid, systemctl


class Load:
    """What clients do until they are told to stop; whatever goes wrong ends them."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def call(self) -> int:
        """Look things up; give how many calls were made."""
        calls, caller = 0, client()
        while not self.over.is_set():
            assert caller.get_metadata("first")["model_arch"] == "one"
            assert caller.resolve("first")["model_arch"] == "one"
            assert "first@" in caller.asset_names
            caller.clear_cache()
            calls += 3
        return calls

    def connect(self) -> int:
        """Connect, as plainly as can be; give how often."""
        connections = 0
        while not self.over.is_set():
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(SOCKET)
                connections += 1
        return connections


def crash() -> None:
    kill(signal.SIGKILL)


def restart() -> None:
    systemctl("restart", "resolverd.service")


@pytest.mark.parametrize(
    ("end", "times", "clients"),
    [
        pytest.param(crash, 20, 8, id="twenty kills"),
        pytest.param(restart, 5, 50, id="a rolling restart"),
    ],
)
def test_under_load_no_call_is_lost_and_no_connection_refused(
    end: Callable[[], None], times: int, clients: int
) -> None:
    load, ended = Load(), {0}
    with ThreadPoolExecutor(clients + 1) as threads:
        callers = [threads.submit(load.call) for _ in range(clients)]
        connector = threads.submit(load.connect)
        try:
            for _ in range(times):
                client().status()
                eventually(lambda: main_pid() not in ended)
                ended.add(main_pid())
                end()
            client().status()
        finally:
            load.over.set()
    assert min(caller.result() for caller in callers) > times
    assert connector.result() > times
    assert len(ended) == times + 1
    assert main_pid() not in ended
