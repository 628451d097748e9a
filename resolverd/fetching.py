"""Joins the requests of clients to the checkpoint engine: types and errors of one, the other's."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.abc
import anyio.to_thread
from resolverd_client.errors import FetchError, RequestError, VerificationError

from resolverd.checkpoints import faults
from resolverd.checkpoints.asset.target import Wanted, is_sharded, shown
from resolverd.errors import CacheError, CardError, ResolverdError, SourceError
from resolverd.serving.checkpoint_requests import Ready
from resolverd.serving.targets import Asset

if TYPE_CHECKING:
    from resolverd.checkpoints.access.policy import Policy
    from resolverd.checkpoints.holdings import Holdings
    from resolverd.checkpoints.limits import Limits
    from resolverd.checkpoints.results import Lease
    from resolverd.checkpoints.service import Checkpoints, Progress, Published

log = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Background fetches at a time; more are refused."""


class Fetching:
    """The engine as the requests see it.

    Cards are served before the engine is even loaded; who asks for a checkpoint waits that moment.

    Args:
        build: Makes the engine.
        cache_dir: Where it keeps its objects.
    """

    def __init__(self, build: Callable[[], Checkpoints], cache_dir: str) -> None:
        self.cache_dir = cache_dir
        self._build = build
        self._built = anyio.Event()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._background: set[object] = set()

    async def run(self) -> None:
        """Own the engine and the background fetches, until cancelled."""
        self._engine = self._build()
        async with anyio.create_task_group() as self._tasks:
            await self._tasks.start(self._engine.run)
            self._built.set()

    @property
    def downloads(self) -> list[dict[str, Any]]:
        """Each download under way: ``uri``, ``done`` and ``total`` bytes, ``rate``, ``step``."""
        return self._engine.downloads if self._built.is_set() else []

    async def configure(self, bounds: Callable[[], tuple[Limits, Policy]]) -> None:
        """Go by other bounds and rules; an engine not yet there is made with them."""
        if hasattr(self, "_engine"):
            await self._engine.configure(*await anyio.to_thread.run_sync(bounds))

    async def ensure(
        self, asset: Asset, *, refresh: bool, progress: Callable[[Mapping[str, Any]], None] | None
    ) -> Ready:
        """Have the asset on disk, verified; joins a download that is under way."""

        def tell(event: Progress) -> None:
            if progress is not None:
                progress(asdict(event))

        with translated():
            return await (await self._ready()).ensure(
                _wanted(asset), refresh=refresh, progress=tell
            )

    async def readers(self, asset: Asset) -> Sequence[int] | None:
        """Tell who may read the asset, as far as is known before it was fetched."""
        with translated():
            return (await self._ready()).readers(_wanted(asset))

    async def find(self, asset: Asset) -> Ready | None:
        """Give what is on disk, without fetching."""
        with translated():
            engine = await self._ready()
            return await anyio.to_thread.run_sync(engine.find, _wanted(asset))

    async def lease(self, ready: Ready) -> Lease:
        """Open a descriptor that keeps the object from eviction while it is open."""
        with translated():
            return await (await self._ready()).hold(cast("Published", ready))

    async def verify(self, assets: Sequence[Asset] | None) -> list[dict[str, object]]:
        """Hash again what is cached of the assets, or everything."""
        engine = await self._ready()
        with translated():
            if assets is None:
                return [asdict(verdict) for verdict in await engine.verify()]
            return [
                {"name": asset.name, "field": asset.field, **asdict(verdict)}
                for asset in assets
                for verdict in await engine.verify(_wanted(asset))
            ]

    async def start(self, asset: Asset, *, refresh: bool) -> None:
        """Have the asset fetched in the background.

        Raises:
            RequestError: Too much is being fetched in the background.
        """
        wanted = _wanted(asset)
        engine = await self._ready()
        with translated():
            engine.check(wanted)
        if self._tasks is None or wanted.identity in self._background:
            return
        if len(self._background) >= MOST_WAITING:
            raise RequestError(
                f"{MOST_WAITING} fetches wait in the background already; wait for some of them."
            )
        self._background.add(wanted.identity)
        self._tasks.start_soon(self._fetch, wanted, refresh)

    def shown(self, uri: str) -> str:
        """Give a URI without what may be secret in it."""
        return shown(uri)

    @property
    def warnings(self) -> list[str]:
        """What keeps the cache from being used, if anything does."""
        problem = self._engine.problem if self._built.is_set() else None
        return [problem] if problem else []

    async def status(self) -> dict[str, Any]:
        """Tell the state of the cache and of the downloads."""
        return await anyio.to_thread.run_sync(self._status, await self._ready())

    def _status(self, engine: Checkpoints) -> dict[str, Any]:
        return {**engine.status(), "dir": self.cache_dir, "free_bytes": _room(self.cache_dir)}

    async def holdings(self) -> Holdings:
        """Give what the cache holds, once the engine is there."""
        return (await self._ready()).holdings

    async def _ready(self) -> Checkpoints:
        await self._built.wait()
        return self._engine

    async def _fetch(self, wanted: Wanted, refresh: bool) -> None:
        try:
            await self._engine.ensure(wanted, refresh=refresh)
        except ResolverdError as error:
            log.warning("prefetch of %s failed: %s", wanted.shown, error)
        except Exception:
            log.exception("prefetch of %s failed", wanted.shown)
        finally:
            self._background.discard(wanted.identity)


def _room(folder: str) -> int | None:
    """Bytes free where the folder is, or will be once something is fetched."""
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def wanted(asset: Asset) -> Wanted:
    """Give what the engine is asked for to have an asset."""
    with translated():
        return _wanted(asset)


def place_of(asset: Asset) -> str:
    """Give an asset's place in the cache."""
    with translated():
        return _wanted(asset).asset


def _wanted(asset: Asset) -> Wanted:
    shards = asset.shards if is_sharded(asset.uri) else 0
    return Wanted(asset.kind, asset.uri, asset.checksum, asset.localise, shards)


@contextmanager
def translated() -> Iterator[None]:
    """Give the engine's errors the codes of the wire."""
    try:
        yield
    except faults.VerificationError as error:
        raise VerificationError(str(error)) from error
    except faults.Denied as error:
        raise RequestError(str(error), code="denied") from error
    except CardError as error:
        raise RequestError(str(error)) from error
    except (SourceError, CacheError) as error:
        raise FetchError(str(error)) from error
