"""kill -9 under load: no connection is refused, no call lost."""

from __future__ import annotations

import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

from node import SOCKET, client, eventually, kill, main_pid, shown

KILLS, CLIENTS = 20, 8


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


def test_twenty_kills_under_load_lose_no_call_and_refuse_no_connection() -> None:
    load, restarts = Load(), int(shown("NRestarts"))
    with ThreadPoolExecutor(CLIENTS + 1) as threads:
        callers = [threads.submit(load.call) for _ in range(CLIENTS)]
        connector = threads.submit(load.connect)
        try:
            killed: set[int] = set()
            for _ in range(KILLS):
                eventually(
                    lambda: main_pid() not in {0, *killed} and shown("SubState") == "running"
                )
                client().status()
                killed.add(kill(signal.SIGKILL))
            client().status()
        finally:
            load.over.set()
    counts = [caller.result() for caller in callers]
    assert min(counts) > KILLS
    assert connector.result() > KILLS
    assert int(shown("NRestarts")) == restarts + KILLS
