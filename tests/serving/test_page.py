"""The generation page as clients get it: they can read it, and nothing else."""

from __future__ import annotations

import mmap
import os
import socket

import msgpack
import pytest
from resolverd_client import page, protocol

from resolverd.serving.page import Page
from tests.serving.served import served


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_hello_brings_the_page(loop: str) -> None:
    with served("--loop", loop) as server, socket.socket(socket.AF_UNIX) as sock:
        sock.connect(server.path)
        sock.sendall(protocol.request(1, "hello", [1, {}]))
        data, fds, _, _ = socket.recv_fds(sock, 4096, 4)
        [fd] = fds
        reply = msgpack.unpackb(data)[3]
        content = os.pread(fd, 40, 0)
        assert content[:8] == page.MAGIC
        assert int.from_bytes(content[8:16], "little") == reply["generation"] == 1
        assert content[24:40] == reply["instance"]
        os.close(fd)


@pytest.fixture
def fd() -> int:
    return Page(b"i" * 16).fd


def test_nobody_can_write_it(fd: int) -> None:
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 8)
    with pytest.raises(PermissionError):
        mmap.mmap(fd, page.SIZE)


def test_nobody_can_resize_it(fd: int) -> None:
    for size in (0, 2 * page.SIZE):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)


def test_nobody_can_reopen_it_for_writing(fd: int) -> None:
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    with pytest.raises(PermissionError):
        os.pwrite(again, b"x", 8)
    with pytest.raises(PermissionError):
        mmap.mmap(again, page.SIZE)
    os.close(again)
