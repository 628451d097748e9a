"""Runs real daemons for tests, as a user would: one process, one socket, real stores."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from resolverd_client import Client

T = TypeVar("T")


def eventually(probe: Callable[[], T], within: float = 30.0) -> T:
    """Ask until the answer is true; fail with the last answer when the time is over."""
    end = time.monotonic() + within
    while not (answer := probe()):
        assert time.monotonic() < end, f"not within {within} s; last answer: {answer!r}"
        time.sleep(0.002)
    return answer


@dataclass
class Daemon:
    """A daemon of a test's own, in a folder of its own."""

    folder: Path
    arguments: Sequence[str] = ()
    stores: Sequence[str] | None = None
    wrapper: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8")

    @property
    def command(self) -> list[str]:
        named = [str(self.store)] if self.stores is None else self.stores
        stores = [part for spec in named for part in ("--store", spec)]
        place = ["--socket", str(self.socket), "--cache-dir", str(self.cache)]
        serve = [sys.executable, "-m", "resolverd", "serve"]
        return [*self.wrapper, *serve, *place, *stores, *self.arguments]

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stderr=log, env={**os.environ, **self.environ}
            )
        self.client(20).status()

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(20)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def client(self, timeout: float = 10) -> Client:
        return Client(socket_path=str(self.socket), timeout=timeout)

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run resolverctl against this daemon."""
        return subprocess.run(
            [sys.executable, "-m", "resolverd.ctl", "--socket", str(self.socket), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@contextmanager
def daemon(*arguments: str, start: bool = True, **settings: object) -> Iterator[Daemon]:
    """Run a daemon while the block runs; its folder is short, as socket names must be."""
    folder = Path(tempfile.mkdtemp(prefix="rd-", dir="/tmp"))
    folder.chmod(0o755)
    made = Daemon(folder, arguments, **settings)  # type: ignore[arg-type]
    made.store.mkdir()
    try:
        if start:
            made.start()
        yield made
    except BaseException:
        if (folder / "log").exists():
            sys.stderr.write(made.log)
        raise
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def write(path: Path, text: str) -> Path:
    """Write a file in place, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def card(name: str, **fields: object) -> str:
    """Word a card as YAML."""
    return "".join(f"{key}: {value}\n" for key, value in {"name": name, **fields}.items())
