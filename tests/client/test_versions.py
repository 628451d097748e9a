"""Clients and daemons of different versions work together, or say what to upgrade."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
from resolverd_client import Client, ProtocolError, RequestError, protocol

from tests.serving.served import served

HELLO: dict[str, Any] = {"server": "resolverd/9.9", "pid": 1, "instance": b"i" * 16,
                         "generation": 1, "features": [], "version": 1}  # fmt: skip


def old_status(ident: int, method: str, _params: list[Any]) -> bytes:
    """Answer as a daemon whose status has hardly anything yet."""
    return protocol.response(ident, HELLO if method == "hello" else {"version": "0.9"})


@contextmanager
def daemon_of_another_version(
    folder: Path, answer: Callable[[int, str, list[Any]], bytes]
) -> Iterator[Client]:
    """Answer each request with what ``answer`` gives, as a daemon of another version."""

    def serve(peer: socket.socket) -> None:
        unpacker = msgpack.Unpacker()
        with peer:
            while data := peer.recv(65536):
                unpacker.feed(data)
                for _, ident, method, params in unpacker:
                    peer.sendall(answer(ident, method, params))

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return  # shut down
            threading.Thread(target=serve, args=(peer,), daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        listener.listen()
        accepting = threading.Thread(target=accept, args=(listener,))
        accepting.start()
        try:
            with Client(folder / "s", timeout=10) as client:
                yield client
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(20)
            assert not accepting.is_alive()


def test_a_newer_client_is_talked_down_to_what_the_daemon_speaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "VERSION", 7)
    with served() as server:
        client = server.client()
        assert client.maybe_get_metadata("card1@")
        assert client.call("echo", "hello") == "hello"


def test_a_newer_daemon_that_speaks_version_1_still_is_understood(tmp_path: Path) -> None:
    def answer(ident: int, method: str, params: list[Any]) -> bytes:
        if method == "hello":
            news = protocol.notification("weather", ["sunny"])
            more = {**HELLO, "features": ["page-of-tomorrow"], "mood": "good"}
            return protocol.response(ident, {**more, "version": min(params[0], 9)}) + news
        return protocol.response(ident, {"version": "9.9", "new": True})

    with daemon_of_another_version(tmp_path, answer) as client:
        assert client.status() == {"version": "9.9", "new": True}


def test_a_daemon_that_no_longer_speaks_version_1_says_to_upgrade_the_client(
    tmp_path: Path,
) -> None:
    def answer(ident: int, _method: str, _params: list[Any]) -> bytes:
        return protocol.error_response(ident, "protocol", "this daemon speaks versions 2 to 3", {})

    with (
        daemon_of_another_version(tmp_path, answer) as client,
        pytest.raises(ProtocolError, match=r"versions 2 to 3.*upgrade resolverd-client"),
    ):
        client.status()


@pytest.mark.parametrize("version", [2, 0, None, "1"])
def test_a_version_that_nobody_asked_for_is_refused(tmp_path: Path, version: object) -> None:
    def answer(ident: int, _method: str, _params: list[Any]) -> bytes:
        return protocol.response(ident, {**HELLO, "version": version})

    with (
        daemon_of_another_version(tmp_path, answer) as client,
        pytest.raises(ProtocolError, match="upgrade resolverd-client"),
    ):
        client.status()


def test_an_older_daemon_that_lacks_a_method_is_named() -> None:
    with served() as server:
        client = server.client()
        with pytest.raises(RequestError, match=r"resolverd/test.*upgrade the daemon") as caught:
            client.cache_list()
        assert caught.value.code == "unknown-method"
        assert client.maybe_get_metadata("card1@"), "all else goes on"
