"""The wire, without a socket: values to bytes, bytes to values, bytes to messages.

Contract: every value a card can hold comes back equal and of the same type; malformed, oversized
or too deep input raises ``ProtocolError`` and nothing else; a stream may be split anywhere. Client
and daemon both use this module, and ``client/PROTOCOL.md`` describes it for other languages.
"""

from __future__ import annotations

import datetime
import os
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial

import msgpack

from resolverd_client.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

VERSION = 1
MAX_REQUEST = 1 << 20
"""Bytes of a message to the daemon."""
MAX_REPLY = 64 << 20
"""Bytes of a message from the daemon."""
MAX_ITEMS = 10_000
"""Entries of any one array or map in a message to the daemon (targets of a prefetch, say)."""
MAX_NESTING = 16
"""Arrays and maps inside each other in the parameters of a message to the daemon."""

MAX_EXT_NESTING = 32
"""Sets, tuples and ordered maps inside each other, in any value."""

REQUEST, RESPONSE, NOTIFICATION = 0, 1, 2

PATH, DATE, DATETIME, AWARE_DATETIME, SET, TUPLE, BIG_INT, ORDERED_MAP = 1, 2, 3, 4, 5, 6, 7, 8

_DATE = struct.Struct(">HBB")
_DATETIME = struct.Struct(">HBBBBBI")
_OFFSET = struct.Struct(">i")
_EPOCH_OFFSET = datetime.timedelta(0)
_SECOND = datetime.timedelta(seconds=1)


def pack(value: object) -> bytes:
    """Pack one value; equal content gives equal bytes, in every process.

    Raises:
        TypeError: The value holds a type that the wire has no form for.
        ValueError: It is nested too deeply, or holds itself.
    """
    try:
        return _packb(value)
    except (RecursionError, OverflowError) as error:
        raise ValueError(f"the value can't be packed: {error}") from None


def unpack(data: bytes | memoryview) -> Any:
    """Unpack exactly one value, each time into fresh objects.

    Raises:
        ProtocolError: The bytes are not one well-formed value.
    """
    try:
        return unpackb(data)
    except FAULTS as error:
        raise ProtocolError(f"malformed data: {error or type(error).__name__}") from None


def _scalar_ext(value: object) -> msgpack.ExtType:
    """Give the extension form of a value that holds no others."""
    kind = type(value)
    if kind is datetime.datetime:
        return _datetime_ext(value)  # type: ignore[arg-type]
    if kind is datetime.date:
        return msgpack.ExtType(DATE, _DATE.pack(value.year, value.month, value.day))  # type: ignore[attr-defined]
    if kind is int:
        size = value.bit_length() // 8 + 1  # type: ignore[attr-defined]
        return msgpack.ExtType(BIG_INT, value.to_bytes(size, "big", signed=True))  # type: ignore[attr-defined]
    if isinstance(value, os.PathLike):
        return msgpack.ExtType(PATH, os.fsencode(value))
    raise TypeError(f"a value of type {kind.__module__}.{kind.__qualname__} can't be sent")


def _packer(depth: int) -> Callable[[object], bytes]:
    """Make what packs values inside ``depth`` extensions."""

    def ext(value: object) -> msgpack.ExtType:
        kind = type(value)
        if kind is tuple:
            return msgpack.ExtType(TUPLE, inner()(list(value)))  # type: ignore[call-overload]
        if kind is set:
            items = sorted(map(inner(), value))  # type: ignore[call-overload]
            return msgpack.ExtType(SET, _array_head(len(items)) + b"".join(items))
        if isinstance(value, OrderedDict):
            flat = [part for item in value.items() for part in item]
            return msgpack.ExtType(ORDERED_MAP, inner()(flat))
        return _scalar_ext(value)

    def inner() -> Callable[[object], bytes]:
        if depth == MAX_EXT_NESTING:
            raise ValueError(f"more than {MAX_EXT_NESTING} sets, tuples or ordered maps deep")
        return _PACKERS[depth + 1]

    return partial(msgpack.packb, default=ext, strict_types=True, unicode_errors="surrogatepass")


