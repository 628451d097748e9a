"""The daemon and a service manager: the notify socket, the watchdog, the socket that waits."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.running import Daemon, card, daemon, eventually, write
from tests.serving.test_systemd import Manager


def told(manager: Manager, wanted: Callable[[str], bool]) -> str:
    """Wait for a message."""
    while not wanted(message := manager.hear()):
        pass
    return message


def test_the_manager_hears_of_start_reload_stop_and_how_it_fares(tmp_path: Path) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    with Manager(environ["NOTIFY_SOCKET"]) as manager, daemon(environ=environ) as node:
        told(manager, lambda message: message == "READY=1")
        write(node.store / "a.yaml", card("a"))
        told(manager, lambda message: message == "STATUS=serving 1 card of 1 store")
        for _ in range(3):
            told(manager, lambda message: message == "WATCHDOG=1")
        node.signal(signal.SIGHUP)
        told(manager, lambda message: message.startswith("RELOADING=1\nMONOTONIC_USEC="))
        told(manager, lambda message: message == "READY=1")
        node.stop()
        told(manager, lambda message: message.startswith("STOPPING=1"))


def test_a_daemon_that_can_not_start_says_why_before_it_is_started_again(tmp_path: Path) -> None:
    notify = str(tmp_path / "notify")
    with Manager(notify) as manager, daemon("--config", "/none", start=False) as node:
        node.environ = {"NOTIFY_SOCKET": notify}
        started(node, node.command)
        status = "STATUS=can't start: /none: cannot be read: No such file or directory."
        told(manager, lambda message: message.startswith(status))
        assert node.process is not None
        assert node.process.wait(30) == 1


def test_an_abort_leaves_the_stacks_of_all_threads_in_the_log() -> None:
    with daemon() as node:
        node.signal(signal.SIGABRT)
        assert node.process is not None
        assert node.process.wait(30) == -signal.SIGABRT
        assert "Fatal Python error: Aborted" in node.log
        assert node.log.count("(most recent call first)") > 1
        assert "resolverd/daemon.py" in node.log


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None, reason="there is no systemd-socket-activate"
)
def test_systemd_holds_the_socket_before_during_and_after_the_daemon(tmp_path: Path) -> None:
    with daemon(start=False) as node:
        write(node.store / "a.yaml", card("a", model_arch="one"))
        listen = ["systemd-socket-activate", f"--listen={node.socket}", "--"]
        place = node.command.index("--socket")
        serve = [*node.command[:place], *node.command[place + 2 :]]
        started(node, [*listen, *serve])
        eventually(node.socket.exists)
        assert "resolverd" not in node.log  # it waits for a connection
        with socket.socket(socket.AF_UNIX) as early:
            # Bound a moment before it listens
            eventually(lambda: early.connect_ex(str(node.socket)) == 0)
            assert node.client(60).get_metadata("a")["model_arch"] == "one"
        assert node.client().status()["socket"] == str(node.socket)
        node.stop()
        assert stat.S_ISSOCK(node.socket.stat().st_mode)


def started(node: Daemon, command: list[str]) -> None:
    with (node.folder / "log").open("ab") as log:
        node.process = subprocess.Popen(command, stderr=log, env={**os.environ, **node.environ})
