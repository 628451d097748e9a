"""Messages between daemon and worker: a length, then msgpack. Bytes in, messages out; no socket.

To the worker: ``[id, verb, params]``, from it ``[id, event, params]``; id 0 is the worker itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import msgpack

_LENGTH = struct.Struct(">I")

Message = tuple[int, str, dict[str, Any]]


def encode(number: int, verb: str, params: dict[str, Any]) -> bytes:
    """One message as bytes."""
    body: bytes = msgpack.packb([number, verb, params], unicode_errors="surrogateescape")
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Cuts a stream into messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take bytes in; give every message that is whole by now."""
        self._held += data
        while len(self._held) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._held)
            end = _LENGTH.size + length
            if len(self._held) < end:
                return
            body = bytes(self._held[_LENGTH.size : end])
            del self._held[:end]
            number, verb, params = msgpack.unpackb(
                body, unicode_errors="surrogateescape", strict_map_key=False
            )
            yield number, verb, params
