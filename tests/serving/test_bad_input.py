"""Bad requests get a clear answer, bad bytes end their connection; the server is unharmed."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import msgpack
import pytest
from resolverd_client import protocol

from tests.serving.served import Served, eventually, served


@pytest.fixture(params=["asyncio", "uvloop"], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Served]:
    limits = ("--limit", "pending=4", "--limit", "hello=0.5")
    with served("--loop", request.param, *limits) as each:
        yield each


@pytest.fixture(autouse=True)
def unharmed(server: Served) -> Iterator[None]:
    """After every test the same process still answers, and runs nothing for the departed."""
    with server.client() as client:
        pid = client._link.run(lambda each: each.server["pid"], None)
        yield
        client.clear_cache()
        assert client.get_metadata("card1")["model_arch"] == "arch1"
        assert client._link.run(lambda each: each.server["pid"], None) == pid == server.process.pid
        eventually(lambda: client.call("running") == 0)


@pytest.mark.parametrize(
    ("method", "params", "code", "words"),
    [
        ("nonsense", [], "unknown-method", "nonsense"),
        ("get", [], "bad-request", "takes 1"),
        ("get", [1], "bad-request", "must be a string"),
        ("get", ["a", "b"], "bad-request", "takes 1"),
        ("names", [1], "bad-request", "takes 0"),
        ("digests", [5], "bad-request", "pattern"),
        ("echo", [], "bad-request", "value"),
        ("echo", [1, 2], "bad-request", "too many"),
        ("crash", [], "internal", "a bug"),
        ("hello", ["one", {}], "protocol", "version"),
        ("hello", [0, {}], "protocol", "version"),
    ],
)
def test_a_bad_request_gets_an_error_and_the_connection_lives(
    server: Served, method: str, params: list[object], code: str, words: str
) -> None:
    with server.raw() as raw:
        kind, ident, error, result = raw.ask(method, *params)
        assert (kind, ident, error["code"], result) == (1, 7, code, None)
        assert words in error["message"]
        assert raw.ask("get", "card1@")[2] is None


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


def test_parameters_too_deep_are_refused(server: Served) -> None:
    with server.raw() as raw:
        assert raw.ask("echo", nested(protocol.MAX_NESTING - 2))[2] is None
        assert raw.ask("echo", nested(protocol.MAX_NESTING))[2]["code"] == "too-large"
        assert raw.ask("get", "card1@")[2] is None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xc1", "protocol"),
        (b"GET / HTTP/1.1\r\n\r\n", "protocol"),
        (b"\xc0", "protocol"),
        (msgpack.packb([0, 1, "get"]), "protocol"),
        (msgpack.packb([0, "one", "get", ["a"]]), "protocol"),
        (msgpack.packb([0, True, "get", ["a"]]), "protocol"),
        (msgpack.packb([0, 1, 2, ["a"]]), "protocol"),
        (msgpack.packb([0, 1, "get", "a"]), "protocol"),
        (msgpack.packb([1, 1, None, "a response"]), "protocol"),
        (msgpack.packb([0, 1, "echo", [msgpack.ExtType(1, b"/etc")]]), "protocol"),
        (b"\x91" * 5000, "protocol"),
        (b"\xdd\xff\xff\xff\xff", "protocol"),
        (b"\xdb\xff\xff\xff\xff" + bytes(2 << 20), "too-large"),
        (b"\xdc\xff\xff" + b"\xc0" * 65535, "protocol"),
        (b"\x94\x00\x01\xa4echo\x91\xc4\x02\xff", None),
        (b"\x94\x00\x01\xa4echo\x91\xc6\x00\x20\x00\x00" + bytes(1 << 21), "protocol"),
        (b"\x94\x00\x01\xa4echo" + (b"\xdc\x27\x10" + b"\xa3xyz" * 9_999) * 30, "too-large"),
    ],
)
def test_bytes_that_are_no_request_end_their_connection(
    server: Served, data: bytes, code: str | None
) -> None:
    with server.raw() as raw:
        try:
            raw.send(data)
        except (BrokenPipeError, ConnectionResetError):
            return
        if code is not None:
            message = raw.receive()
            if message is not None:  # the reason may be lost with the bytes that nobody read
                assert message[:2] == [2, "error"]
                assert message[2][0]["code"] == code
                assert not message[2][0]["message"].endswith(": ")  # it says what is wrong
            assert raw.receive() is None


def test_a_request_before_hello_is_refused(server: Served) -> None:
    with server.raw(hello=False) as raw:
        assert raw.ask("get", "card1@")[2]["code"] == "protocol"
        assert raw.receive() is None


def test_a_connection_that_never_says_hello_is_closed(server: Served) -> None:
    with server.raw(hello=False) as raw:
        assert raw.receive()[2][0]["message"] == "no hello came in time"
        assert raw.receive() is None


def test_a_later_version_is_talked_down_to_this_one(server: Served) -> None:
    with server.raw(hello=False) as raw:
        reply = raw.ask("hello", 99, {"client": "from the future"})
        assert reply[3]["version"] == protocol.VERSION


def test_unknown_notifications_are_ignored(server: Served) -> None:
    with server.raw() as raw:
        raw.send(protocol.notification("from-the-future", [1]))
        assert raw.ask("get", "card1@")[2] is None


def test_any_id_of_64_bits_comes_back(server: Served) -> None:
    with server.raw() as raw:
        for ident in (0, 127, 128, 2**31, 2**64 - 1, -1, -(2**63)):
            for method, params in (("get", ["card1@"]), ("echo", [1]), ("nope", [])):
                raw.send(protocol.request(ident, method, params))
                assert raw.receive()[1] == ident


def test_requests_may_come_in_one_piece_or_byte_by_byte(server: Served) -> None:
    data = b"".join(protocol.request(n, "get", [f"card{n % 5}@"]) for n in range(40))
    with server.raw() as raw:
        raw.send(data)
        whole = [raw.receive() for _ in range(40)]
        for byte in data:
            raw.send(bytes([byte]))
        assert [raw.receive() for _ in range(40)] == whole


def test_too_many_pending_requests_are_refused(server: Served) -> None:
    with server.raw() as raw:
        for ident in range(5):
            raw.send(protocol.request(ident, "slow", []))
        assert raw.receive()[2]["code"] == "too-large"


@pytest.mark.parametrize("half", [b"", b"\x94\x00\x01\xa3ge"])
def test_a_client_that_dies_mid_request_leaves_nothing_behind(server: Served, half: bytes) -> None:
    with server.client() as client:
        with server.raw() as raw:
            raw.send(protocol.request(1, "slow", []) + half)
            eventually(lambda: client.call("running") == 1)
            reset = struct.pack("ii", 1, 0)
            raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        eventually(lambda: client.call("running") == 0)


def test_a_client_that_reads_slowly_gets_everything(server: Served) -> None:
    with server.raw() as raw:
        raw.send(protocol.request(1, "get", ["large@"]) * 20)
        for _ in range(20):
            assert len(raw.receive()[3][1]["text"]) == 3_000_000


def test_a_client_that_does_not_read_its_notifications_is_dropped(server: Served) -> None:
    with server.raw() as raw:
        raw.send(protocol.request(1, "flood", [1000, 100_000]))
        with server.client() as client:
            eventually(lambda: client.status()["connections"] == 2)