def _datetime_ext(value: datetime.datetime) -> msgpack.ExtType:
    fields = _DATETIME.pack(
        value.year, value.month, value.day, value.hour, value.minute, value.second,
        value.microsecond,
    )  # fmt: skip
    offset = value.utcoffset()
    if offset is None:
        return msgpack.ExtType(DATETIME, fields)
    seconds, rest = divmod(offset, _SECOND)
    if rest:
        raise ValueError("a time zone's offset must be whole seconds")
    name = (value.tzname() or "").encode("utf-8", "surrogatepass")
    return msgpack.ExtType(AWARE_DATETIME, fields + _OFFSET.pack(seconds) + name)


def _unpacker(depth: int) -> partial[Any]:
    """Make what unpacks values inside ``depth`` extensions."""

    def ext(code: int, data: bytes) -> object:
        decode = _SCALARS.get(code)
        if decode is not None:
            return decode(data)
        build = _CONTAINERS.get(code)
        if build is None:
            return msgpack.ExtType(code, data)
        if depth == MAX_EXT_NESTING:
            raise ValueError(f"extensions more than {MAX_EXT_NESTING} deep")
        items = _UNPACKERS[depth + 1](data)
        if type(items) is not list:
            raise ValueError("the content of such an extension must be an array")
        return build(items)

    return partial(
        msgpack.unpackb, ext_hook=ext, strict_map_key=False, unicode_errors="surrogatepass"
    )


def _unpack_path(data: bytes) -> Path:
    # pathlib costs milliseconds to import: the first card pays, not the import of the client.
    from pathlib import Path  # noqa: PLC0415

    # Paths are immutable, few (folders of cards), and cost more to make than the rest of a card.
    _SCALARS[PATH] = decode = lru_cache(4096)(lambda raw: Path(os.fsdecode(raw)))
    return decode(data)


def _unpack_date(data: bytes) -> datetime.date:
    return datetime.date(*_DATE.unpack(data))


def _unpack_datetime(data: bytes) -> datetime.datetime:
    return datetime.datetime(*_DATETIME.unpack(data))


def _unpack_aware(data: bytes) -> datetime.datetime:
    fields, rest = data[: _DATETIME.size], data[_DATETIME.size :]
    (seconds,) = _OFFSET.unpack(rest[: _OFFSET.size])
    name = rest[_OFFSET.size :].decode("utf-8", "surrogatepass")
    offset = datetime.timedelta(seconds=seconds)
    zone = datetime.timezone(offset)
    if zone.tzname(None) != name:
        zone = datetime.timezone(offset, name)
    return _unpack_datetime(fields).replace(tzinfo=zone)


def _ordered(flat: list[Any]) -> OrderedDict[Any, Any]:
    return OrderedDict(zip(flat[::2], flat[1::2], strict=True))


_SCALARS: dict[int, Any] = {
    PATH: _unpack_path,
    DATE: _unpack_date,
    DATETIME: _unpack_datetime,
    AWARE_DATETIME: _unpack_aware,
    BIG_INT: partial(int.from_bytes, byteorder="big", signed=True),
}
_CONTAINERS: dict[int, Any] = {SET: set, TUPLE: tuple, ORDERED_MAP: _ordered}

# Each level costs some 50 KB of C stack: the bound keeps hostile bytes from overflowing it.
_PACKERS = [_packer(depth) for depth in range(MAX_EXT_NESTING + 1)]
_UNPACKERS = [_unpacker(depth) for depth in range(MAX_EXT_NESTING + 1)]
_packb = _PACKERS[0]
unpackb = _UNPACKERS[0]
"""``unpack`` without the translation of errors (see ``FAULTS``), for hot paths."""

FAULTS = (ValueError, TypeError, OverflowError, RecursionError, struct.error,
          msgpack.UnpackException)  # fmt: skip
"""What malformed bytes may raise out of ``unpackb``."""


def _array_head(length: int) -> bytes:
    return msgpack.Packer().pack_array_header(length)  # type: ignore[no-any-return]


