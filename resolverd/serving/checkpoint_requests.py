"""Requests about checkpoints: prefetch, path, lease, verify."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.to_thread
from resolverd_client.errors import FetchError, ResolverdError

from resolverd.cards.resolve import Resolution
from resolverd.serving.arguments import check, known, maybe, seconds
from resolverd.serving.call import Call, Reply
from resolverd.serving.card_requests import CardRequests, not_found
from resolverd.serving.members import member
from resolverd.serving.promises import promised
from resolverd.serving.readers import check_reader
from resolverd.serving.targets import Asset, read

log = logging.getLogger(__name__)

_TRIES = 3


class Ready(Protocol):
    """A verified file on the local disk."""

    @property
    def path(self) -> str:
        """The file, or the folder of several."""

    @property
    def key(self) -> str:
        """Its object in the cache; empty for a file used in place."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def digest(self) -> str | None:
        """Its digest, ``sha256:<hex>``; None where several files have one each."""

    @property
    def trust(self) -> str:
        """Who vouched for the digest: card, origin, or first-use."""

    @property
    def readers(self) -> Sequence[int] | None:
        """Group ids whose members may read it; None: everyone."""


class Lease(Protocol):
    """What keeps an object from eviction."""

    @property
    def fd(self) -> int:
        """The descriptor that holds it."""

    @property
    def told(self) -> int:
        """Length of the lock file when it was taken."""


class Fetcher(Protocol):
    """What these requests need of the checkpoint engine; raises the client's errors."""

    cache_dir: str

    async def ensure(
        self, asset: Asset, *, refresh: bool, progress: Callable[[Mapping[str, Any]], None] | None
    ) -> Ready:
        """Have the asset on disk, verified; joins a download that is under way."""

    async def readers(self, asset: Asset) -> Sequence[int] | None:
        """Tell who may read the asset, as far as is known before it was fetched."""

    async def find(self, asset: Asset) -> Ready | None:
        """Give what is on disk, without fetching."""

    async def lease(self, ready: Ready) -> Lease:
        """Open a descriptor that keeps the object from eviction while it is open."""

    async def verify(self, assets: Sequence[Asset] | None) -> list[dict[str, object]]:
        """Hash again what is cached of the assets, or everything."""

    async def start(self, asset: Asset, *, refresh: bool) -> None:
        """Have the asset fetched in the background; refuses what can't be fetched at all."""

    def shown(self, uri: str) -> str:
        """Give a URI without what may be secret in it."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a client wants its target."""

    wait: bool
    timeout: float | None
    refresh: bool


