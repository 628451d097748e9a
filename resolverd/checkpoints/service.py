"""Checkpoints for the daemon: ask for one, get the path of a verified file.

Never blocks the loop: bytes, hashes and syncs are the worker's. One download serves everyone who
asks for the same thing, and ends when the last of them leaves. What is published is answered from
the disk, without the worker.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread

from resolverd.checkpoints import digest, disk, leases, policy
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.link import Link
from resolverd.checkpoints.manifest import Manifest
from resolverd.checkpoints.plan import Trust
from resolverd.checkpoints.policy import Policy
from resolverd.checkpoints.sources.file import located, stamp_of
from resolverd.checkpoints.target import Wanted
from resolverd.errors import CacheError, ResolverdError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """A verified file or folder, ready to be read.

    Attributes:
        path: What to open: the file when there is just one, else the folder.
        key: Name of the object; of a file used in place, a name that no object has.
        uri: Where it came from, without secrets.
        kind: What it was wanted for.
        size: Bytes.
        digest: ``algorithm:hex`` of what was fetched; None for a local file without a checksum.
        trust: On whose word it was verified.
        files: Paths below the object.
    """

    path: str
    key: str
    uri: str
    kind: str
    size: int
    digest: str | None
    trust: Trust
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is.

    Attributes:
        uri: Of what, without secrets.
        done: Bytes that are there.
        total: Bytes in all; None while unknown.
        rate: Bytes a second, over the last seconds.
        state: ``waiting``, ``connecting``, ``fetching``, ``retrying``, ``verifying``,
            ``unpacking`` or ``publishing``.
    """

    uri: str
    done: int
    total: int | None
    rate: float
    state: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What hashing an object again has shown.

    Attributes:
        key: The object.
        uri: Where it came from.
        ok: Whether it is what was published.
        reason: What is wrong; empty when nothing is. A bad object is in quarantine by now.
    """

    key: str
    uri: str
    ok: bool
    reason: str = ""


Listener = Callable[[Progress], None]


@dataclass(eq=False, slots=True)
class _Flight:
    """One download and everyone who waits for it."""

    wanted: Wanted
    refresh: bool
    force: bool
    last: Progress
    listeners: list[Listener | None] = field(default_factory=list)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ended: anyio.Event = field(default_factory=anyio.Event)
    result: Published | None = None
    error: Exception | None = None

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take in what the worker says, and tell everyone."""
        progress = Progress(
            self.last.uri, event["done"], event["total"], event["rate"], event["step"]
        )
        self.last = progress
        for listener in tuple(self.listeners):
            if listener is not None:
                listener(progress)


def _never(_path: str) -> bool:
    return False


