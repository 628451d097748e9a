"""Whatever bytes a client sends, the next client is served: whole, cut, damaged, byte by byte."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resolverd_client import protocol

from tests.serving.served import Served, served

HELLO = protocol.request(1, "hello", [1, {"client": "fuzz"}])
VALID = [
    HELLO,
    protocol.request(2, "get", ["card1@"]),
    protocol.request(3, "names", []),
    protocol.request(4, "digests", ["card*"]),
    protocol.request(5, "resolve", ["x", None]),
    protocol.request(6, "echo", [{"a": [1, 2.5, None, "b"]}]),
    protocol.request(7, "path", [{"name": "a"}, {"wait": True}]),
    protocol.notification("cancel", [3]),
]


@pytest.fixture(params=["asyncio", "uvloop"], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Served]:
    with served("--loop", request.param) as each:
        yield each


def survives(server: Served, parts: list[bytes]) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(server.path)
        try:
            for part in parts:
                sock.sendall(part)
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(20)
            while sock.recv(1 << 16):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass
    with server.client() as client:
        assert client.get_metadata("card1")["model_arch"] == "arch1"
    assert server.process.poll() is None


session = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@session
@given(parts=st.lists(st.one_of(st.binary(max_size=100), st.sampled_from(VALID)), max_size=8))
def test_any_bytes_whole(server: Served, parts: list[bytes]) -> None:
    survives(server, [HELLO, b"".join(parts)])


@session
@given(seed=st.integers(0, 2**32))
def test_damaged_sessions_byte_by_byte(server: Served, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(b"".join([HELLO, *chance.choices(VALID, k=4)]))
    for _ in range(chance.randrange(4)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    del data[chance.randrange(len(data)) :]
    survives(server, [bytes([byte]) for byte in data])
