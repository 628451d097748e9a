"""Shows the daemon's state to Prometheus: on an address, in a file, or not at all.

Contract: cards never depend on it. An address that can't be had, or a file that can't be written,
is a warning, and is tried again.
"""

from __future__ import annotations

import logging
import os
import resource
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
from anyio.abc import SocketListener, TaskGroup

from resolverd.config import MetricsSettings
from resolverd.errors import ConfigError
from resolverd.serving.counts import Timings
from resolverd.serving.listen import bind

if TYPE_CHECKING:
    from prometheus_client.registry import CollectorRegistry

    from resolverd.serving.scrape import Page

log = logging.getLogger(__name__)

T = TypeVar("T")

_LAG_EVERY = 0.5
_BACKLOG = 32


class Metering:
    """The metrics, as the settings want them.

    Args:
        settings: What is wanted at first.
        state: Gives what ``status`` answers.
        timings: What was timed; the lag of the event loop is added here.
        socket_mode: Permission bits of a Unix socket.

    Attributes:
        retry_after: Seconds after which an address that can't be had is tried again.
    """

    retry_after = 30.0

    def __init__(
        self,
        settings: MetricsSettings,
        state: Callable[[], Awaitable[Mapping[str, Any]]],
        timings: Timings,
        *,
        socket_mode: int,
    ) -> None:
        self._settings = settings
        self._state = state
        self._timings = timings
        self._socket_mode = socket_mode
        self._again: Callable[[], object] = bool  # nothing runs yet
        self._turn = anyio.Lock()
        self._thread = anyio.CapacityLimiter(1)  # of its own: see Publisher
        self._faults: dict[str, str] = {}

    @property
    def warnings(self) -> list[str]:
        """What keeps the metrics from being shown, one sentence each."""
        return list(self._faults.values())

    def configure(self, settings: MetricsSettings) -> None:
        """Show them as these settings want, from now on."""
        if settings != self._settings:
            self._settings = settings
            self._again()

    async def run(self) -> None:
        """Show the metrics, until cancelled."""
        while True:  # once more after each change of the settings
            with anyio.CancelScope() as scope:
                self._again = scope.cancel
                self._faults.clear()
                await self._show(self._settings)

    async def _show(self, settings: MetricsSettings) -> None:
        async with anyio.create_task_group() as tasks:
            if settings.listen or settings.textfile:
                tasks.start_soon(self._measure_lag)
            if settings.listen:
                tasks.start_soon(self._listen, settings.listen, tasks)
            if settings.textfile:
                every = settings.textfile_interval
                tasks.start_soon(self._keep_written, settings.textfile, every)
            await anyio.sleep_forever()

    async def _listen(self, address: str, tasks: TaskGroup) -> None:
        from resolverd.serving.scrape import Endpoint  # noqa: PLC0415 -- off by default

        while True:
            try:
                with _listening(address, self._socket_mode) as sock:
                    self._mended("listen")
                    listener = await SocketListener.from_socket(sock)
                    log.info("metrics: %s", address)
                    await listener.serve(Endpoint(self._page).answer, tasks)
            except (OSError, ConfigError, anyio.BrokenResourceError) as error:
                why = error.__cause__ or error
                self._fault("listen", f"metrics can't be shown on {address}: {why}")
            await anyio.sleep(self.retry_after)

    async def _keep_written(self, file: str, every: float) -> None:
        try:
            while True:
                await self._replace(file)
                await anyio.sleep(every)
        finally:  # a file that stays behind would tell of a daemon that is gone
            with suppress(OSError):
                os.unlink(file)

    async def _replace(self, file: str) -> None:
        try:
            made = await self._registry()
        except Exception:
            log.exception("the metrics can't be told")
            return
        try:
            await self._in_thread(partial(_write, file, made))
        except OSError as error:
            self._fault(
                "textfile",
                f"metrics can't be written to {file}: {error.strerror}; make its folder "
                "writable for the daemon, or choose another metrics.textfile",
            )
        else:
            self._mended("textfile")

    async def _page(self, accept: str) -> Page:
        made = await self._registry()
        return await self._in_thread(partial(_encoded, made, accept))

    async def _registry(self) -> CollectorRegistry:
        async with self._turn:
            state = await self._state()
            return await self._in_thread(partial(_registry, state, self._timings))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._thread)

    async def _measure_lag(self) -> None:
        while True:
            due = time.monotonic() + _LAG_EVERY
            await anyio.sleep(_LAG_EVERY)
            self._timings.lag.observe(max(0.0, time.monotonic() - due))

    def _fault(self, what: str, text: str) -> None:
        if self._faults.get(what) != text:
            self._faults[what] = text
            log.warning("%s", text)

    def _mended(self, what: str) -> None:
        if self._faults.pop(what, None):
            log.info("mended: metrics can be shown again (%s)", what)


def _registry(state: Mapping[str, Any], timings: Timings) -> CollectorRegistry:
    from resolverd.serving.metrics import registry  # noqa: PLC0415 -- off by default, and slow

    return registry(state, timings, _process())


def _encoded(made: CollectorRegistry, accept: str) -> Page:
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415

    from resolverd.serving.scrape import Page  # noqa: PLC0415

    encode, kind = choose_encoder(accept)
    return Page(kind, encode(made))


def _write(file: str, made: CollectorRegistry) -> None:
    from prometheus_client.exposition import write_to_textfile  # noqa: PLC0415

    write_to_textfile(file, made)  # atomically: it renames


def _process() -> dict[str, float]:
    """Tell of this process; the library's own collector needs ``/proc/stat``, hidden by systemd."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/statm", encoding="ascii") as statm:
        resident = int(statm.read().split()[1]) * resource.getpagesize()
    return {
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "resident_bytes": resident,
        "open_fds": len(os.listdir("/proc/self/fd")),
        "max_fds": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }


@contextmanager
def _listening(address: str, socket_mode: int) -> Iterator[socket.socket]:
    if address.startswith("/"):
        listener = bind(address, mode=socket_mode, directory_mode=0o755)
        try:
            yield listener.socket
        finally:
            listener.close()
        return
    host, _, port = address.rpartition(":")
    version = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.create_server(
        (host.strip("[]"), int(port)), family=version, backlog=_BACKLOG
    ) as sock:
        yield sock
