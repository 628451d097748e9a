"""What of a partial file is known to be on disk, and of which version at the origin.

The contract: a range is in the journal only after its bytes were made durable. Each line holds all
ranges, and a checksum of itself, so that the last whole line counts and a torn one does not.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass
from typing import Any

from resolverd.checkpoints.asset import plan
from resolverd.checkpoints.asset.plan import Range, Ranges

_COMPACT_AT = 1 << 16


@dataclass(frozen=True, slots=True)
class Pin:
    """Which version of which file the ranges belong to.

    Attributes:
        name: The file's path in the object.
        stamp: The origin's strong validator: without one nothing is resumed.
        size: Length of the whole file.
    """

    name: str
    stamp: str
    size: int


class Journal:
    """The journal of one partial file. One writer."""

    def __init__(self, path: str, pin: Pin) -> None:
        self._path = path
        self._pin = pin
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.ranges: Ranges = self._replayed()

    def record(self, ranges: Ranges) -> None:
        """Write down what is durable; returns once the journal itself is."""
        if os.fstat(self._fd).st_size > _COMPACT_AT:
            self._start_over()
        os.write(self._fd, _line({"ranges": ranges}))
        os.fdatasync(self._fd)
        self.ranges = ranges

    def close(self) -> None:
        """Let go of the file; it stays for the next run."""
        os.close(self._fd)

    def _replayed(self) -> Ranges:
        pin, ranges = read(self._path)
        if pin == self._pin:
            return ranges
        self._start_over()
        return ()

    def _start_over(self) -> None:
        """Write the head into a new file, and put it in the old one's place in one step."""
        fresh = os.open(
            self._path + ".new", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600
        )
        pin = {"name": self._pin.name, "stamp": self._pin.stamp, "size": self._pin.size}
        os.write(fresh, _line({"pin": pin}))
        os.fsync(fresh)
        os.rename(self._path + ".new", self._path)
        _sync_folder_of(self._path)
        os.close(self._fd)
        self._fd = fresh


def forget(path: str) -> None:
    """Remove a journal, durably: what it says does not hold any more."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    _sync_folder_of(path)


def _sync_folder_of(path: str) -> None:
    fd = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read(path: str) -> tuple[Pin | None, Ranges]:
    """Read a journal without touching it; no pin when there is none, or it is damaged."""
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        return None, ()
    records = [record for line in lines if (record := _parsed(line)) is not None]
    try:
        head = records[0]["pin"]
        pin = Pin(str(head["name"]), str(head["stamp"]), int(head["size"]))
        ranges: Ranges = ()
        for record in records[1:]:
            ranges = tuple(_pair(pair) for pair in record["ranges"])
    except (LookupError, TypeError, ValueError):
        return None, ()
    return pin, plan.clip(ranges, pin.size)


def _pair(pair: list[int]) -> Range:
    low, high = pair
    return int(low), int(high)


def _line(record: dict[str, object]) -> bytes:
    body = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _parsed(line: bytes) -> dict[str, Any] | None:
    head, _, body = line.partition(b" ")
    if not body or head != b"%08x" % zlib.crc32(body):
        return None
    record = json.loads(body)
    return record if isinstance(record, dict) else None
