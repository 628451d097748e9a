"""The composition root: builds every part from the settings, and owns every task.

Order at start: the socket is bound (connections wait in its queue), the kept snapshot is read, the
stores are scanned, the first generation is published, and only then is anybody answered.
"""

from __future__ import annotations

import faulthandler
import gc
import grp
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from resolverd_client import protocol

from resolverd import __version__
from resolverd.cards.file import StoreChange
from resolverd.cards.prewarmed import prewarmed
from resolverd.cards.published import begin
from resolverd.cards.snapshot import Diff, Snapshot
from resolverd.cards.store import Store
from resolverd.config import (
    Layer,
    Settings,
    default_cache_dir,
    default_file,
    load,
    needs_restart,
)
from resolverd.errors import ConfigError, ResolverdError
from resolverd.fetching import Fetching, place_of, wanted
from resolverd.housekeeping import Housekeeping
from resolverd.journal import event, log_to_stderr
from resolverd.keeping import Keeper
from resolverd.metering import Metering
from resolverd.owners import Owners
from resolverd.prewarming import Prewarming
from resolverd.publisher import Publisher
from resolverd.serving.cache_requests import Admins, CacheRequests
from resolverd.serving.card_requests import CardRequests
from resolverd.serving.checkpoint_requests import CheckpointRequests
from resolverd.serving.counts import LAG_SECONDS, RELOAD_SECONDS, Histogram, Timings
from resolverd.serving.limits import Limits
from resolverd.serving.listen import (
    Listener,
    bind,
    from_systemd,
    listen_path,
    raise_descriptor_limit,
)
from resolverd.serving.lookups import Lookups
from resolverd.serving.probe import Probe
from resolverd.serving.server import Server
from resolverd.serving.status import Sources, StatusRequest
from resolverd.serving.store_lookups import StoreLookups
from resolverd.serving.summary import summary
from resolverd.serving.systemd import Notifier
from resolverd.serving.targets import Asset
from resolverd.stopping import STOP_SECONDS, end_within
from resolverd.stores.mounts import needs_polling, read_mounts
from resolverd.stores.scan import is_card_name
from resolverd.stores.settings import WatchSettings
from resolverd.stores.status import WatchStatus
from resolverd.stores.watch import watch
from resolverd.stores.wellknown import chosen_stores

if TYPE_CHECKING:
    from resolverd.checkpoints.access.policy import Policy
    from resolverd.checkpoints.asset.target import Wanted
    from resolverd.checkpoints.limits import Limits as DownloadLimits
    from resolverd.checkpoints.service import Checkpoints

log = logging.getLogger("resolverd")


def run(config: Path | None, environ: MutableMapping[str, str], flags: Layer) -> None:
    """Run the daemon until it is told to stop.

    Args:
        config: The configuration file; None for the usual place.
        environ: The environment; what systemd passes in it is taken out.
        flags: Values of the command line, by table and key.

    Raises:
        ResolverdError: The daemon can't start; the message says why and what to do.
    """
    os.umask(0o022)  # what is published is for others to read, whatever the shell's own says
    notifier = Notifier.taken(environ)
    try:
        _run(config, environ, flags, notifier)
    except ResolverdError as error:
        notifier.failed(str(error))
        raise


