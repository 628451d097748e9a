"""A cache under pressure from many clients, killed again and again: quota, bytes, leases hold."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from resolverd_client import Client, DaemonUnavailableError, FetchError, ResolverdError
from resolverd_client.local import Lease

from tests.checkpoints.origin import Origin
from tests.daemon.running import Daemon, daemon
from tests.daemon.usage import used

MIB = 1 << 20
QUOTA = 4 * MIB


class Soak:
    """What goes on, and what must never have happened."""

    def __init__(self, node: Daemon, origin: Origin, seed: int) -> None:
        self.node = node
        self.origin = origin
        self.chance = random.Random(seed)
        self.over = threading.Event()
        self.wrong: list[str] = []
        self.done: Counter[str] = Counter()
        self.most = 0
        self.data = {f"/{number}": os.urandom(self.chance.randint(1, MIB)) for number in range(14)}
        for path, data in self.data.items():
            origin.put(path, data, chunked=path in {"/3", "/7"}, rate=20e6)

    def client(self, seed: int) -> None:
        """Do what jobs and operators do."""
        chance, held = random.Random(seed), list[tuple[str, Lease]]()
        client = self.node.client(timeout=30)
        acts: list[tuple[int, Callable[[], object]]] = [
            (8, lambda: self.read(client, chance.choice(list(self.data)))),
            (4, lambda: held.append(self.lease(client, chance.choice(list(self.data))))),
            (4, lambda: held and held.pop(0)[1].release()),
            (1, lambda: client.cache_pin([self.url(chance)])),
            (2, lambda: client.cache_unpin([row["uri"] for row in client.cache_list()
                                            if row["pinned"]])),
            (1, lambda: client.cache_remove([self.url(chance)])),
            (1, lambda: client.cache_collect(chance.randint(0, QUOTA))),
            (1, client.status),
        ]  # fmt: skip
        weights = [weight for weight, _ in acts]
        while not self.over.is_set():
            if len(held) > 1:
                held.pop(0)[1].release()
            ((_, act),) = chance.choices(acts, weights)
            try:
                act()
                self.done["ok"] += 1
            except (FetchError, DaemonUnavailableError) as error:
                self.done[str(error).partition(":")[2][:24]] += 1
            except ResolverdError as error:
                self.wrong.append(repr(error))
            self.wrong += [f"leased {path} is gone or wrong" for path, lease in held
                           if not self.intact(path, lease.path)]  # fmt: skip
        for _, lease in held:
            lease.release()

    def url(self, chance: random.Random) -> str:
        return self.origin.url(chance.choice(list(self.data)))

    def read(self, client: Client, path: str) -> None:
        found = client.path(uri=self.origin.url(path), timeout=30)
        with contextlib.suppress(FileNotFoundError):  # without a lease it may go at any time
            if found.read_bytes() != self.data[path]:
                self.wrong.append(f"{path} has other bytes")

    def lease(self, client: Client, path: str) -> tuple[str, Lease]:
        return path, client.lease(uri=self.origin.url(path), timeout=30)

    def intact(self, path: str, found: Path) -> bool:
        try:
            return found.read_bytes() == self.data[path]
        except OSError:
            return False

    def watch(self) -> None:
        while not self.over.is_set():
            self.most = max(self.most, used(self.node.cache))

    def kill(self) -> None:
        """Kill the worker, or everything."""
        if self.chance.random() < 0.5:
            with contextlib.suppress(ResolverdError, ProcessLookupError, TypeError):
                pid = self.node.client().status()["checkpoints"]["worker"]["pid"]
                os.kill(pid, signal.SIGKILL)
        else:
            self.node.kill()
            self.node.start()


def soak(seconds: float, seed: int, folder: Path) -> Soak:
    (folder / "config.toml").write_text(f"[cache]\nmax_bytes = {QUOTA}\nmin_free_bytes = 0\n")
    with Origin() as origin, daemon("--config", str(folder / "config.toml")) as node:
        world = Soak(node, origin, seed)
        threads = [threading.Thread(target=world.watch)]
        threads += [threading.Thread(target=world.client, args=(seed + n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until and not world.wrong:
            world.over.wait(world.chance.uniform(0.1, 1.5))
            world.kill()
        world.over.set()
        for thread in threads:
            thread.join(60)
        return world


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_lost_wrong_or_too_much(seed: int, tmp_path: Path) -> None:
    world = soak(60, seed, tmp_path)
    assert world.wrong == []
    assert world.most <= QUOTA
    assert world.done["ok"] > 20
