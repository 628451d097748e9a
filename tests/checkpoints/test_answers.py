"""What servers answer that should not be taken at its word, and what the reader of it is told."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from contextlib import ExitStack
from email.utils import formatdate

import pytest

from resolverd.checkpoints.faults import Denied, VerificationError
from resolverd.errors import ResolverdError, SourceError
from tests.checkpoints.conftest import PART, Bench, limits
from tests.checkpoints.origin import Origin, Resource
from tests.checkpoints.scripted import scripted, whole

BIG = os.urandom(3 * PART + 7)
CARD = hashlib.sha256(BIG).hexdigest()


def test_what_comes_beyond_the_announced_length_is_not_part_of_the_file(bench: Bench) -> None:
    with scripted(
        lambda *_: whole(BIG) + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    ) as server:
        assert bench.content(bench.fetch(server.url(), CARD)) == BIG


def test_a_length_that_is_too_short_is_a_mismatch(origin: Origin, bench: Bench) -> None:
    origin.put("/a", BIG, ignore_range=True, length=len(BIG) - 10)
    with pytest.raises(VerificationError, match="the card says"):
        bench.fetch(origin.url("/a"), CARD)
    assert bench.visible() == set()


@pytest.mark.parametrize("length", ["-1", "ten", "1e3", "0x10", "9" * 30, "5, 6", "\u0663"])
def test_a_length_that_is_none_is_told_and_nothing_is_served(bench: Bench, length: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()
    with scripted(lambda *_: head + b"bytes") as server, pytest.raises(ResolverdError):
        bench.fetch(server.url(), CARD)
    assert bench.visible() == set()


@pytest.mark.parametrize(
    "span",
    ["bytes 0-4/4", "bytes 5-4/10", "bytes 0-4", "bytes a-b/c", "items 0-4/5", "bytes 3-7/8", ""],
)
def test_a_range_that_makes_no_sense_is_refused(bench: Bench, span: str) -> None:
    head = f'HTTP/1.1 206 OK\r\nETag: "1"\r\nContent-Range: {span}\r\nContent-Length: 5\r\n\r\n'
    with scripted(lambda *_: head.encode() + b"bytes") as server, pytest.raises(SourceError):
        bench.fetch(server.url(), CARD)
    assert bench.visible() == set()


def test_a_server_that_accepts_and_says_nothing_is_left_after_a_while(bench: Bench) -> None:
    silent = threading.Event()

    def answer(number: int, _: bytes) -> bytes:
        if number == 0:
            silent.wait(60)
        return whole(BIG)

    bench.limits = limits(stall_timeout=0.2)
    with scripted(answer) as server:
        assert bench.content(bench.fetch(server.url(), CARD)) == BIG
    silent.set()


def test_a_range_that_is_not_there_any_more_starts_the_file_over(
    origin: Origin, bench: Bench
) -> None:
    other = BIG[:PART]

    def shrink(resource: Resource) -> None:
        if len(resource.requests) == 3:
            resource.data, resource.etag = other, '"shorter"'
            resource.faults.statuses = [(416, {})]

    origin.put("/a", BIG, etag='"1"', before=shrink)
    bench.limits = limits(connections=1)
    assert bench.content(bench.fetch(origin.url("/a"))) == other


def test_a_server_that_refuses_every_range_is_asked_for_the_whole(
    origin: Origin, bench: Bench
) -> None:
    origin.put("/a", BIG, ignore_range=True, statuses=[(416, {})])
    assert bench.content(bench.fetch(origin.url("/a"), CARD)) == BIG


def test_a_server_that_knows_only_416_is_told(origin: Origin, bench: Bench) -> None:
    origin.put("/a", BIG, statuses=[(416, {})] * 1000)
    with pytest.raises(SourceError, match="416"):
        bench.fetch(origin.url("/a"))


def test_a_date_to_come_back_at_is_heeded(origin: Origin, bench: Bench) -> None:
    later = formatdate(time.time() + 2, usegmt=True)
    origin.put("/a", BIG, statuses=[(503, {"Retry-After": later})])
    began = time.time()
    bench.fetch(origin.url("/a"), CARD)
    assert time.time() >= int(began) + 2


@pytest.mark.parametrize("wish", ["soon", "-5", "1e9", "Thu, 99 Foo 2020", "\xb2", ""])
def test_a_wish_to_come_back_that_makes_no_sense_is_none(
    origin: Origin, bench: Bench, wish: str
) -> None:
    origin.put("/a", BIG, statuses=[(503, {"Retry-After": wish})])
    assert bench.content(bench.fetch(origin.url("/a"), CARD)) == BIG


@pytest.mark.parametrize(
    "encoding", ["gzip", "GZIP", "br", "zstd", "deflate", "identity, gzip", "x-unheard-of"]
)
def test_a_packed_body_is_refused_with_what_to_do(
    origin: Origin, bench: Bench, encoding: str
) -> None:
    origin.put("/a.bin", BIG, encoding=encoding)
    with pytest.raises(SourceError, match="without Content-Encoding"):
        bench.fetch(origin.url("/a.bin"))
    assert bench.visible() == set()


@pytest.mark.parametrize(
    ("target", "scheme"),
    [("ftp://127.0.0.1/x", "ftp"), ("file:///etc/passwd", "file"), ("data:,x", "data")],
)
def test_a_redirect_to_another_scheme_is_refused_by_its_name(
    origin: Origin, bench: Bench, target: str, scheme: str
) -> None:
    origin.put("/a", b"", redirect=target)
    with pytest.raises(Denied, match=f"{origin.url('/a')}: redirects from http to {scheme}:"):
        bench.fetch(origin.url("/a"))


@pytest.mark.parametrize("target", ["", "http://", "http://[::1", "http://h:99999/", "//", "\x7f"])
def test_a_redirect_to_nowhere_is_told(origin: Origin, bench: Bench, target: str) -> None:
    origin.put("/a", b"", redirect=target or " ")
    with pytest.raises(SourceError):
        bench.fetch(origin.url("/a"))


def test_a_loop_of_two_redirects_ends(origin: Origin, bench: Bench) -> None:
    origin.put("/a", b"", redirect="/b")
    resource = origin.put("/b", b"", redirect="/a")
    with pytest.raises(SourceError, match="more than 10 redirects"):
        bench.fetch(origin.url("/a"))
    assert len(resource.requests) < 10


@pytest.mark.parametrize("status", [401, 403])
def test_a_gate_tells_how_to_get_access(origin: Origin, bench: Bench, status: int) -> None:
    origin.put("/a", BIG, statuses=[(status, {})] * 9)
    with pytest.raises(SourceError, match=rf"{status}.*ask its owner for access"):
        bench.fetch(origin.url("/a"))


def test_a_host_that_does_not_answer_is_told_with_what_may_be_in_the_way(bench: Bench) -> None:
    bench.limits = limits(connect_timeout=0.2, attempts=2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, ExitStack() as queue:
        for _ in range(4):  # until its queue is full
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        with pytest.raises(SourceError, match=r"no connection: the host does not answer.*2 attem"):
            bench.fetch(f"http://127.0.0.1:{deaf.getsockname()[1]}/a")


def test_a_proxy_that_wants_a_password_is_told(origin: Origin, bench: Bench) -> None:
    origin.put("/a", BIG, statuses=[(407, {})])
    with pytest.raises(SourceError, match=r"407.*The proxy wants a user and password"):
        bench.fetch(origin.url("/a"))


def test_an_answer_that_is_no_http_is_tried_again_and_told(bench: Bench) -> None:
    with (
        scripted(lambda *_: b"220 mail\x1b[2J ESMTP\r\n") as server,
        pytest.raises(
            SourceError, match=r"m\.bin: .*220 mail\\x1b\[2J ESMTP\. Given up after 4 attempts"
        ),
    ):
        bench.fetch(server.url())


def test_what_a_server_says_can_not_steer_a_terminal(bench: Bench) -> None:
    with (
        scripted(
            lambda *_: b"HTTP/1.1 404 \x1b[31mgone\x9b\r\nContent-Length: 0\r\n\r\n"
        ) as server,
        pytest.raises(SourceError, match=r"404 \\x1b\[31mgone\\x9b\. There is no such file"),
    ):
        bench.fetch(server.url())


def test_a_head_without_end_is_not_read_for_ever(bench: Bench) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(2000))
    with scripted(lambda *_: head) as server, pytest.raises(SourceError, match="headers"):
        bench.fetch(server.url())
