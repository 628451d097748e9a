"""Keeps the kernel's watches on what the stores consist of, and turns events into hints.

When watching fails, scanning goes on alone: the reason and its remedy are shown, and watching is
tried again now and then.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from resolverd.journal import event

from .events import MODIFIED, EventsLostError, Watches, build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from anyio.abc import TaskGroup

    from .follow import Follower, Places
    from .scan import Identity
    from .settings import WatchSettings
    from .status import WatchProblem, WatchStatus

log = logging.getLogger(__name__)

T = TypeVar("T")

_REST = 20
"""A build rests so many times as long as it took before the next, so that growth stays cheap."""
_MANY = 50


@dataclass(slots=True)
class Table:
    """What is watched.

    Attributes:
        identities: Each directory, by its real path, with its identity.
        meanings: By real path, whose it is and what that store calls it.
    """

    identities: dict[str, Identity] = field(default_factory=dict)
    meanings: dict[str, list[tuple[Follower, str]]] = field(default_factory=dict)

    def add(self, path: str, identity: Identity, follower: Follower, name: str) -> None:
        """Watch one directory for one store."""
        self.identities[path] = identity
        self.meanings.setdefault(path, []).append((follower, name))


class Eyes:
    """One set of watches for all stores that are not polled."""

    def __init__(
        self, followers: Sequence[Follower], settings: WatchSettings, status: WatchStatus
    ) -> None:
        self._followers = followers
        self._settings = settings
        self._status = status
        self._table = Table()
        self._watches: Watches | None = None
        self._dirty = False
        self._changed = anyio.Event()
        for follower in followers:
            follower.moved = self._change
            follower.lost = self._doubt

    async def run(self) -> None:
        """Watch for ever."""
        async with anyio.create_task_group() as group:
            while True:
                self._changed = anyio.Event()
                wanted = [(one, one.places) for one in self._followers]
                table = await _in_thread(lambda: _table(wanted))  # noqa: B023 (awaited at once)
                if self._dirty or not table.identities.items() <= self._table.identities.items():
                    await self._rebuild(table, group)
                self._table = table
                await self._rest()

    def _change(self) -> None:
        self._changed.set()

    def _doubt(self) -> None:
        self._dirty = True
        self._changed.set()

    async def _rest(self) -> None:
        troubled = self._watches is not None and not self._watches.complete
        with anyio.move_on_after(self._settings.retry if troubled else float("inf")) as scope:
            await self._changed.wait()
        if scope.cancelled_caught:
            self._dirty = True

    async def _rebuild(self, table: Table, group: TaskGroup) -> None:
        """Build the new set beside the old one, and let that drain before it goes."""
        start, old, lost = time.monotonic(), self._watches, self._dirty or not self._table.meanings
        self._dirty = False
        paths = sorted(table.identities, key=lambda path: (path.count("/"), path))
        new = await _in_thread(lambda: build(paths))
        if not new.complete and old is not None:  # both together may be what was too much
            old.stop()
            new.stop()
            lost = True
            new = await _in_thread(lambda: build(paths))
        fresh = table.identities.items() - self._table.identities.items()
        self._watches, self._table = new, table
        group.start_soon(self._pump, new)
        self._show(new, len(paths))
        self._hint({path for path, _ in fresh}, everything=lost)
        took = time.monotonic() - start
        await anyio.sleep(5 * self._settings.step)
        if old is not None:
            old.stop()
        await anyio.sleep(min(_REST * took, self._settings.scan_interval))

    def _show(self, watches: Watches, count: int) -> None:
        self._status.rebuilds += 1
        _tell(self._status.problem, watches.problem)
        self._status.problem = watches.problem
        self._status.watched_directories = count if watches.complete else 0
        for follower in self._followers:
            follower.watched = watches.complete and bool(follower.places.names)

    def _hint(self, fresh: set[str], *, everything: bool) -> None:
        """Have looked at what may have changed before it was watched."""
        if everything or len(fresh) > _MANY:
            for follower in self._followers:
                if follower.places.names:
                    follower.hint_everything()
            return
        for path in fresh:
            for follower, name in self._table.meanings[path]:
                follower.hint(name)

    async def _pump(self, watches: Watches) -> None:
        try:
            while found := await _in_thread(lambda: watches.wait(self._settings.step)):
                self._dispatch(found)
        except EventsLostError:
            if watches is self._watches:
                await anyio.sleep(self._settings.scan_interval)  # scans fill the gap
                self._doubt()
        finally:
            watches.stop()

    def _dispatch(self, found: set[tuple[int, str]]) -> None:
        """Give each event to the stores that it may concern."""
        meanings = self._table.meanings
        if len(found) > self._settings.burst:
            self._doubt()  # directories may be among them
            self._hint(set(), everything=True)
            return
        for kind, path in found:
            parent, name = os.path.split(path)
            for follower, place in meanings.get(parent, ()):
                follower.hint(os.path.join(place, name))
            if path in meanings:
                self._dispatch_watched(kind, path)

    def _dispatch_watched(self, kind: int, path: str) -> None:
        """A watched directory itself came, went or changed: its watch may be gone with it."""
        if kind != MODIFIED:
            self._doubt_silently(path)
        for follower, place in self._table.meanings[path]:
            if kind != MODIFIED and place in follower.places.names:
                follower.hint_everything()
            follower.hint(place)

    def _doubt_silently(self, path: str) -> None:
        """Watch a path anew even though another directory of the same identity is there."""
        self._table.identities.pop(path, None)
        self._changed.set()


def _table(wanted: Iterable[tuple[Follower, Places]]) -> Table:
    table = Table()
    for follower, places in wanted:
        for place, identity in places.directories.items():
            table.add(os.path.realpath(place), identity, follower, place)
        for parent in {os.path.dirname(name) for name in places.names}:
            try:
                found = os.stat(parent)
            except OSError:
                continue
            table.add(parent, (found.st_dev, found.st_ino), follower, parent)
    return table


async def _in_thread(work: Callable[[], T]) -> T:
    """Run in a thread of its own account: the shared one may be taken by slow file systems."""
    return await anyio.to_thread.run_sync(
        work, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
    )


def _tell(old: WatchProblem | None, new: WatchProblem | None) -> None:
    """Log what keeps events away once when it appears and once when it is gone."""
    if new == old:
        return
    if new is not None:
        log.warning("%s %s", new.reason, new.remedy, extra=event("problem", code="watching"))
    elif old is not None:
        log.info("mended: %s", old.reason, extra=event("mended", code="watching"))
