"""Bounds that a whole server is set to: stalled readers, connections, descriptors; and its end."""

from __future__ import annotations

import os
import signal
import socket

import pytest
from resolverd_client import protocol

from tests.serving.served import eventually, served


def test_a_client_that_reads_nothing_at_all_is_dropped() -> None:
    with served("--limit", "stalled=0.2") as server, server.raw() as raw:
        raw.send(protocol.request(1, "get", ["large@"]))
        with server.client() as client:
            eventually(lambda: client.status()["connections"] == 1)


def test_connections_beyond_the_limit_are_told_so() -> None:
    with served("--limit", "connections_per_uid=3") as server:
        with server.raw(), server.raw(), server.raw(), server.raw(hello=False) as fourth:
            error = fourth.receive()[2][0]
            assert error["code"] == "unavailable"
            assert "more than 3 connections" in error["message"]
            assert fourth.receive() is None
        with server.client() as client:
            assert client.get_names()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_server_out_of_descriptors_serves_on_and_recovers(loop: str) -> None:
    with served("--loop", loop, "--files", "24") as server, server.client() as client:
        client.get_names()
        others = []
        for _ in range(30):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(server.path)
            others.append(sock)
        client.clear_cache()
        assert client.get_names()
        for sock in others:
            sock.close()
        with server.client(timeout=20) as late:
            assert late.get_names()


def test_an_orderly_stop_says_so() -> None:
    with served() as server, server.raw() as raw:
        server.process.send_signal(signal.SIGTERM)
        assert raw.receive()[2][0]["code"] == "unavailable"
        assert raw.receive() is None
        assert server.process.wait(10) == 0
        assert not os.path.exists(server.path)
