"""The process that downloads, hashes and writes: ``python -m ...process.worker FD``.

It speaks :mod:`resolverd.checkpoints.process.wire` over the socket FD, runs at nice 19 so that
lookups do not notice it, is the only writer of its cache, and ends when the socket does, that is,
when the daemon ends or dies; downloads then keep what they have. Being killed at any point costs
nothing that the journals know of.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from resolverd.checkpoints import disk, faults
from resolverd.checkpoints.access import private
from resolverd.checkpoints.faults import Cancelled
from resolverd.checkpoints.intake.fetch import Engine
from resolverd.checkpoints.intake.in_place import examine
from resolverd.checkpoints.process import messages, wire
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.space import housekeeping
from resolverd.checkpoints.space.eviction import Item
from resolverd.checkpoints.space.room import Room
from resolverd.checkpoints.space.scrub import Scrub
from resolverd.checkpoints.transfer.traffic import Traffic
from resolverd.errors import CacheError, ResolverdError
from resolverd.journal import log_to_stderr

logger = logging.getLogger("resolverd.checkpoints.process.worker")

_OWNER_WAIT = 2.0
_END_WAIT = 1.0  # less than the next worker waits for its turn, and than the daemon for its end

Work = Callable[[Engine, Job, dict[str, Any]], dict[str, Any]]


class Worker:
    """Runs jobs, each in a thread of its own, until the socket ends."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._threads: set[threading.Thread] = set()
        self._engine: Engine | None = None
        self._room: Room | None = None
        self._traffic: Traffic | None = None
        self._opening = threading.Lock()
        self._owned: int | None = None
        self._patience = _OWNER_WAIT  # a worker before us may just be ending
        self._assets: dict[str, threading.Lock] = {}
        self._scrub = Scrub(lambda: bool(self._jobs), self._verify_again)
        self._works: dict[str, Work] = {
            "fetch": self._fetch,
            "examine": self._examine,
            "verify": self._verify,
            "pin": housekeeping.pin,
            "unpin": housekeeping.unpin,
            "remove": housekeeping.remove,
            "collect": housekeeping.collect,
            "reopen": housekeeping.reopen,
        }

    def run(self) -> None:
        """Serve the socket to its end."""
        decoder = wire.Decoder()
        while data := self._sock.recv(1 << 16):
            for number, verb, params in decoder.feed(data):
                self._take(number, verb, params)

    def end(self, seconds: float) -> None:
        """Stop every job, and give it a moment to make durable, and journal, what it has."""
        deadline = time.monotonic() + seconds
        for job in tuple(self._jobs.values()):
            threading.Thread(target=job.stop, daemon=True).start()
        for thread in tuple(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _take(self, number: int, verb: str, params: dict[str, Any]) -> None:
        if verb == "configure":
            logging.getLogger().setLevel(params.get("log_level", logging.WARNING))
            self._configure(params)
            threading.Thread(target=self._prepare, daemon=True).start()
        elif verb == "cancel":
            if job := self._jobs.get(number):
                threading.Thread(target=job.stop, daemon=True).start()
        else:
            job = Job(lambda *seen: self._send(number, "progress", messages.progress(*seen)))
            self._jobs[number] = job
            work = self._works[verb]
            thread = threading.Thread(
                target=self._run, args=(number, job, work, params), daemon=True
            )
            self._threads.add(thread)
            thread.start()

    def _configure(self, params: dict[str, Any]) -> None:
        layout, limits, policy = messages.configured(params)
        if self._room is None:
            self._room = Room(layout, limits, self._tell_evicted)
        if self._traffic is None:
            self._traffic = Traffic(limits)
        self._room.limits = self._traffic.limits = limits
        self._engine = Engine(layout, limits, policy, self._room, self._traffic)
        self._scrub.wake()

    def _tell_evicted(self, item: Item) -> None:
        self._send(0, "evicted", {"kind": item.kind, "name": item.name, "size": item.size})

    def _prepare(self) -> None:
        problem = None
        try:
            self._opened().room.fit()
        except CacheError as error:
            problem = str(error)  # told again, to whoever asks for something
        except Exception:
            logger.exception("the cache can't be prepared")
        finally:
            self._patience = 0.0
            self._send(0, "ready", {"pid": os.getpid(), "problem": problem})

    def _opened(self) -> Engine:
        """The engine, once the cache is ours and clean; tried anew for each job until it is."""
        engine = self._engine
        assert engine is not None  # noqa: S101  # the daemon configures first
        with self._opening:
            disk.prepare(engine.layout)
            if self._owned is None:
                owned = disk.own(engine.layout, self._patience)
                try:
                    with disk.explained(engine.layout):
                        disk.sweep(engine.layout, engine.limits, time.time())
                except BaseException:
                    os.close(owned)
                    raise
                self._owned = owned
                threading.Thread(target=self._tend, daemon=True).start()
                if not self._patience:  # it was refused at the start
                    self._send(0, "ready", {"pid": os.getpid(), "problem": None})
        return engine

    def _tend(self) -> None:
        """Keep the cache within its bounds, and its objects as they were, to the end."""
        while True:
            engine = self._engine
            assert engine is not None  # noqa: S101  # there is one by now
            try:
                engine.room.fit()
                self._scrub.step(engine)
            except (OSError, ResolverdError) as error:
                logger.warning("the cache can't be tended: %s", error)
            except Exception:
                logger.exception("the cache can't be tended")
            self._scrub.rest(engine)

    def _verify_again(self, key: str) -> None:
        """Have the last word on an object that the scrub found bad, and tell the daemon."""
        job = Job(lambda *_: None)
        asset = key.partition("-")[0]
        with self._alone(asset, job) as engine:
            manifest, found = engine.verify(key, job)
        if manifest is not None and found:
            self._send(0, "rotted", messages.verdict(key, manifest, found))

    def _run(
        self,
        number: int,
        job: Job,
        work: Work,
        params: dict[str, Any],
    ) -> None:
        try:
            with self._alone(params.get("asset"), job) as engine:
                result = work(engine, job, params)
            self._send(number, "done", result)
        except Cancelled:
            self._send(number, "cancelled", {})
        except ResolverdError as error:
            self._send(number, "failed", {"fault": faults.name_of(error), "message": str(error)})
        except Exception as error:
            logger.exception("a job broke")
            text = f"the worker met a fault of its own: {type(error).__name__}: {error}"
            self._send(number, "failed", {"fault": "CacheError", "message": text})
        finally:
            self._jobs.pop(number, None)
            self._threads.discard(threading.current_thread())

    @contextlib.contextmanager
    def _alone(self, asset: str | None, job: Job) -> Iterator[Engine]:
        """One job at a time for each asset: they share one partial folder.

        The daemon sees to this too, but may give up waiting for a job that it cancelled.
        """
        if asset is None:
            yield self._opened()
            return
        lock = self._assets.setdefault(asset, threading.Lock())
        while not lock.acquire(timeout=0.1):
            job.check()
        try:
            engine = self._opened()
            with engine.room.working(asset):
                yield engine
        finally:
            lock.release()

    def _fetch(self, engine: Engine, job: Job, params: dict[str, Any]) -> dict[str, Any]:
        wanted = messages.requested(params)
        manifest = engine.fetch(wanted, job, refresh=params["refresh"], force=params["force"])
        return messages.answer(manifest, disk.visible_path(engine.layout, manifest))

    def _examine(self, engine: Engine, job: Job, params: dict[str, Any]) -> dict[str, Any]:
        wanted = messages.requested(params)
        return messages.answer(examine(engine.layout, engine.policy, wanted, job), params["path"])

    def _verify(self, engine: Engine, job: Job, params: dict[str, Any]) -> dict[str, Any]:
        return messages.verdict(params["key"], *engine.verify(params["key"], job))

    def _send(self, number: int, event: str, params: dict[str, Any]) -> None:
        with self._sending, contextlib.suppress(OSError):  # the daemon is gone: run() ends us
            self._sock.sendall(private.struck(wire.encode(number, event, params)))


def main(argv: list[str]) -> None:
    """Run the worker on an inherited socket."""
    os.nice(19)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's to handle
    log_to_stderr("warning", os.environ, "resolverd-worker")
    private.discreet_logging()
    faulthandler.enable()
    worker = Worker(socket.socket(fileno=int(argv[1])))
    with contextlib.suppress(ConnectionError):
        worker.run()
    worker.end(_END_WAIT)
    # Threads may be deep in a read or a sync: nothing of theirs needs an orderly end.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv)
