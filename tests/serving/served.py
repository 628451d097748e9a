"""Runs the fixed server for a test: start, kill, restart, raw sockets to it."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
from resolverd_client import Client, protocol

PROGRAM = Path(__file__).with_name("fixed_server.py")


class Served:
    def __init__(self, path: str, *options: str) -> None:
        self.path = path
        self.options = options
        self.clients: list[Client] = []
        self.start()

    def start(self, *options: str) -> None:
        command = [sys.executable, str(PROGRAM), self.path, *self.options, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def change(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def client(self, timeout: float = 10.0) -> Client:
        client = Client(self.path, timeout=timeout)
        self.clients.append(client)
        return client

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.stop()

    @contextlib.contextmanager
    def raw(self, *, hello: bool = True) -> Iterator[Raw]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(self.path)
            raw = Raw(sock)
            if hello:
                assert raw.ask("hello", 1, {})[2] is None
            yield raw


class Raw:
    """A client that may say anything."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=1 << 27)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self) -> Any:
        """Give the next message; None when the server closed."""
        while True:
            for message in self.unpacker:
                return message
            try:
                data = self.sock.recv(1 << 20)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.unpacker.feed(data)

    def ask(self, method: str, *params: object) -> Any:
        self.send(protocol.request(7, method, params))
        return self.receive()


@contextlib.contextmanager
def served(*options: str) -> Iterator[Served]:
    with tempfile.TemporaryDirectory() as folder:
        each = Served(f"{folder}/s.sock", *options)
        try:
            yield each
        finally:
            each.close()


def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
