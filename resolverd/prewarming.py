"""Keeps checkpoints on the disk before jobs ask: those the configuration or a card names.

One task an asset: it fetches, and tries again for as long as the asset is wanted. A card that
changes has its new asset fetched at once; what was fetched for the old one stays for who reads it.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio
import anyio.abc
import anyio.to_thread
from resolverd_client.errors import AssetNotFoundError, ResolverdError

from resolverd.serving.targets import Asset

log = logging.getLogger(__name__)

Key = tuple[str, "str | None"]
Read = Callable[[str], Sequence[Asset]]
"""Gives what there is to fetch for a name."""

FOLLOWED_MOST = 1000
"""Names that clients had fetched, and that are fetched anew when their card changes."""

_PAUSE = 30.0
_PAUSE_MOST = 3600.0


class Fetcher(Protocol):
    """What this needs of the checkpoint engine."""

    async def ensure(
        self, asset: Asset, *, refresh: bool, progress: Callable[[Mapping[str, Any]], None] | None
    ) -> object:
        """Have the asset on disk, verified."""


@dataclass(eq=False, slots=True)
class _Errand:
    """One asset that is wanted.

    Attributes:
        asset: Which.
        scope: Ends its task.
        ready: Whether it is on the disk.
        fault: What went wrong last; None when nothing did.
        next_try: When it is tried again, by the clock of ``time.time``.
    """

    asset: Asset
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ready: bool = False
    fault: str | None = None
    next_try: float | None = None


def pause(failures: int, jitter: float) -> float:
    """Seconds to wait after so many failures in a row.

    Args:
        failures: At least 1.
        jitter: Uniform in 0..1, so that the nodes of a cluster do not come back as one.
    """
    return min(_PAUSE * 2.0 ** min(failures - 1, 16), _PAUSE_MOST) * (0.5 + jitter / 2)


class Prewarming:
    """What is wanted on the disk, and how far that is.

    Args:
        choose: Gives the names that are wanted, from the names that clients asked for.
        read: Gives what there is to fetch for a name.
        fetcher: The engine.
        side_by_side: Fetches at a time; fewer than the engine does, so that requests get through.
    """

    def __init__(
        self,
        choose: Callable[[Sequence[str]], Sequence[str]],
        read: Read,
        fetcher: Fetcher,
        side_by_side: int,
    ) -> None:
        self._choose = choose
        self._read = read
        self._fetcher = fetcher
        self._turns = anyio.CapacityLimiter(side_by_side)
        self._errands: dict[Key, _Errand] = {}
        self._unusable: dict[str, str] = {}
        self._followed: dict[str, None] = {}
        self._news = anyio.Event()

    @property
    def side_by_side(self) -> int:
        """Fetches at a time."""
        return int(self._turns.total_tokens)

    @side_by_side.setter
    def side_by_side(self, number: int) -> None:
        self._turns.total_tokens = number

    def __repr__(self) -> str:
        ready = sum(errand.ready for errand in self._errands.values())
        return f"<Prewarming {ready} of {len(self._errands)} ready>"

    def look(self) -> None:
        """Look again at what is wanted, soon."""
        self._news.set()

    def follow(self, name: str) -> None:
        """Fetch for this name again whenever its card changes: a client has asked for it."""
        self._followed.pop(name, None)
        self._followed[name] = None
        while len(self._followed) > FOLLOWED_MOST:
            del self._followed[next(iter(self._followed))]

    def status(self) -> dict[str, object]:
        """What an operator wants to know."""
        errands = tuple(self._errands.items())
        failed = [
            {"name": name, "field": field, "error": errand.fault, "next_try": errand.next_try}
            for (name, field), errand in errands
            if errand.fault is not None
        ]
        failed += [
            {"name": name, "field": None, "error": fault, "next_try": None}
            for name, fault in self._unusable.items()
        ]
        return {
            "wanted": len(errands) + len(self._unusable),
            "ready": sum(errand.ready for _, errand in errands),
            "failed": failed,
        }

    async def run(self) -> None:
        """Fetch what is wanted, until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                wanted = await anyio.to_thread.run_sync(self._wanted, tuple(self._followed))
                self._arrange(wanted, tasks)
                await self._news.wait()
                self._news = anyio.Event()

    def _wanted(self, followed: Sequence[str]) -> dict[Key, Asset]:
        found: dict[Key, Asset] = {}
        unusable: dict[str, str] = {}
        for name in self._choose(followed):
            try:
                found.update({(name, asset.field): asset for asset in self._read(name)})
            except AssetNotFoundError:  # noqa: PERF203 -- a card without files, as others match
                continue
            except ResolverdError as error:
                unusable[name] = str(error)
        self._unusable = unusable
        return found

    def _arrange(self, wanted: Mapping[Key, Asset], tasks: anyio.abc.TaskGroup) -> None:
        """Begin what is new, and end what is wanted no more, or is something else now."""
        for key, errand in tuple(self._errands.items()):
            if wanted.get(key) != errand.asset:
                errand.scope.cancel()
                del self._errands[key]
        for key, asset in wanted.items():
            if key not in self._errands:
                self._errands[key] = _Errand(asset)
                tasks.start_soon(self._fetch, self._errands[key])

    async def _fetch(self, errand: _Errand) -> None:
        with errand.scope:
            failures = 0
            while not await self._fetched(errand):
                failures += 1
                wait = pause(failures, random.random())  # noqa: S311
                errand.next_try = time.time() + wait
                await anyio.sleep(wait)

    async def _fetched(self, errand: _Errand) -> bool:
        what = " ".join(filter(None, (errand.asset.name, errand.asset.field)))
        try:
            async with self._turns:
                await self._fetcher.ensure(errand.asset, refresh=False, progress=None)
        except ResolverdError as error:
            if errand.fault != str(error):
                log.warning("prefetch of %s failed: %s", what, error)
            errand.fault = str(error)
            return False
        errand.ready, errand.fault, errand.next_try = True, None, None
        log.debug("prefetch of %s: ready", what)
        return True
