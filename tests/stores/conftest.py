"""A watch on real files, and the picture that its reports add up to."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from resolverd.cards.file import Stamp, StoreChange
from resolverd.cards.store import Store
from resolverd.stores.settings import WatchSettings
from resolverd.stores.status import WatchStatus
from resolverd.stores.watch import watch

EVENTS_ONLY = WatchSettings(scan_interval=60.0)
"""With this the full scan can't be what finds a change."""


@dataclass
class Seen:
    """What a consumer of the reports knows."""

    files: dict[str, bytes] = field(default_factory=dict)
    stamps: dict[str, Stamp | None] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    state: str = "unknown"
    reason: str = ""
    calls: list[tuple[StoreChange, ...]] = field(default_factory=list)
    history: list[bytes | None] = field(default_factory=list)
    status: WatchStatus = field(default_factory=WatchStatus)
    cancel: Callable[[], None] = lambda: None

    def take(self, change: StoreChange) -> None:
        self.state, self.reason = change.state, change.reason
        if change.state != "ok":
            assert not change.complete
            return
        if change.complete:
            hidden = tuple(f"{one}/" for one in change.unreadable)
            mine = (change.root or "", f"{change.root}/")

            def keep(path: str) -> bool:
                """Another store's, or still there, or where nobody can look."""
                others = path != mine[0] and not path.startswith(mine[1])
                return others or path in change.kept or path.startswith(hidden)

            self.files = {path: data for path, data in self.files.items() if keep(path)}
            self.errors = {path: text for path, text in self.errors.items() if keep(path)}
        for path in change.removed:
            self.files.pop(path, None)
            self.errors.pop(path, None)
        for read in change.reads:
            self.stamps[read.path] = read.stamp
            if read.data is None:
                self.errors[read.path] = read.error or ""
            else:
                self.files[read.path] = read.data
                self.errors.pop(read.path, None)
            self.history.append(read.data)
        self.unreadable = dict(change.unreadable)

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not seen in {seconds} s: {self}"
            await anyio.sleep(0.0005)

    async def has(self, path: Path, data: bytes, seconds: float = 30.0) -> None:
        await self.until(lambda: self.files.get(str(path)) == data, seconds)

    async def lacks(self, path: Path, seconds: float = 30.0) -> None:
        await self.until(lambda: str(path) not in self.files, seconds)


Watching = Callable[..., AbstractAsyncContextManager[Seen]]


@asynccontextmanager
async def _watching(
    *stores: Store | Path,
    settings: WatchSettings = EVENTS_ONLY,
    known: dict[str, dict[str, Stamp]] | None = None,
    devices: dict[str, int] | None = None,
    seen: Seen | None = None,
    eyes: bool = True,
) -> AsyncIterator[Seen]:
    seen = seen if seen is not None else Seen()
    before = len(seen.calls)

    async def report(changes: Sequence[StoreChange]) -> None:
        seen.calls.append(tuple(changes))
        for change in changes:
            seen.take(change)

    places = [one if isinstance(one, Store) else Store(f"path:{one}", str(one)) for one in stores]

    async def run() -> None:
        await watch(places, known or {}, report, settings, devices=devices, status=seen.status)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await seen.until(lambda: len(seen.calls) > before)
        if eyes:  # past the first set of watches and the scan that follows it
            await seen.until(
                lambda: all(line.polled or line.scans >= 2 for line in seen.status.stores.values())
            )
        yield seen
        group.cancel_scope.cancel()


@pytest.fixture
def watching() -> Watching:
    return _watching


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "cards"
    path.mkdir()
    return path


def age(path: Path, seconds: float = 10.0) -> None:
    """Wait until a file's inode is old enough for its stamp to be beyond doubt."""
    while time.time_ns() - os.stat(path).st_ctime_ns < seconds * 1e9:
        time.sleep(0.002)


@pytest.fixture
def settle() -> Callable[[Path], None]:
    return lambda path: age(path, 0.03)
