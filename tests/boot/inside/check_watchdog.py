"""A daemon that does not serve any more is restarted, its stacks in the journal."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from node import client, dropped_in, eventually, kill, main_pid, messages, shown


@pytest.fixture(scope="module", autouse=True)
def _impatient() -> Iterator[None]:
    with dropped_in("WatchdogSec=2s\nEnvironment=PYTHONPATH=/checks/faults"):
        yield


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(signal.SIGSTOP, id="it is stopped"),
        pytest.param(signal.SIGUSR1, id="its loop hangs"),
        pytest.param(signal.SIGUSR2, id="its loop turns but it answers nobody"),
    ],
)
def test_a_daemon_that_does_not_serve_is_restarted_with_its_stacks_in_the_journal(
    fault: int,
) -> None:
    client().status()
    restarts = int(shown("NRestarts"))
    pid = kill(fault)
    eventually(lambda: int(shown("NRestarts")) == restarts + 1)
    assert client().status()["pid"] == main_pid() != pid
    told = messages(f"_PID={pid}")
    assert "Fatal Python error: Aborted" in told
    assert any("most recent call first" in line for line in told)
    assert any("resolverd/daemon.py" in line for line in told)


def test_a_daemon_that_serves_is_left_alone() -> None:
    restarts, pings = shown("NRestarts"), set()

    def pinged_often() -> bool:
        pings.add(shown("WatchdogTimestampMonotonic"))
        return len(pings) > 12  # three times the watchdog's patience

    client().status()
    eventually(pinged_often)
    assert shown("NRestarts") == restarts