class Checkpoints:
    """The cache as the daemon sees it.

    Args:
        cache_dir: Where it is; made when it does not exist.
        limits: Bounds of downloads.
        rules: What may be read.
        is_network: Tells whether a path lies on a network file system, so that it is copied.
    """

    def __init__(
        self,
        cache_dir: str | os.PathLike[str],
        limits: Limits | None = None,
        rules: Policy | None = None,
        *,
        is_network: Callable[[str], bool] = _never,
    ) -> None:
        self._layout = Layout(os.fspath(cache_dir))
        self._limits = limits or Limits()
        self._policy = _with_real_roots(rules or Policy())
        self._is_network = is_network
        self._link = Link(
            {
                "root": self._layout.root,
                "limits": asdict(self._limits),
                "schemes": list(self._policy.schemes),
                "file_roots": self._policy.file_roots and list(self._policy.file_roots),
            }
        )
        self._flights: dict[object, _Flight] = {}
        self._busy: dict[str, tuple[anyio.Lock, list[None]]] = {}
        self._room = anyio.CapacityLimiter(self._limits.concurrency)
        self._hashing = anyio.CapacityLimiter(1)  # never behind downloads
        self._group: anyio.abc.TaskGroup | None = None
        self._started = anyio.Event()
        self._examined: dict[object, tuple[str, Published]] = {}

    def __repr__(self) -> str:
        return f"<Checkpoints {self._layout.root} flights={len(self._flights)} {self._link!r}>"

    async def run(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Own the worker and all downloads, until cancelled."""
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                group.start_soon(self._link.run)
                self._started.set()
                task_status.started()
        finally:
            self._group = None

    async def ensure(
        self,
        wanted: Wanted,
        *,
        refresh: bool = False,
        force: bool = False,
        progress: Listener | None = None,
    ) -> Published:
        """Give the verified file, fetching it first where need be.

        Args:
            wanted: What.
            refresh: Ask the origin for a new version, though there is one here.
            force: Fetch it again in any case.
            progress: Told of every step, from this loop; it must not block.

        Raises:
            SourceError: The origin does not give it, or not what was promised.
            CacheError: The cache can't take it.
        """
        policy.check_scheme(self._policy, wanted.scheme, wanted.shown)
        digest.parse_card(wanted.checksum)
        if not (refresh or force):
            found = await anyio.to_thread.run_sync(self.find, wanted, abandon_on_cancel=True)
            if found is not None:
                return found
        await self._started.wait()
        key = (wanted.identity, refresh, force)
        flight = self._flights.get(key) or self._take_off(key, wanted, refresh=refresh, force=force)
        flight.listeners.append(progress)
        try:
            if progress is not None:
                progress(flight.last)
            await flight.ended.wait()
        finally:
            flight.listeners.remove(progress)
            if not flight.listeners and not flight.ended.is_set():
                self._flights.pop(key, None)  # who asks from now on starts anew
                flight.scope.cancel()
        if flight.error is not None:
            raise flight.error
        assert flight.result is not None  # noqa: S101  # it ended, and without an error
        return replace(flight.result, kind=wanted.kind)

    def find(self, wanted: Wanted) -> Published | None:
        """What is there already and fits; small reads of the disk, none of the network.

        Raises:
            SourceError: For a local file that does not exist or may not be read.
        """
        if not self._copies(wanted):
            return self._find_in_place(wanted)
        manifest = disk.current(self._layout, wanted.asset)
        if manifest is None or not manifest.fits(digest.parse_card(wanted.checksum)):
            return None
        path = disk.visible_path(self._layout, manifest)
        return _published(manifest, wanted, path) if os.path.exists(path) else None

    def lease(self, published: Published) -> int:
        """Protect an object from eviction.

        Returns:
            A descriptor that holds the lease in every process that has it, until closed.

        Raises:
            CacheError: When the object is being removed: ask for it again.
        """
        lock = self._layout.lock(published.key)
        if published.key.endswith("-local"):  # nothing evicts it; the caller gets its descriptor
            with disk.explained(self._layout):
                leases.make(lock)
        return leases.take(lock)

    async def verify(self, wanted: Wanted | None = None) -> list[Verdict]:
        """Hash published objects again: one, or all of them."""
        keys = await anyio.to_thread.run_sync(self._keys, wanted)
        verdicts = []
        for key in keys:
            asset = key.partition("-")[0]
            async with self._alone(asset), self._hashing:
                result = await self._link.call(
                    "verify", {"key": key, "asset": asset}, lambda _: None
                )
            reason = "; ".join(result["faults"])
            verdicts.append(Verdict(key, result["uri"], not reason, reason))
        return verdicts

    def status(self) -> dict[str, Any]:
        """What an operator wants to know, as plain data. Lists the cache: call it in a thread."""
        manifests = [disk.read_manifest(self._layout, key) for key in self._keys(None)]
        return {
            "cache": self._layout.root,
            "objects": len(manifests),
            "bytes": sum(manifest.size for manifest in manifests if manifest),
            "worker": {"pid": self._link.pid, "restarts": max(0, self._link.restarts)},
            "downloads": [
                {**asdict(flight.last), "requesters": len(flight.listeners)}
                for flight in tuple(self._flights.values())
            ],
        }

    # -- downloads

    def _take_off(self, key: object, wanted: Wanted, *, refresh: bool, force: bool) -> _Flight:
        if self._group is None:
            raise CacheError("resolverd is stopping: ask again once it runs.")
        flight = _Flight(wanted, refresh, force, Progress(wanted.shown, 0, None, 0.0, "waiting"))
        self._flights[key] = flight
        self._group.start_soon(self._fly, key, flight)
        return flight

    async def _fly(self, key: object, flight: _Flight) -> None:
        try:
            with flight.scope:
                copies = await anyio.to_thread.run_sync(self._copies, flight.wanted)
                async with self._alone(flight.wanted.asset):
                    if copies:
                        flight.result = await self._fetch(flight)
                    else:
                        flight.result = await self._examine(flight)
        except ResolverdError as error:
            flight.error = error
        except Exception as error:
            log.exception("fetching %s failed", flight.wanted.shown)
            flight.error = CacheError(
                f"{flight.wanted.shown}: {type(error).__name__}: {error}; see the daemon's log."
            )
        finally:
            if flight.result is None and flight.error is None:
                flight.error = CacheError(f"{flight.wanted.shown}: the download was cancelled.")
            if self._flights.get(key) is flight:
                del self._flights[key]
            flight.ended.set()

    async def _fetch(self, flight: _Flight) -> Published:
        options = {"refresh": flight.refresh, "force": flight.force}
        async with self._room:
            result = await self._link.call("fetch", _params(flight.wanted) | options, flight.hear)
        return _answered(flight.wanted, result)

    async def _examine(self, flight: _Flight) -> Published:
        wanted = flight.wanted
        path = await anyio.to_thread.run_sync(located, wanted.local_path, self._policy)
        async with self._hashing:
            result = await self._link.call("examine", _params(wanted) | {"path": path}, flight.hear)
        published = _answered(wanted, result)
        if os.path.basename(path) in published.files:  # a file, whose version one stat tells
            self._examined[wanted.identity] = (result["stamp"], published)
        return published

    @asynccontextmanager
    async def _alone(self, asset: str) -> AsyncIterator[None]:
        """One at a time for each asset: they share one partial folder."""
        lock, waiting = self._busy.setdefault(asset, (anyio.Lock(), []))
        waiting.append(None)
        try:
            async with lock:
                yield
        finally:
            waiting.pop()
            if not waiting:
                del self._busy[asset]

    # -- what is there

    def _copies(self, wanted: Wanted) -> bool:
        return wanted.scheme != "file" or wanted.localise or self._is_network(wanted.local_path)

    def _find_in_place(self, wanted: Wanted) -> Published | None:
        path = located(wanted.local_path, self._policy)
        if os.path.isdir(path) and wanted.checksum is None:
            # There is nothing to check it against, and it may hold millions of files.
            key = f"{wanted.asset}-local"
            return Published(path, key, wanted.shown, wanted.kind, 0, None, "first-use", ())
        stamp, published = self._examined.get(wanted.identity, ("", None))
        try:
            status = os.stat(path)
        except OSError:
            return None
        return published if stat.S_ISREG(status.st_mode) and stamp_of(status) == stamp else None

    def _keys(self, wanted: Wanted | None) -> list[str]:
        if wanted is not None:
            manifest = disk.current(self._layout, wanted.asset)
            return [manifest.key] if manifest else []
        try:
            return sorted(os.listdir(self._layout.folder("objects")))
        except (FileNotFoundError, NotADirectoryError):
            return []


def _with_real_roots(rules: Policy) -> Policy:
    if rules.file_roots is None:
        return rules
    return Policy(
        rules.schemes, policy.resolved(os.path.realpath(root) for root in rules.file_roots)
    )


def _params(wanted: Wanted) -> dict[str, Any]:
    checksum = wanted.checksum
    return {
        "asset": wanted.asset,
        "kind": wanted.kind,
        "uri": wanted.uri,
        "checksum": dict(checksum) if isinstance(checksum, Mapping) else checksum,
        "localise": wanted.localise,
    }


def _answered(wanted: Wanted, result: Mapping[str, Any]) -> Published:
    return Published(
        path=result["path"],
        key=result["key"],
        uri=wanted.shown,
        kind=wanted.kind,
        size=result["size"],
        digest=result["digest"],
        trust=result["trust"],
        files=tuple(result["files"]),
    )


def _published(manifest: Manifest, wanted: Wanted, path: str) -> Published:
    return Published(
        path=path,
        key=manifest.key,
        uri=wanted.shown,
        kind=wanted.kind,
        size=manifest.size,
        digest=manifest.digest,
        trust="card" if wanted.checksum else manifest.trust,
        files=tuple(entry.path for entry in manifest.files),
    )
