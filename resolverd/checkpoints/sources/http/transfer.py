"""The body of one answer, read as it comes."""

from __future__ import annotations

from types import TracebackType

from typing_extensions import Self
from urllib3.exceptions import HTTPError, IncompleteRead
from urllib3.response import BaseHTTPResponse

from resolverd.checkpoints.faults import Transient
from resolverd.checkpoints.sources.http.errors import explained

_READ_MOST = 1 << 20


class HttpTransfer:
    """The body of one answer."""

    def __init__(self, response: BaseHTTPResponse, name: str, start: int, end: int | None) -> None:
        self._response = response
        self._shown = name
        self._at = start
        self._limit = end
        self.start = start
        self.end = end

    def narrow(self, end: int | None) -> bool:
        """Read to ``end`` only; False when the body does not reach that far."""
        if end != self.end and (end is None or self.end is None or end > self.end):
            return False
        self._limit = end
        return True

    def readinto(self, buffer: memoryview) -> int:
        """Read what has arrived, or wait for some."""
        room = min(len(buffer), _READ_MOST)
        if self._limit is not None:
            room = min(room, self._limit - self._at)
        if room == 0:
            return 0
        try:
            data = self._response.read1(room, decode_content=False)
        except (HTTPError, OSError, ValueError) as error:
            if self.end is None or not isinstance(error.__cause__, IncompleteRead):
                raise explained(self._shown, error) from error
            data = b""
        if not data and self.end is not None:
            raise Transient(
                f"{self._shown}: the connection ended after {self._at} of {self.end} bytes."
            )
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def copy_to(self, target: int, most: int) -> int:
        """The kernel can't copy from a TLS or HTTP stream."""
        return 0

    def abort(self) -> None:
        """Shut the connection down."""
        try:
            self._response.shutdown()
        except (ValueError, RuntimeError, OSError):
            return  # it has ended by itself

    def close(self) -> None:
        """Give the connection back when the body was read, else close it."""
        if self._at == self.end:
            self._response.drain_conn()
            self._response.release_conn()
        else:
            self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
