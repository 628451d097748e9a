"""The body of one answer, read as it comes.

urllib3 makes the connection and reads the head. A plain body it would copy for each layer,
so that one is read from the connection's own file, straight into the caller's buffer. A chunked
body is urllib3's to take apart.
"""

from __future__ import annotations

from http.client import HTTPResponse as PlainResponse
from types import TracebackType

from typing_extensions import Self
from urllib3.exceptions import HTTPError, IncompleteRead
from urllib3.response import BaseHTTPResponse

from resolverd.checkpoints.faults import Transient
from resolverd.checkpoints.sources.http.errors import broken

_READ_MOST = 1 << 20


class HttpTransfer:
    """The body of one answer."""

    def __init__(self, response: BaseHTTPResponse, name: str, start: int, end: int | None) -> None:
        self._response = response
        self._plain = _plain(response)
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
        room = len(buffer) if self._limit is None else min(len(buffer), self._limit - self._at)
        if room == 0:
            return 0
        try:
            count = self._read(buffer[:room])
        except (HTTPError, OSError, ValueError) as error:
            if self.end is None or not isinstance(error.__cause__, IncompleteRead):
                raise broken(self._shown, error) from error
            count = 0
        if count == 0 and self.end is not None:
            raise Transient(
                f"{self._shown}: the connection ended after {self._at} of {self.end} bytes."
            )
        self._at += count
        return count

    def _read(self, buffer: memoryview) -> int:
        if self._plain is not None:
            return self._plain.fp.readinto1(buffer)
        data = self._response.read1(min(len(buffer), _READ_MOST), decode_content=False)
        buffer[: len(data)] = data
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
        if self._at != self.end:
            self._response.close()
        elif self._plain is not None:
            self._plain.close()  # lets go of the body; the connection can bring another one
            self._response.release_conn()
        else:
            self._response.drain_conn()
            self._response.release_conn()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _plain(response: BaseHTTPResponse) -> PlainResponse | None:
    """The standard library's side of an answer whose body is the file's bytes and nothing else."""
    found = getattr(response, "_original_response", None)
    is_plain = isinstance(found, PlainResponse) and not found.chunked and not found.isclosed()
    return found if is_plain else None
