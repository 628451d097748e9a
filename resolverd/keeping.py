"""Keeps what is known of the stores on disk, so that a restart parses only what has changed."""

from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path

import anyio
import anyio.to_thread

from resolverd.cards import persist
from resolverd.cards.card import Codec
from resolverd.cards.catalogue import StoreCards
from resolverd.cards.published import Published

log = logging.getLogger(__name__)

PAUSE = 1.0  # seconds: a burst of changes is written once


class Keeper:
    """Writes the kept snapshot a moment after each change, and reads it at start.

    Args:
        folder: The cache; the snapshot is its file ``index.snapshot``.
        codec: Packs the values of cards.

    Attributes:
        warnings: Why nothing can be kept, for the status; empty while all is well.
    """

    def __init__(self, folder: Path, codec: Codec) -> None:
        self.warnings: list[str] = []
        self._file = folder / "index.snapshot"
        self._codec = codec
        self._state: Published | None = None
        self._kept: Published | None = None
        self._wake = anyio.Event()

    def restore(self) -> dict[str, StoreCards]:
        """Read what an earlier run has kept; nothing, when that is damaged or absent."""
        try:
            data = _read(self._file)
        except FileNotFoundError:
            return {}
        except OSError as error:
            log.warning("%s can't be read (%s): starting from nothing", self._file, error.strerror)
            return {}
        restored = persist.load(data, self._codec)
        if restored is None:
            log.warning("%s is damaged or of another version: it is ignored", self._file)
        return restored or {}

    def changed(self, state: Published) -> None:
        """Have a state written soon."""
        self._state = state
        self._wake.set()

    async def run(self) -> None:
        """Write after each change, for ever."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            await self.keep()
            await anyio.sleep(PAUSE)

    async def keep(self) -> None:
        """Write the newest state now, if it is not on disk yet; a failure becomes a warning."""
        state = self._state
        if state is None or state is self._kept:
            return
        try:
            data = await anyio.to_thread.run_sync(
                persist.dump, list(state.stores.values()), self._codec
            )
            await _replace(self._file, data)
        except OSError as error:
            self._warn(error.strerror or str(error))
        except Exception as error:
            log.exception("the snapshot can't be made")
            self._warn(f"{type(error).__name__}: {error}")
        else:
            self._kept = state
            self.warnings = []

    def _warn(self, reason: str) -> None:
        text = (
            f"{self._file} can't be written ({reason}): a restart will parse everything "
            "again, and forget last good cards. Make the cache writable for the daemon."
        )
        if self.warnings != [text]:
            log.warning("%s", text)
        self.warnings = [text]


def _read(file: Path) -> bytes:
    """Read a file that must be a regular one: a FIFO or device in its place would never end."""
    with open(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as source:
        if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return source.read()


async def _replace(file: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    import aiofiles  # noqa: PLC0415 -- first needed a moment after the start, which should be fast
    import aiofiles.os  # noqa: PLC0415

    await aiofiles.os.makedirs(file.parent, exist_ok=True)
    staged = file.with_name(f"{file.name}.{os.getpid()}")
    async with aiofiles.open(staged, "wb") as output:
        await output.write(data)
        await output.flush()
        await anyio.to_thread.run_sync(os.fsync, output.fileno())
    await aiofiles.os.replace(staged, file)
