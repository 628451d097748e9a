"""The composition root: builds every part from the settings, and owns every task.

Order at start: the socket is bound (connections wait in its queue), the kept snapshot is read, the
stores are scanned, the first generation is published, and only then is anybody answered.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from resolverd_client import protocol

from resolverd import __version__
from resolverd.cards.file import StoreChange
from resolverd.cards.published import begin
from resolverd.cards.snapshot import Diff, Snapshot
from resolverd.cards.store import Store
from resolverd.config import Layer, Settings, default_cache_dir, default_file, load
from resolverd.errors import ConfigError
from resolverd.fetching import Fetching
from resolverd.keeping import Keeper
from resolverd.publisher import Publisher
from resolverd.serving.card_requests import CardRequests
from resolverd.serving.checkpoint_requests import CheckpointRequests
from resolverd.serving.limits import Limits
from resolverd.serving.listen import Listener, bind, from_systemd, raise_descriptor_limit
from resolverd.serving.lookups import Lookups
from resolverd.serving.server import Server
from resolverd.serving.status import Sources, StatusRequest
from resolverd.stores.mounts import needs_polling, read_mounts
from resolverd.stores.settings import WatchSettings
from resolverd.stores.status import StoreStatus, WatchStatus
from resolverd.stores.watch import watch
from resolverd.stores.wellknown import default_stores, parse_spec

if TYPE_CHECKING:
    from resolverd.checkpoints.service import Checkpoints

log = logging.getLogger("resolverd")

SYSTEM_SOCKET = "/run/resolverd/resolverd.sock"


def run(config: Path | None, environ: MutableMapping[str, str], flags: Layer) -> None:
    """Run the daemon until it is told to stop.

    Args:
        config: The configuration file; None for the usual place.
        environ: The environment; what systemd passes in it is taken out.
        flags: Values of the command line, by table and key.

    Raises:
        ResolverdError: The daemon can't start; the message says why and what to do.
    """
    listener = from_systemd(environ)
    system = listener is not None or os.geteuid() == 0
    file = config or default_file(system=system, environ=environ)
    settings = load(file, environ, flags)
    _log_to_stderr(settings.daemon.log_level)
    raise_descriptor_limit()
    listener = listener or _bind(settings, environ, system=system)
    try:
        node = Daemon(settings, environ, listener, system=system)
        anyio.run(node.run, backend="asyncio", backend_options={"use_uvloop": True})
    finally:
        listener.close()


class Daemon:
    """One daemon: its parts, wired.

    Args:
        settings: Validated.
        environ: Where fairseq2's variables are read from.
        listener: Where clients connect.
        system: Whether it serves the whole node, or one user.
    """

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], listener: Listener, *, system: bool
    ) -> None:
        gc.disable()  # until all is loaded: going through it again and again frees nothing
        self._settings = settings
        self._listener = listener
        self._stores = stores_of(settings, environ)
        self._cache = settings.cache.dir or default_cache_dir(system=system, environ=environ)
        self._keeper = Keeper(self._cache, protocol)
        self._publisher = Publisher(begin(self._stores, self._keeper.restore()), protocol)
        self._watching = WatchStatus()
        self._served = anyio.Event()
        self._system = system
        self._fetching = Fetching(self._engine, str(self._cache))
        self._server = Server(
            self._handlers(),
            version=__version__,
            limits=Limits(connections=settings.daemon.max_connections),
        )

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        log.info("resolverd %s starting: %s", __version__, self._listener.path)
        self._publisher.subscribe(self._publish)
        async with anyio.create_task_group() as tasks, AsyncExitStack() as leaving:
            leaving.callback(tasks.cancel_scope.cancel)
            tasks.start_soon(self._watch)
            await self._served.wait()
            await self._server.start(self._listener.socket)
            gc.freeze()
            gc.enable()
            leaving.push_async_callback(self._server.close)
            log.info("serving %d cards", len(self._publisher.state.snapshot.index.cards))
            tasks.start_soon(self._fetching.run)
            tasks.start_soon(self._keeper.run)
            await _told_to_stop()
            log.info("stopping")
        await self._keeper.keep()

    def _engine(self) -> Checkpoints:
        from resolverd.checkpoints.limits import Limits as DownloadLimits  # noqa: PLC0415 -- later
        from resolverd.checkpoints.policy import Policy  # noqa: PLC0415
        from resolverd.checkpoints.service import Checkpoints  # noqa: PLC0415

        fetch = self._settings.fetch
        limits = DownloadLimits(
            concurrency=fetch.concurrency,
            connections=fetch.connections,
            attempts=fetch.attempts,
            stall_timeout=fetch.stall_timeout,
            min_free_bytes=self._settings.cache.min_free_bytes,
        )
        roots = _file_roots(self._settings, self._stores, system=self._system)
        policy = Policy(fetch.schemes, roots)
        return Checkpoints(self._cache, limits, policy, is_network=_is_network)

    async def _watch(self) -> None:
        state = self._publisher.state.stores
        known = {
            source: {file.path: file.stamp for file in cards.files.values() if file.stamp}
            for source, cards in state.items()
        }
        devices = {source: c.device for source, c in state.items() if c.device is not None}
        settings = WatchSettings(poll_interval=self._settings.stores.poll_interval)
        await watch(
            self._stores, known, self._report, settings, devices=devices, status=self._watching
        )

    async def _report(self, changes: Sequence[StoreChange]) -> None:
        await self._publisher.report(changes)
        self._keeper.changed(self._publisher.state)
        if not self._served.is_set():
            self._serve(self._publisher.state.snapshot)
            self._served.set()

    def _publish(self, snapshot: Snapshot, _diff: Diff) -> None:
        if self._served.is_set():
            self._serve(snapshot)

    def _serve(self, snapshot: Snapshot) -> None:
        packed = {name: card.packed for name, card in snapshot.index.cards.items()}
        self._server.publish(Lookups(snapshot.generation, packed))

    def _handlers(self) -> dict[str, Any]:
        cards = CardRequests(self._publisher, self._settings.stores.environment, protocol)
        checkpoints = CheckpointRequests(cards, self._fetching)
        status = StatusRequest(
            Sources(
                catalogue=self._publisher,
                watching=lambda: {key: _seen(line) for key, line in self._watching.stores.items()},
                checkpoints=self._fetching.status,
                clients=lambda: self._server.connections,
                identity={
                    "version": __version__,
                    "socket": self._listener.path,
                    "environment": self._settings.stores.environment,
                },
                warnings=self._warnings,
            )
        )
        return {
            "resolve": cards.resolve,
            "show": cards.show,
            "list": cards.list,
            "watch": cards.watch,
            "prefetch": checkpoints.prefetch,
            "path": checkpoints.path,
            "lease": checkpoints.lease,
            "verify": checkpoints.verify,
            "status": status.status,
        }

    def _warnings(self) -> list[str]:
        problem = self._watching.problem
        found = [f"{problem.reason} {problem.remedy}"] if problem else []
        return found + self._keeper.warnings


def stores_of(settings: Settings, environ: Mapping[str, str]) -> list[Store]:
    """List the stores that the settings name, or fairseq2's own.

    Raises:
        ConfigError: A text names no store.
    """
    poll = True if settings.stores.poll == "always" else None
    if not settings.stores.paths:
        home = environ.get("HOME") or os.path.expanduser("~")
        return [replace(store, poll=poll) for store in default_stores(environ, home)]
    stores: dict[str, Store] = {}
    for place, spec in enumerate(settings.stores.paths):
        store = parse_spec(spec, place, poll)
        if store.source in stores and store.site_dir:  # one package, in several environments
            store = replace(store, source=f"{store.source}@{store.site_dir}")
        if store.source in stores:
            raise ConfigError(f"stores.paths: {spec!r} is listed twice; leave one of them out.")
        stores[store.source] = store
    return list(stores.values())


def _is_network(path: str) -> bool:
    return needs_polling(os.path.realpath(path), read_mounts()) is not None


def _seen(line: StoreStatus) -> dict[str, Any]:
    """Say how a store is seen, for the status."""
    return {
        "mode": "watched" if line.polled is None else "polled",
        "why": line.polled,
        "answering": line.answering,
        "last_scan_seconds": line.scan_seconds,
        "scan_interval_seconds": line.next_scan_seconds,
        "events": line.hints,
        "recoveries": line.recoveries,
    }


def _file_roots(
    settings: Settings, stores: Sequence[Store], *, system: bool
) -> tuple[str, ...] | None:
    """Where local sources may lie: a user's own daemon may read what its user may."""
    roots = tuple(str(root) for root in settings.fetch.file_roots)
    if roots or not system:
        return roots or None
    return tuple(store.location for store in stores if not store.is_package)


async def _told_to_stop() -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            return


def _bind(settings: Settings, environ: Mapping[str, str], *, system: bool) -> Listener:
    mode = int(settings.daemon.socket_mode, 8)
    if path := settings.daemon.socket or environ.get("RESOLVERD_SOCKET"):
        return bind(str(path), mode=mode, directory_mode=0o755)
    if system:
        return bind(SYSTEM_SOCKET, mode=mode, directory_mode=0o755)
    if not (runtime := environ.get("XDG_RUNTIME_DIR")):
        raise ConfigError(
            "there is no place for the socket: XDG_RUNTIME_DIR is not set and this is not root. "
            "Name one with --socket PATH."
        )
    return bind(os.path.join(runtime, "resolverd", "resolverd.sock"), mode=mode)


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
