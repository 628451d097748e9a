"""A server that says exactly the bytes it is told to, one answer a connection, then hangs up."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = Callable[[int, bytes], bytes]
"""Of the number of the connection and what it asked: the bytes to send before hanging up."""


class Scripted:
    """A listening server on loopback.

    Args:
        answer: What each connection is told.
        tls: With a certificate: speak TLS.
    """

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._tls = tls
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.requests: list[bytes] = []
        self.port: int = self._listening.getsockname()[1]

    def url(self, path: str = "/m.bin", host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def serve(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._converse, args=(sock,), daemon=True).start()

    def _converse(self, sock: socket.socket) -> None:
        try:
            with self._tls.wrap_socket(sock, server_side=True) if self._tls else sock as spoken:
                asked = b""
                while b"\r\n\r\n" not in asked and (data := spoken.recv(65536)):
                    asked += data
                if not asked:
                    return
                self.requests.append(asked)
                spoken.sendall(self._answer(len(self.requests) - 1, asked))
        except OSError:
            return  # who asked has left, or did not trust us


@contextmanager
def scripted(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    server = Scripted(answer, tls)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(30)


def whole(data: bytes, *headers: str) -> bytes:
    """An answer that brings a file of a server that knows no ranges."""
    lines = ("HTTP/1.1 200 OK", f"Content-Length: {len(data)}", *headers, "", "")
    return "\r\n".join(lines).encode() + data


def chunked(*pieces: bytes) -> bytes:
    """An answer whose length is not told before its end."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))
