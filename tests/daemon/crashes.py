"""Kills the fetching process, the daemon, or both, again and again, at random moments of downloads.

    python -m tests.daemon.crashes --seed 7 --count 50

A real daemon on a real socket, an origin that remembers which bytes it sent. The contract:

- What the journal told at a kill is not asked for again. Beyond it, a kill costs what came in the
  last ``fetch.journal_seconds``, in one sync of the disk, and what the sockets held.
- What is published is whole, at every moment; nothing ever goes to quarantine.
- A lease that an idle process holds through all of it protects its file, though the cache is so
  small that everything else is evicted.

The same seed gives the same files, victims and pauses.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resolverd.checkpoints import leases
from resolverd.checkpoints.asset import plan
from resolverd.checkpoints.asset.plan import Ranges
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.transfer import journal
from tests.checkpoints.origin import Origin, Resource
from tests.daemon.running import Daemon, card, daemon, eventually, write

Digests = dict[str, bytes]

MIB = 1 << 20
BIG = 96 * MIB + 12_345  # two parts, on two connections
RATE = 30e6
JOURNAL_SECONDS = 0.1
QUOTA = 2 * BIG + 32 * MIB
PROBE = 1  # a finished download still asks for its last byte, to learn whether it changed

_POOL = os.urandom(BIG + 4 * MIB)
_HOLD = (
    "import sys; from resolverd_client import Client\n"
    "with Client(socket_path=sys.argv[1], timeout=60).lease('leased') as path:\n"
    "    print(path, flush=True); sys.stdin.read()\n"
)


@dataclass
class Asset:
    """One file that is being fetched.

    Attributes:
        name: Its card's.
        key: Its name in the cache.
        files: The bytes of what is published, by name.
        resource: What the origin has, and what it sent.
        pause: Seconds after which a kill may still hit the download.
        known: What the journal told at the last kill.
        counted: Bodies of the origin that were looked at by then.
    """

    name: str
    key: str
    files: dict[str, bytes]
    resource: Resource
    pause: float
    known: Ranges = ()
    counted: int = 0


@dataclass
class Tally:
    """What it has cost."""

    kills: int = 0
    resumed: int = 0
    finished: int = 0
    again: int = 0
    most_lost: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.finished} files published, {self.resumed} times gone on "
            f"from a journal; journalled bytes sent again: {self.again}; "
            f"most that one kill has cost: {self.most_lost / MIB:.1f} MiB"
        )


class Crashes:
    """One run."""

    def __init__(self, node: Daemon, origin: Origin, seed: int) -> None:
        self._node = node
        self._origin = origin
        self._random = random.Random(seed)
        self._layout = Layout(str(node.cache))
        self._number = 0
        self._whole: list[Digests] = []
        self._asset = self._made("leased", {"leased.bin": _POOL[: 4 * MIB]}, pause=0.0)
        self.tally = Tally()

    def run(self, count: int) -> None:
        """Kill ``count`` times; raises when something was lost."""
        with self._leased() as path:
            self._asset = self._next()
            for _ in range(count):
                self._strike()
                self._check_lease(path)
            self._finish()
            self._check_lease(path)
        assert eventually(lambda: self._free(path))
        assert sorted(os.listdir(self._layout.folder("partial"))) == []
        assert os.listdir(self._layout.folder("quarantine")) == []

    # -- files

    def _made(self, name: str, files: dict[str, bytes], pause: float) -> Asset:
        path, body = next(iter(files.items()))
        if name.startswith("archive"):
            path, body = name + ".zip", _zipped(files)
        resource = self._origin.put(f"/{name}/{path}", body, rate=RATE)
        url, sha256 = self._origin.url(f"/{name}/{path}"), hashlib.sha256(body).hexdigest()
        write(self._node.store / f"{name}.yaml", card(name, checkpoint=url, checksum=sha256))
        eventually(lambda: self._node.client(30).maybe_get_metadata(name))
        self._whole.append(_digests(files))
        return Asset(name, Wanted("model", url).asset, files, resource, pause)

    def _next(self) -> Asset:
        self._number += 1
        at = self._number * 4096 % (4 * MIB)
        kind = self._random.choice(["big", "big", "small", "archive"])
        name = f"{kind}{self._number}"
        if kind == "big":
            return self._made(name, {"m.bin": _POOL[at : at + BIG]}, pause=1.2)
        if kind == "small":
            return self._made(name, {"m.bin": _POOL[at : at + MIB]}, pause=0.2)
        members = {f"{n}.bin": _POOL[at + n : at + n + MIB] for n in range(8)}
        return self._made(name, members, pause=0.4)

    # -- one kill

    def _strike(self) -> None:
        """Ask, kill at a random moment, see what is left, start what was killed."""
        asset = self._asset
        victim = self._random.choice(["worker", "daemon", "both"])
        pause, at_once = self._random.uniform(0, asset.pause), self._random.random() < 0.3
        worker = eventually(self._worker)
        self._ask()
        if not at_once:  # else it may be before the first byte, also on a slow machine
            eventually(lambda: len(asset.resource.spans) > asset.counted or self._ask())
        time.sleep(pause)  # the moment is random: there is nothing to wait for
        self._kill(victim, worker)
        self._look()
        if victim == "worker":
            self._node.signal(signal.SIGCONT)
        else:
            self._node.start()
        if self._published():
            self._done()

    def _ask(self) -> None:
        """Ask for the file; again and again, as who asks of a dying worker is refused."""
        self._node.client(30).prefetch([self._asset.name], wait=False)
        time.sleep(0.02)

    def _kill(self, victim: str, worker: int) -> None:
        """Leaves nothing running that could write; a daemon that lives on is stopped."""
        if victim == "worker":
            self._node.signal(signal.SIGSTOP)  # else it starts another before one can look
        with contextlib.suppress(ProcessLookupError):
            if victim != "daemon":
                os.kill(worker, signal.SIGKILL)
        if victim != "worker":
            self._node.kill()
        eventually(lambda: _gone(worker))
        self.tally.kills += 1

    def _look(self) -> None:
        """Hold what the origin sent since the last kill against what was known then."""
        asset, found = self._asset, self._journalled()
        with self._origin.lock:
            spans = [tuple(span) for span in asset.resource.spans[asset.counted :]]
            asset.counted = len(asset.resource.spans)
        again = sum(_overlap(asset.known, span) for span in spans)
        assert again <= PROBE * len(spans), (
            f"{asset.name}: {again} journalled bytes sent again: known {asset.known}, sent {spans}"
        )
        self.tally.again += again
        self.tally.resumed += bool(asset.known and spans)
        if not self._published():
            sent = sum(high - low for low, high in spans)
            kept = plan.covered(found) - plan.covered(asset.known)
            self.tally.most_lost = max(self.tally.most_lost, sent - kept)
            assert kept >= 0, f"{asset.name}: the journal forgot {-kept} bytes"
        asset.known = found

    def _journalled(self) -> Ranges:
        for path in Path(self._layout.partial(self._asset.key)).glob("journal-*"):
            if path.suffix != ".new":
                return journal.read(str(path))[1]
        return ()

    # -- what is published

    def _published(self) -> bool:
        """Whether the file is there; whatever is there must be what an origin has."""
        links = Path(self._layout.folder("assets")).iterdir()
        there = [_digests(_content(folder)) for folder in links if folder.exists()]
        assert all(digests in self._whole for digests in there), "something published is not whole"
        return _digests(self._asset.files) in there

    def _finish(self) -> None:
        path = self._node.client(120).path(self._asset.name, timeout=120)
        assert path.exists()
        self._look()
        assert self._published(), f"{self._asset.name}: not what the origin has"
        self._done()

    def _done(self) -> None:
        self.tally.finished += 1
        self._asset = self._next()

    # -- the lease

    @contextlib.contextmanager
    def _leased(self) -> Iterator[Path]:
        self._node.client(60).path("leased", timeout=60)
        command = [sys.executable, "-c", _HOLD, str(self._node.socket)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout is not None
            yield Path(holder.stdout.readline().strip())
            holder.kill()

    def _check_lease(self, path: Path) -> None:
        assert path.read_bytes() == _POOL[: 4 * MIB]
        assert not self._free(path)

    def _free(self, path: Path) -> bool:
        held = leases.exclude(self._layout.lock(path.parent.name))
        if held is not None:
            os.close(held)
        return held is not None

    def _worker(self) -> int | None:
        assert self._node.process is not None
        pid = self._node.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else None


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _digests(files: dict[str, bytes]) -> Digests:
    return {name: hashlib.sha256(data).digest() for name, data in files.items()}


def _overlap(known: Ranges, span: tuple[int, ...]) -> int:
    low, high = span
    return sum(max(0, min(high, end) - max(low, start)) for start, end in known)


def _zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, data in files.items():
            made.writestr(name, data)
    return out.getvalue()


def _gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in {"Z", "X"}


def crash(seed: int, count: int) -> Tally:
    """Run once, on a cache in memory where there is one: what is tested is not the disk's speed.

    Raises:
        AssertionError: When something was lost; the seed tells how to see it again.
    """
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as root, Origin() as origin:
        config = write(
            Path(root) / "config.toml",
            f"[cache]\nmax_bytes = {QUOTA}\nmin_free_bytes = 0\n"
            f"[fetch]\njournal_seconds = {JOURNAL_SECONDS}\n",
        )
        with daemon("--config", str(config), start=False) as node:
            (Path(root) / "cache").mkdir()
            node.cache.symlink_to(Path(root) / "cache")
            node.start()
            crashes = Crashes(node, origin, seed)
            try:
                crashes.run(count)
            except BaseException:
                print(f"seed {seed}, after {crashes.tally.kills} kills", file=sys.stderr)
                raise
            return crashes.tally


def main() -> None:
    """Run from the command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--count", type=int, default=50)
    asked = options.parse_args()
    began = time.monotonic()
    tally = crash(asked.seed, asked.count)
    print(f"seed {asked.seed}: {tally}; {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
