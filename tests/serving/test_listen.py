"""Binding: long paths, live daemons, stale files, directories, systemd."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from resolverd.errors import ConfigError
from resolverd.serving.listen import bind, from_systemd
from tests.serving.served import served


def test_a_path_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at most 107: choose a shorter one"):
        bind(str(tmp_path / ("x" * 120)))


def test_directories_and_socket_get_their_modes(tmp_path: Path) -> None:
    path = tmp_path / "run" / "resolverd" / "s.sock"
    listener = bind(str(path), mode=0o660, directory_mode=0o750)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    listener.close()
    assert not path.exists()


def test_a_live_daemon_is_not_pushed_aside_and_its_pid_is_told() -> None:
    with served() as server:
        with pytest.raises(ConfigError, match=f"the process {server.process.pid} listens there"):
            bind(server.path)
        with server.client() as client:
            assert client.get_names()


def test_a_live_foreign_socket_is_not_pushed_aside(tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        with pytest.raises(ConfigError, match=f"the process {os.getpid()} listens there"):
            bind(path)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)


def test_the_stale_socket_of_a_killed_daemon_is_replaced() -> None:
    with served() as server:
        server.stop()
        assert os.path.exists(server.path)
        bind(server.path).close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ConfigError, match="not a socket: remove it"):
        bind(str(path))
    assert path.read_text() == "data"


def test_of_daemons_that_start_at_once_exactly_one_wins(tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    code = (
        "import sys\nfrom resolverd.serving.listen import bind\n"
        "sys.stdin.readline()\n"
        "try: bind(sys.argv[1])\n"
        "except Exception as error: print('lost', flush=True)\n"
        "else: print('won', flush=True)\n"
        "sys.stdin.readline()"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) for _ in range(4)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.stdout.readline().strip() for racer in racers if racer.stdout is not None]
    for racer in racers:
        racer.communicate("stop\n", timeout=20)
    assert sorted(said) == ["lost", "lost", "lost", "won"]


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"can't listen on .*choose another"):
        bind(str(tmp_path / "file" / "s.sock"))


SYSTEMD = """
import os, socket, sys
from resolverd.serving.listen import from_systemd
kind = sys.argv[1]
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if kind == "dgram" else socket.SOCK_STREAM)
sock.bind(sys.argv[2])
if kind == "listening":
    sock.listen()
os.dup2(sock.fileno(), 3)
environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": sys.argv[3], "LISTEN_FDNAMES": "x"}
try:
    listener = from_systemd(environ)
    assert not environ, environ
    assert not os.get_inheritable(3)
    listener.close()
    print("took", listener.path, os.path.exists(listener.path))
except Exception as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("kind", "count", "says"),
    [
        ("listening", "1", "took"),
        ("stream", "1", "no listening"),
        ("dgram", "1", "no listening"),
        ("listening", "2", "takes one"),
    ],
)
def test_the_socket_that_systemd_passes_is_taken_and_never_unlinked(
    tmp_path: Path, kind: str, count: str, says: str
) -> None:
    path = str(tmp_path / "s.sock")
    command = [sys.executable, "-c", SYSTEMD, kind, path, count]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert says in said
    if says == "took":
        assert said.strip() == f"took {path} True"


def test_variables_meant_for_another_process_are_ignored() -> None:
    assert from_systemd({}) is None
    assert from_systemd({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) is None
