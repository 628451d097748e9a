"""A look-up through the daemon's own socket: the proof that it serves."""

from __future__ import annotations

import logging
import os

import anyio
import anyio.abc
from resolverd_client import protocol

log = logging.getLogger(__name__)

_CHUNK = 1 << 16
_UNMENDABLE = (PermissionError, FileNotFoundError)


class Probe:
    """Asks as a client does.

    Args:
        path: The daemon's socket.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._told = ""

    async def __call__(self) -> None:
        """Return once the daemon has answered, be it that it has too many clients.

        Raises:
            OSError: It did not take the connection.
            EOFError: It ended the connection without an answer.
        """
        try:
            stream = await anyio.connect_unix(self._path)
        except _UNMENDABLE as error:  # no restart would mend that, and who is connected is served
            self._tell(f"the daemon can't reach its own socket: {error}")
            return
        self._tell("")
        try:
            async with stream:
                await stream.send(_asked())
                await _answered(stream)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            raise EOFError("the connection was closed") from None

    def _tell(self, fault: str) -> None:
        if fault and fault != self._told:
            log.warning("%s", fault)
        self._told = fault


def _asked() -> bytes:
    me = {"client": "resolverd", "pid": os.getpid()}
    hello = protocol.request(1, "hello", [protocol.VERSION, me])
    return hello + protocol.request(2, "get", [""])


async def _answered(stream: anyio.abc.ByteReceiveStream) -> None:
    reader = protocol.FrameReader(protocol.MAX_REPLY)
    while not any(_is_answer(message) for message in reader.feed(await stream.receive(_CHUNK))):
        pass


def _is_answer(message: object) -> bool:
    if not isinstance(message, list):
        return False
    refused = message[:2] == [protocol.NOTIFICATION, "error"]
    return refused or message[:2] == [protocol.RESPONSE, 2]