def _run(
    config: Path | None, environ: MutableMapping[str, str], flags: Layer, notifier: Notifier
) -> None:
    listener = from_systemd(environ)
    system = os.geteuid() == 0 or (listener is not None and not _is_users(listener.path, environ))

    def read() -> Settings:
        return load(config or default_file(system=system, environ=environ), environ, flags)

    settings = read()
    log_to_stderr(settings.daemon.log_level, environ)
    faulthandler.enable()  # what ends it, a watchdog's SIGABRT too, shows every thread's stack
    raise_descriptor_limit()
    if listener is None:
        path = listen_path(settings.daemon.socket, environ, system=system)
        listener = bind(path, mode=int(settings.daemon.socket_mode, 8), directory_mode=0o755)
    try:
        node = Daemon(settings, read, Surroundings(environ, listener, notifier, system))
        anyio.run(node.run, backend="asyncio", backend_options={"use_uvloop": True})
    finally:
        listener.close()
    if node.stuck:
        logging.shutdown()
        os._exit(0)  # a thread waits for a file system that does not answer, perhaps for ever


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the daemon finds when it starts.

    Attributes:
        environ: Where fairseq2's variables are read from.
        listener: Where clients connect.
        notifier: To tell the service manager.
        system: Whether it serves the whole node, or one user.
    """

    environ: Mapping[str, str]
    listener: Listener
    notifier: Notifier
    system: bool


class Daemon:
    """One daemon: its parts, wired.

    Args:
        settings: Validated.
        read: Reads the settings again, for a reload.
        around: What it finds when it starts.
    """

    def __init__(
        self, settings: Settings, read: Callable[[], Settings], around: Surroundings
    ) -> None:
        environ, system = around.environ, around.system
        self._settings = settings
        self._read = read
        self._environ = environ
        self._listener = around.listener
        self._group = os.stat(around.listener.path).st_gid
        self._notifier = around.notifier
        self._system = system
        self._reloading = anyio.Lock()
        self._started = anyio.Event()
        self._stores = self._chosen(settings)
        self._cache = settings.cache.dir or default_cache_dir(system=system, environ=environ)
        self._keeper = Keeper(self._cache, protocol)
        self._publisher = Publisher(begin(self._stores, self._keeper.restore()), protocol)
        self._cards = CardRequests(self._publisher, settings.stores.environment, protocol)
        self._watching = WatchStatus()
        self._watch_again: Callable[[], object] = bool  # nothing is watched yet
        self._served = anyio.Event()
        self._fetching = Fetching(self._engine, str(self._cache))
        self._prewarming = Prewarming(
            self._prewarmed, self._assets, self._fetching, _side_by_side(settings)
        )
        self._checkpoints = CheckpointRequests(self._cards, self._fetching, self._prewarming.follow)
        self._owners = Owners(lambda: self._publisher.state.snapshot, self._assets, place_of)
        self._admins = admins(settings.cache.admin_group)
        self._status = StatusRequest(self._sources())
        self._server = Server(
            self._handlers(),
            version=__version__,
            limits=Limits(connections=settings.daemon.max_connections),
        )
        self._reloads = Histogram(RELOAD_SECONDS)
        self._metering = Metering(
            settings.metrics,
            self._status.state,
            Timings(self._server.latency, self._reloads, Histogram(LAG_SECONDS)),
            socket_mode=int(settings.daemon.socket_mode, 8),
        )

    @property
    def stuck(self) -> bool:
        """Whether a thread still waits for a store's file system."""
        return not all(line.answering for line in self._watching.stores.values())

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP reads the configuration again."""
        self._publisher.subscribe(self._publish)
        watched = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        with anyio.open_signal_receiver(*watched) as signals:
            log.info(
                "resolverd %s starting: %s",
                __version__,
                self._listener.path,
                extra=event("start", version=__version__, socket=self._listener.path),
            )
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch)
                tasks.start_soon(self._serve_all, tasks)
                async for number in signals:
                    if number != signal.SIGHUP:
                        break
                    tasks.start_soon(self._reload)
                log.info("stopping", extra=event("stop"))
                self._notifier.stopping()
                end_within(STOP_SECONDS)
                await self._server.close()
                tasks.cancel_scope.cancel()
        await self._keeper.keep()

    async def _serve_all(self, tasks: TaskGroup) -> None:
        """Answer as soon as there is something to answer with; start all else after that."""
        async with anyio.create_task_group() as meanwhile:
            meanwhile.start_soon(self._notifier.starting)
            await self._served.wait()
            meanwhile.cancel_scope.cancel()
        await self._server.start(self._listener.socket)
        gc.freeze()
        gc.enable()  # it was off for the start
        self._notifier.ready()
        self._started.set()
        cards = len(self._publisher.state.snapshot.index.cards)
        log.info("serving %d cards", cards, extra=event("serving", cards=cards))
        tasks.start_soon(self._notifier.run, self._line, Probe(self._listener.path))
        tasks.start_soon(self._fetching.run)
        tasks.start_soon(self._prewarming.run)
        tasks.start_soon(self._keeper.run)
        tasks.start_soon(self._metering.run)

    async def _reload(self) -> None:
        """Apply the configuration as it is now, and tell the service manager when that is done."""
        await self._started.wait()  # READY is first said when it serves
        async with self._reloading:
            self._notifier.reloading()
            try:
                read = await anyio.to_thread.run_sync(self._reread, abandon_on_cancel=True)
            except ResolverdError as error:
                kept = "the configuration stays as it was: %s"
                log.error(kept, error, extra=event("reload-failed"))  # noqa: TRY400 -- no bug
            except Exception:
                log.exception("the configuration stays as it was", extra=event("reload-failed"))
            else:
                await self._apply(*read)
            self._notifier.ready()

    def _reread(self) -> tuple[Settings, list[Store], Admins]:
        new = self._read()
        return new, self._chosen(new), admins(new.cache.admin_group)

    async def _apply(self, new: Settings, stores: list[Store], allowed: Admins) -> None:
        """Apply what can be applied, and name the rest."""
        left = needs_restart(self._settings, new)
        if left:
            log.warning("only a restart applies %s", ", ".join(left))
        logging.getLogger().setLevel(new.daemon.log_level.upper())
        self._settings, self._stores, self._admins = new, stores, allowed
        await self._fetching.configure(self._bounds)
        self._prewarming.side_by_side = _side_by_side(new)
        self._server.limits = Limits(connections=new.daemon.max_connections)
        moved = self._cards.environment != new.stores.environment
        self._cards.environment = new.stores.environment
        await self._publisher.serve(stores, renew=moved)  # clients keep answers of one generation
        self._watch_again()
        self._prewarming.look()
        self._metering.configure(new.metrics)
        log.info("configuration read again", extra=event("reload"))

    def _roots(self, settings: Settings, stores: Sequence[Store]) -> tuple[str, ...] | None:
        """Where local sources may lie: a user's own daemon may read what its user may."""
        roots = tuple(str(root) for root in settings.fetch.file_roots)
        if roots or not self._system:
            return roots or None
        places = (store.location for store in stores if not store.is_package)
        return tuple(os.path.dirname(p) if is_card_name(p) else p for p in places)

    def _chosen(self, settings: Settings) -> list[Store]:
        home = self._environ.get("HOME") or os.path.expanduser("~")
        always = settings.stores.poll == "always"
        return chosen_stores(settings.stores.paths, self._environ, home, always_poll=always)

    def _readers(self) -> tuple[int, ...]:
        """Who may read what only a secret gave: the socket's group, or its user alone."""
        return (self._group,) if self._system else ()

    def _engine(self) -> Checkpoints:
        from resolverd.checkpoints.service import Checkpoints  # noqa: PLC0415 -- later

        limits, policy = self._bounds()
        return Checkpoints(self._cache, limits, policy, is_network=_is_network, recall=self._recall)

    def _bounds(self) -> tuple[DownloadLimits, Policy]:
        """What the configuration lets the engine do."""
        from resolverd import access  # noqa: PLC0415 -- later

        roots = self._roots(self._settings, self._stores)
        return access.limits(self._settings), access.policy(self._settings, roots, self._readers())

    def _recall(self, asset: str) -> Wanted | None:
        """What a card asks for to have an asset."""
        found = self._owners.all().get(asset)
        return wanted(found[0]) if found else None

    async def _watch(self) -> None:
        while True:  # once more after each reload
            with anyio.CancelScope() as scope:
                self._watch_again = scope.cancel
                state = self._publisher.state.stores
                await watch(
                    self._stores,
                    {source: cards.stamps for source, cards in state.items()},
                    self._report,
                    WatchSettings(poll_interval=self._settings.stores.poll_interval),
                    devices={s: c.device for s, c in state.items() if c.device is not None},
                    status=self._watching,
                )

    async def _report(self, changes: Sequence[StoreChange]) -> None:
        before, begun = self._publisher.state.snapshot, time.monotonic()
        await self._publisher.report(changes)
        if self._publisher.state.snapshot is not before:
            self._reloads.observe(time.monotonic() - begun)
        self._keeper.changed(self._publisher.state)
        if not self._served.is_set():
            self._serve(self._publisher.state.snapshot)
            self._served.set()

    def _publish(self, snapshot: Snapshot, _diff: Diff) -> None:
        if self._served.is_set():
            self._serve(snapshot)
            self._prewarming.look()

    def _prewarmed(self, asked: Sequence[str]) -> list[str]:
        index = self._publisher.state.snapshot.index
        return prewarmed(index, self._settings.fetch.prefetch, asked)

    def _assets(self, name: str) -> list[Asset]:
        return self._checkpoints.assets(name)

    def _serve(self, snapshot: Snapshot) -> None:
        packed = {name: card.packed for name, card in snapshot.index.cards.items()}
        stores = StoreLookups(snapshot.generation, snapshot.index, self._publisher.state.stores)
        self._server.publish(Lookups(snapshot.generation, packed, stores))

    def _sources(self) -> Sources:
        return Sources(
            catalogue=self._publisher,
            watching=lambda: {key: line.shown() for key, line in self._watching.stores.items()},
            checkpoints=self._fetching.status,
            traffic=self._traffic,
            identity=lambda: {
                "version": __version__,
                "socket": self._listener.path,
                "environment": self._cards.environment,
            },
            warnings=self._warnings,
            prefetch=self._prewarming.status,
        )

    def _handlers(self) -> dict[str, Any]:
        cards, checkpoints = self._cards, self._checkpoints
        housekeeping = Housekeeping(self._fetching.holdings, self._owners, self._fetching.shown)
        cache = CacheRequests(housekeeping, checkpoints.read, lambda: self._admins)
        return {
            "resolve": cards.resolve,
            "show": cards.show,
            "list": cards.list,
            "watch": cards.watch,
            "stores": cards.stores,
            "prefetch": checkpoints.prefetch,
            "path": checkpoints.path,
            "lease": checkpoints.lease,
            "verify": checkpoints.verify,
            "cache_list": cache.everything,
            "cache_pin": cache.pin,
            "cache_unpin": cache.unpin,
            "cache_remove": cache.remove,
            "cache_collect": cache.collect,
            "status": self._status.status,
        }

    def _traffic(self) -> dict[str, Any]:
        return self._server.traffic()

    def _line(self) -> str:
        state = self._publisher.state
        return summary(
            len(state.snapshot.index.cards),
            len(state.stores),
            len(state.index.problems),
            self._fetching.downloads,
        )

    def _warnings(self) -> list[str]:
        problem = self._watching.problem
        found = [f"{problem.reason} {problem.remedy}"] if problem else []
        return [*found, *self._keeper.warnings, *self._metering.warnings, *self._fetching.warnings]


def _side_by_side(settings: Settings) -> int:
    """How many files nobody waits for at a time: one fewer than all, so that requests get by."""
    return max(1, settings.fetch.concurrency - 1)


def admins(group: str | None) -> Admins:
    """Tell who may change the cache.

    Raises:
        ConfigError: There is no such group.
    """
    own = frozenset({0, os.geteuid()})
    if group is None:
        return Admins(own)
    try:
        return Admins(own, grp.getgrnam(group).gr_gid, group)
    except KeyError:
        raise ConfigError(
            f"cache.admin_group: there is no group {group!r} on this node: make it, or name another"
        ) from None


def _is_users(path: str, environ: Mapping[str, str]) -> bool:
    """Whether a socket that systemd passes is that of a user's own daemon."""
    runtime = environ.get("XDG_RUNTIME_DIR")
    return bool(runtime) and path.startswith(f"{runtime}/")


def _is_network(path: str) -> bool:
    return needs_polling(os.path.realpath(path), read_mounts()) is not None