class FrameReader:
    """Turns a stream, split anywhere, into messages.

    Args:
        max_frame: Bytes that one message may have.
        max_items: Entries that one array or map may have; None for no bound but ``max_frame``.
    """

    def __init__(self, max_frame: int, max_items: int | None = None) -> None:
        self._max_frame = max_frame
        self._fed = 0
        self._done = 0
        items = max_frame if max_items is None else max_items
        self._unpacker = msgpack.Unpacker(
            read_size=min(4096, max_frame),
            max_buffer_size=2 * max_frame,
            max_str_len=max_frame, max_bin_len=max_frame, max_ext_len=max_frame,
            max_array_len=items, max_map_len=items,
            ext_hook=unpackb.keywords["ext_hook"] if max_items is None else _refuse_ext,
            strict_map_key=False, unicode_errors="surrogatepass",
        )  # fmt: skip

    @property
    def pending(self) -> int:
        """Bytes of a message that is not complete yet."""
        return self._fed - self._done

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take the next bytes of the stream.

        Yields:
            The messages they complete, often none, before any fault that follows them.

        Raises:
            ProtocolError: Malformed, too deep, too large; the stream can't go on.
        """
        for start in range(0, len(data), self._max_frame):
            chunk = data[start : start + self._max_frame]
            self._unpacker.feed(chunk)
            self._fed += len(chunk)
            while (message := self._next()) is not None:
                yield message[0]
            if self.pending > self._max_frame:
                raise self._too_large()

    def _next(self) -> tuple[Any] | None:
        try:
            message = self._unpacker.unpack()
        except msgpack.OutOfData:
            return None
        except FAULTS as error:
            reason = str(error) or type(error).__name__
            raise ProtocolError(f"malformed message: {reason}") from None
        end = self._unpacker.tell()
        if end - self._done > self._max_frame:
            raise self._too_large()
        self._done = end
        return (message,)

    def _too_large(self) -> ProtocolError:
        return ProtocolError(f"a message exceeds {self._max_frame} bytes", code="too-large")


def _refuse_ext(code: int, _data: bytes) -> object:
    raise ValueError(f"extension type {code} has no place in a request")


unpack_request = partial(
    msgpack.unpackb, ext_hook=_refuse_ext, strict_map_key=False, unicode_errors="surrogatepass",
    max_array_len=MAX_ITEMS, max_map_len=MAX_ITEMS,
)  # fmt: skip
"""One whole message to the daemon, quickly; raises one of ``FAULTS`` when it is anything else."""


def nesting(value: object, limit: int = MAX_NESTING) -> bool:
    """Tell whether a value's arrays and maps are at most ``limit`` deep."""
    level = [value]
    for _ in range(limit + 1):
        inner: list[object] = []
        for item in level:
            if isinstance(item, list):
                inner += item
            elif isinstance(item, dict):
                inner += item.values()
        if not inner:
            return True
        level = inner
    return False


def request(ident: int, method: str, params: Iterable[object]) -> bytes:
    """Build a request."""
    return pack([REQUEST, ident, method, list(params)])


def response_head(ident: int) -> bytes:
    """Build what stands before the packed result in the response to request ``ident``."""
    return b"\x94\x01" + pack(ident) + b"\xc0"


def response(ident: int, result: object) -> bytes:
    """Build a response that carries a result."""
    return response_head(ident) + pack(result)


def error_map(
    code: str, message: str, details: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Build the wire's form of an error."""
    return {"code": code, "message": message, "details": dict(details or {})}


def error_response(
    ident: int, code: str, message: str, details: Mapping[str, object] | None = None
) -> bytes:
    """Build a response that carries an error."""
    return pack([RESPONSE, ident, error_map(code, message, details), None])


def notification(method: str, params: Iterable[object]) -> bytes:
    """Build a notification."""
    return pack([NOTIFICATION, method, list(params)])


def canonical(name: str) -> str:
    """Give the canonical form of a name as the wire's lookups take it: ``x`` stands for ``x@``."""
    return name if "@" in name else name + "@"
