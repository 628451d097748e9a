"""The daemon's end of the worker: keeps one alive, and carries calls to it.

A worker that dies is started again, after a growing pause; calls under way are made again, because
the journals make a repetition cheap. A call that outlives several workers is the cause, and fails.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.abc

from resolverd import journal
from resolverd.checkpoints import faults
from resolverd.checkpoints.process import messages, wire
from resolverd.errors import CacheError

logger = logging.getLogger("resolverd.checkpoints")

_DEATHS_MOST = 5
_PAUSE_MOST = 5.0
_LIVED_LONG = 10.0
_CANCEL_WAIT = 10.0
_END_WAIT = 2.0


@dataclass(eq=False, slots=True)
class _Call:
    number: int
    progress: Callable[[dict[str, Any]], None]
    ended: anyio.Event = field(default_factory=anyio.Event)
    event: str = "died"
    result: dict[str, Any] = field(default_factory=dict)


class Link:
    """One worker process at a time, for as long as :meth:`run` runs.

    Args:
        configuration: What each worker is told first.
        news: Told what a worker says without having been asked.

    Attributes:
        pid: The worker's; None while there is none.
        restarts: How often one was started again.
        problem: Why the worker can't use the cache; None when it can.
    """

    def __init__(
        self,
        configuration: dict[str, Any],
        news: Callable[[str, dict[str, Any]], None] = lambda _event, _params: None,
    ) -> None:
        self._configuration = configuration
        self._news = news
        self.problem: str | None = None
        self._numbers = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._sock: socket.socket | None = None
        self._sending = anyio.Lock()
        self._up = anyio.Event()
        self._closed = False
        self._hopeless = False
        self._reason = ""
        self._told = ""
        self.pid: int | None = None
        self.restarts = -1

    def __repr__(self) -> str:
        return f"<Link pid={self.pid} restarts={self.restarts} calls={len(self._calls)}>"

    async def run(self) -> None:
        """Keep a worker running until cancelled."""
        short_lives = 0
        try:
            while True:
                self.restarts += 1
                began = anyio.current_time()
                self._reason = ""
                try:
                    await self._live()
                except OSError as error:
                    self._reason = f"it can't be started: {error.strerror or error}"
                except Exception as error:  # cards must never depend on the worker
                    logger.exception("the link to the fetching process broke")
                    self._reason = f"{type(error).__name__}: {error}"
                lived = anyio.current_time() - began
                short_lives = 0 if lived > _LIVED_LONG else short_lives + 1
                self._hopeless = short_lives >= _DEATHS_MOST
                if self._hopeless:
                    self._up.set()  # who waits is told
                pause = min(0.05 * 2.0 ** min(short_lives, 10), _PAUSE_MOST)
                self._tell(short_lives, pause)
                await anyio.sleep(pause)
        finally:
            self._closed = True
            self._up.set()

    def _tell(self, short_lives: int, pause: float) -> None:
        """Log a death; once there is no hope, another one for the same reason is no news."""
        reason = self._reason or "it died"
        news = short_lives <= _DEATHS_MOST or reason != self._told
        self._told = reason
        logger.log(
            logging.WARNING if news else logging.DEBUG,
            "the fetching process: %s; a new one starts in %.2f s",
            reason,
            pause,
            extra=journal.event("worker-restart", restarts=self.restarts + 1),
        )

    async def configure(self, configuration: dict[str, Any]) -> None:
        """Have this worker, and those after it, go by another configuration."""
        self._configuration = configuration
        with contextlib.suppress(OSError):  # there is none now: the next one is told at its start
            await self._configure()

    async def _configure(self) -> None:
        level = logging.getLogger().getEffectiveLevel()  # it logs what the daemon logs
        await self._send(0, "configure", {**self._configuration, "log_level": level})

    async def call(
        self, verb: str, params: dict[str, Any], progress: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Have the worker do something.

        Raises:
            ResolverdError: What the worker says went wrong.
            CacheError: When it dies of it again and again.
        """
        for _ in range(_DEATHS_MOST):
            await self._up.wait()
            if self._closed or self._hopeless:
                break
            call = _Call(next(self._numbers), progress)
            self._calls[call.number] = call
            try:
                await self._send(call.number, verb, params)
                await call.ended.wait()
            except OSError:
                continue  # died just now; run() starts another
            finally:
                if not call.ended.is_set():
                    await self._cancel(call)
                self._calls.pop(call.number, None)
            if call.event == "done":
                return call.result
            if call.event == "failed":
                raise faults.of_name(call.result["fault"], call.result["message"])
            progress(messages.progress("retrying", 0, None, 0.0, "the fetching process ended."))
        if self._closed:
            raise CacheError("resolverd is stopping: ask again once it runs.")
        why = f" ({self._reason})" if self._reason else ""
        raise CacheError(f"the fetching process died several times{why}; see the daemon's log.")

    async def _cancel(self, call: _Call) -> None:
        """Stop the worker's side too, before its place can be taken by another."""
        with anyio.move_on_after(_CANCEL_WAIT, shield=True):
            try:
                await self._send(call.number, "cancel", {})
                await call.ended.wait()
            except OSError:
                return

    async def _live(self) -> None:
        """One worker's life."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours:
            with theirs:
                process = await _begun(theirs)
            try:
                self.pid, self._sock = process.pid, ours
                await self._configure()
                await self._receive(ours)
            except OSError as error:
                logger.debug("the worker's socket broke: %s", error)
            finally:
                self.pid, self._sock = None, None
                if self._up.is_set() and not self._hopeless:
                    self._up = anyio.Event()
                self._end_calls()
                ours.close()  # which ends a worker that still lives
                await _ended(process)

    async def _receive(self, ours: socket.socket) -> None:
        decoder = wire.Decoder()
        while True:
            await anyio.wait_readable(ours)
            try:
                data = ours.recv(1 << 16)
            except BlockingIOError:
                continue
            if not data:
                return
            for number, event, params in decoder.feed(data):
                self._take(number, event, params)

    def _take(self, number: int, event: str, params: dict[str, Any]) -> None:
        if event == "ready":
            if self._hopeless:
                logger.info("the fetching process runs again", extra=journal.event("worker-back"))
            self._hopeless = False
            _tell(self.problem, params.get("problem"))
            self.problem = params.get("problem")
            self._up.set()
        elif number == 0:
            self._news(event, params)
        elif call := self._calls.get(number):
            if event == "progress":
                call.progress(params)
            else:
                call.event, call.result = event, params
                call.ended.set()

    def _end_calls(self) -> None:
        for call in self._calls.values():
            call.ended.set()

    async def _send(self, number: int, verb: str, params: dict[str, Any]) -> None:
        async with self._sending:
            data = memoryview(wire.encode(number, verb, params))
            while data:
                if self._sock is None:
                    raise BrokenPipeError("no worker")
                try:
                    data = data[self._sock.send(data) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._sock)


async def _begun(theirs: socket.socket) -> anyio.abc.Process:
    """Start a worker on its end of the socket."""
    number = theirs.fileno()
    return await anyio.open_process(
        [sys.executable, "-m", "resolverd.checkpoints.process.worker", str(number)],
        stdin=subprocess.DEVNULL,
        stdout=None,
        stderr=None,
        pass_fds=[number],
        cwd="/",  # nothing is imported from wherever the daemon was started
    )


async def _ended(process: anyio.abc.Process) -> None:
    with anyio.move_on_after(_END_WAIT, shield=True):
        await process.wait()
        return
    with contextlib.suppress(ProcessLookupError):
        # Not process.kill(): it would reap the process behind the loop's back.
        os.kill(process.pid, signal.SIGKILL)
    with anyio.CancelScope(shield=True):
        await process.wait()


def _tell(old: str | None, new: str | None) -> None:
    """Log what keeps the cache from being used once when it appears and once when it is gone."""
    if new == old:
        return
    if new is not None:
        logger.warning("%s", new, extra=journal.event("problem", code="cache"))
    elif old is not None:
        logger.info("mended: %s", old, extra=journal.event("mended", code="cache"))
