"""An answer's head, which must come whole.

``http.client`` takes the end of the stream for the end of the head: of an answer that broke off
before ``Content-Length`` it makes one that brings a file of no bytes, and complete.
"""

from __future__ import annotations

import http.client
from typing import Any, BinaryIO


class Response(http.client.HTTPResponse):
    """An answer that is one only if its head ended as heads do, by an empty line."""

    def begin(self) -> None:
        """Read the head.

        Raises:
            RemoteDisconnected: The stream ended first.
        """
        stream = self.fp
        lines: Any = _Lines(stream)  # all of a stream that reading a head uses
        self.fp = lines
        try:
            super().begin()
        finally:
            if self.fp is lines:
                self.fp = stream
        if lines.last not in {b"\r\n", b"\n"}:
            raise http.client.RemoteDisconnected("the server hung up amid the head of its answer")


class _Lines:
    """Remembers the last line that was read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.last = b""

    def readline(self, limit: int) -> bytes:
        self.last = self._stream.readline(limit)
        return self.last

    def close(self) -> None:
        self._stream.close()
