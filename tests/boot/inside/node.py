"""The booted node, as an operator and a job handle it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from resolverd_client import Client

SOCKET = "/run/resolverd/resolverd.sock"
STORE = Path("/srv/assets")
CONFIG = Path("/etc/resolverd/config.toml")
DROP_IN = Path("/run/systemd/system/resolverd.service.d/check.conf")

T = TypeVar("T")


def eventually(probe: Callable[[], T], within: float = 60.0) -> T:
    """Ask until the answer is true; fail with the last answer when the time is over."""
    end = time.monotonic() + within
    while not (answer := probe()):
        assert time.monotonic() < end, f"not within {within} s; last answer: {answer!r}"
        time.sleep(0.01)
    return answer


def run(*command: str) -> str:
    """Run a command that must work; give what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done
    return done.stdout


def systemctl(*arguments: str) -> str:
    return run("systemctl", *arguments)


def shown(name: str, unit: str = "resolverd.service") -> str:
    """Give one property of a unit."""
    return systemctl("show", "--value", "--property", name, unit).strip()


def main_pid() -> int:
    return int(shown("MainPID"))


def client(timeout: float = 60) -> Client:
    return Client(socket_path=SOCKET, timeout=timeout)


def kill(number: int) -> int:
    """Signal the daemon; give its pid."""
    pid = main_pid()
    os.kill(pid, number)
    return pid


def entries(*matches: str) -> list[dict[str, Any]]:
    """Give the entries of the daemon's journal that match, such as ``RESOLVERD_EVENT=reload``."""
    run("journalctl", "--sync")
    told = run(
        "journalctl", "--boot", "--output=json", "--all", "--unit=resolverd.service", *matches
    )
    return [json.loads(line) for line in told.splitlines()]


def messages(*matches: str) -> list[str]:
    return [str(entry["MESSAGE"]) for entry in entries(*matches)]


def write_card(name: str, **fields: object) -> None:
    lines = {"name": name, **fields}.items()
    STORE.mkdir(parents=True, exist_ok=True)
    (STORE / f"{name}.yaml").write_text("".join(f"{key}: {value}\n" for key, value in lines))


def configure(text: str) -> None:
    CONFIG.parent.mkdir(parents=True, exist_ok=True)
    CONFIG.write_text(text)


@contextmanager
def dropped_in(text: str) -> Iterator[None]:
    """Run the service with a drop-in while the block runs."""
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text(f"[Service]\n{text}\n")
    systemctl("daemon-reload")
    systemctl("restart", "resolverd.service")
    try:
        yield
    finally:
        DROP_IN.unlink()
        systemctl("daemon-reload")
        systemctl("kill", f"--signal={signal.SIGCONT}", "resolverd.service")
        systemctl("restart", "resolverd.service")
