"""Where a client looks for its daemon, and what it says when there is none."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest
from resolverd_client import Client, DaemonUnavailableError, ProtocolError, RequestError, connection
from resolverd_client.connection import SYSTEM_SOCKET, socket_paths

from tests.client.test_trouble import in_child
from tests.serving.served import served


def test_the_named_socket_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESOLVERD_SOCKET", "/named.sock")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/5")
    assert socket_paths() == ["/named.sock"]


def test_the_users_socket_comes_before_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESOLVERD_SOCKET", "")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/5")
    assert socket_paths() == ["/run/user/5/resolverd/resolverd.sock", SYSTEM_SOCKET]
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert socket_paths() == [SYSTEM_SOCKET]


def test_a_client_finds_the_daemon_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with served() as server:
        monkeypatch.setenv("RESOLVERD_SOCKET", server.path)
        with Client() as client:
            assert "card1@" in client.asset_names


def test_a_path_too_long_is_said_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / ("x" * 120))
    begun = time.monotonic()
    with pytest.raises(DaemonUnavailableError, match=r"107.*RESOLVERD_SOCKET"):
        Client(path, timeout=30).get_names()
    assert time.monotonic() - begun < 5


def test_no_daemon_is_said_after_the_timeout(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(DaemonUnavailableError, match=r"No such file.*resolverd serve"):
        Client(str(tmp_path / "none.sock"), timeout=0.2).get_names()
    assert 0.19 < time.monotonic() - begun < 5


def test_a_timeout_of_nothing_tries_once(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnavailableError):
        Client(str(tmp_path / "none.sock"), timeout=0).get_names()


def test_a_socket_without_rights_is_said_at_once() -> None:
    with served() as server:
        os.chmod(server.path, 0)
        client = server.client(timeout=30)

        def refused() -> bool:
            if os.geteuid() == 0:
                os.setuid(65534)
            with pytest.raises(DaemonUnavailableError, match="no right"):
                client.get_names()
            return True

        assert in_child(refused)


def test_something_else_than_resolverd_is_a_protocol_error(tmp_path: Path) -> None:
    path = str(tmp_path / "other.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        client = Client(path, timeout=5)

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ProtocolError):
            client.get_names()
        thread.join(10)


@pytest.mark.parametrize("runtime", ["/x" * 60, "forbidden"])
def test_a_hopeless_user_socket_does_not_hide_the_system_daemon(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RESOLVERD_SOCKET", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    system = str(tmp_path / "system.sock")
    monkeypatch.setattr(connection, "SYSTEM_SOCKET", system)
    tried = []

    def connecting(path: str, _deadline: float) -> str:
        tried.append(path)
        if path != system:
            raise PermissionError(13, "Permission denied")
        return "connected"

    monkeypatch.setattr(connection, "Connection", connecting)
    assert connection.connect(connection.socket_paths(), 0.0) == "connected"
    assert tried[-1] == system


@pytest.mark.parametrize("timeout", [None, "5", -1, 1e300, 10**400, float("nan"), True])
def test_a_timeout_that_is_none_is_refused(timeout: object) -> None:
    with pytest.raises(RequestError, match="timeout must be"):
        Client(timeout=timeout)  # type: ignore[arg-type]
    if timeout is not None:
        with pytest.raises(RequestError, match="timeout must be"):
            Client(socket_path="/nowhere").path("x", timeout=timeout)


def test_a_socket_path_may_be_a_path_and_nothing_else(tmp_path: Path) -> None:
    assert str(tmp_path) in Client(socket_path=tmp_path / "s").source
    with pytest.raises(RequestError, match="socket_path must be a path"):
        Client(socket_path=3)  # type: ignore[arg-type]