class CheckpointRequests:
    """Answers requests by asking the engine.

    Args:
        cards: Resolves names.
        fetcher: The engine.
        follow: Told each name that is prefetched, so that it is fetched anew when its card changes.
    """

    def __init__(
        self, cards: CardRequests, fetcher: Fetcher, follow: Callable[[str], None]
    ) -> None:
        self._cards = cards
        self._fetcher = fetcher
        self._follow = follow

    def assets(self, name: str) -> list[Asset]:
        """Give what there is to fetch for a name; raises errors of the wire."""
        return read({"name": name}, self._resolve)

    def read(self, target: object) -> list[Asset]:
        """Work out what a target of the wire means; raises errors of the wire."""
        return read(target, self._resolve)

    async def prefetch(self, call: Call, targets: object, options: object = None) -> object:
        """Fetch all targets side by side; answer one result a file, failures among them."""
        asked = _options(options)
        wanted = check(targets, list, "targets")
        results: list[list[dict[str, object]]] = []
        async with anyio.create_task_group() as tasks:  # one timeout holds for all of it
            for target in wanted:
                results.append([])
                try:
                    assets = await self._read(target)
                except ResolverdError as error:
                    results[-1].append(_failed(target, error))
                    continue
                for asset in assets:
                    results.append([])
                    tasks.start_soon(self._prefetch, call, asset, asked, results[-1])
        return [result for group in results for result in group]

    async def path(self, call: Call, target: object, options: object = None) -> object:
        """Answer where the verified file is, fetching it if it is missing."""

        async def answer(located: dict[str, object], _ready: Ready) -> object:
            return located

        return await self._at_hand(call, target, options, answer)

    async def lease(self, call: Call, target: object, options: object = None) -> object:
        """Like path, with the descriptor that keeps the object from eviction."""

        async def answer(located: dict[str, object], ready: Ready) -> object:
            lease = await self._fetcher.lease(ready)
            return Reply({**located, "told": lease.told}, (lease.fd,))

        return await self._at_hand(call, target, options, answer)

    async def _at_hand(
        self,
        call: Call,
        target: object,
        options: object,
        answer: Callable[[dict[str, object], Ready], Awaitable[object]],
    ) -> object:
        """Answer with the file; once more when it is evicted before the answer is made."""
        asked = _options(options)
        asset = (await self._read(target))[0]
        fault: FetchError | None = None
        for _ in range(_TRIES):
            ready = await self._ensure(call, asset, asked)
            try:
                return await answer(self._located(asset, ready), ready)
            except FileNotFoundError as error:
                fault = FetchError(
                    f"{self._fetcher.shown(asset.uri)} is evicted as fast as it is fetched: the "
                    "cache is too small for what this node's jobs use."
                )
                fault.__cause__ = error
            except FetchError as error:
                fault = error
        assert fault is not None  # noqa: S101  # each try returns or sets it
        raise fault

    async def verify(self, call: Call, options: object = None) -> object:
        """Hash cached objects again: those of the names, or all of them."""
        asked = maybe(options, dict, "options") or {}
        known(asked, ("names", "all"), "verify")
        if asked.get("all"):
            return await self._fetcher.verify(None)
        assets: list[Asset] = []
        for name in check(asked.get("names"), list, "names"):
            assets += await self._read({"name": name})
        return await self._fetcher.verify(assets)

    def _located(self, asset: Asset, ready: Ready) -> dict[str, object]:
        """Tell also what lets a client in another mount namespace see that it has no such file."""
        shown = self._shown(asset, ready)
        inode = os.stat(str(shown["path"])).st_ino
        return {**shown, "inode": inode, "cache": self._fetcher.cache_dir}

    def _shown(self, asset: Asset, ready: Ready | None) -> dict[str, object]:
        return {
            "name": asset.name,
            "field": asset.field,
            "kind": asset.kind,
            "uri": self._fetcher.shown(asset.uri),
            "path": None if ready is None else _path(asset, ready),
            "key": None if ready is None else ready.key,
            "size": None if ready is None else ready.size,
            "digest": None if ready is None else ready.digest,
            "trust": None if ready is None else ready.trust,
            "error": None,
        }

    async def _read(self, target: object) -> list[Asset]:
        assets = read(target, self._resolve)
        if any(asset.name is None and asset.checksum is None for asset in assets):
            index = self._cards.snapshot.index
            look = partial(promised, index=index, resolve=self._resolve)
            return [await anyio.to_thread.run_sync(look, asset) for asset in assets]
        return assets

    def _resolve(self, name: str, env: str | None) -> Resolution:
        found = self._cards.resolution(name, env)
        if found is None:
            raise not_found(name)
        return found

    async def _prefetch(
        self, call: Call, asset: Asset, options: Options, into: list[dict[str, object]]
    ) -> None:
        into.append(await self._prefetch_one(call, asset, options))

    async def _prefetch_one(self, call: Call, asset: Asset, options: Options) -> dict[str, object]:
        try:
            await self._admit(call, asset, None)
            if asset.name is not None:
                self._follow(asset.name)
            if options.wait:
                return self._shown(asset, await self._ensure(call, asset, options))
            ready = None if options.refresh else await self._fetcher.find(asset)
            if ready is not None:
                await self._admit(call, asset, ready)
            else:
                await self._fetcher.start(asset, refresh=options.refresh)
            return self._shown(asset, ready)
        except ResolverdError as error:
            return {**self._shown(asset, None), "error": _error(error)}
        except Exception as error:  # one target's bug must not cost the others their answer
            log.exception("prefetch of %s failed", self._fetcher.shown(asset.uri))
            fault = ResolverdError(f"{type(error).__name__}: {error}; see the daemon's log")
            return {**self._shown(asset, None), "error": _error(fault)}

    async def _ensure(self, call: Call, asset: Asset, options: Options) -> Ready:
        """Have what the client wants, and may read."""
        await self._admit(call, asset, None)
        ready = await self._fetched(call, asset, options)
        await self._admit(call, asset, ready)
        return ready

    async def _admit(self, call: Call, asset: Asset, ready: Ready | None) -> None:
        """Refuse who may not read it: by what the rules say, or by what was published."""
        readers = ready.readers if ready else await self._fetcher.readers(asset)
        check_reader(call.peer, readers, self._fetcher.shown(asset.uri))

    async def _fetched(self, call: Call, asset: Asset, options: Options) -> Ready:
        if not options.wait:
            if ready := await self._fetcher.find(asset):
                return ready
            await self._fetcher.start(asset, refresh=options.refresh)
            uri = self._fetcher.shown(asset.uri)
            raise FetchError(f"{uri} is not on this node's disk yet; it is being fetched.")

        fault: list[str] = []

        def progress(event: Mapping[str, Any]) -> None:
            if event.get("fault"):
                fault[:] = [str(event["fault"])]
            call.notify("progress", [call.id, {"name": asset.name, "field": asset.field, **event}])

        with anyio.move_on_after(options.timeout):
            return await self._fetcher.ensure(asset, refresh=options.refresh, progress=progress)
        raise FetchError(
            f"{self._fetcher.shown(asset.uri)} was not ready within {options.timeout:g} s"
            f"{'; last fault: ' + fault[-1].rstrip('.') if fault else ''}. What has arrived is "
            "kept: ask again to go on from there.",
            details={"timeout": options.timeout},
        )


def _options(value: object) -> Options:
    asked = maybe(value, dict, "options") or {}
    known(asked, ("wait", "timeout", "refresh"), "options")
    return Options(
        wait=check(asked.get("wait", True), bool, "wait"),
        timeout=seconds(asked, "timeout"),
        refresh=check(asked.get("refresh", False), bool, "refresh"),
    )


def _path(asset: Asset, ready: Ready) -> Path:
    found = member(ready.path, asset.inside, asset.name) if asset.inside else ready.path
    return Path(found)


def _failed(target: object, error: ResolverdError) -> dict[str, object]:
    asked = target if isinstance(target, Mapping) else {}
    known_parts = {key: asked.get(key) for key in ("name", "field", "kind", "uri")}
    nothing = dict.fromkeys(("path", "key", "size", "digest", "trust"))
    return {**known_parts, **nothing, "error": _error(error)}


def _error(error: ResolverdError) -> dict[str, object]:
    return {"code": error.code, "message": str(error), "details": error.details}
