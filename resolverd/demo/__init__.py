"""The whole main job in half a minute, in a temporary folder: no root, no network.

It drives the commands and the client that users have, and nothing else of resolverd.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import click
from resolverd_client import Client

from resolverd.demo.origin import serving, write_checkpoint
from resolverd.errors import ResolverdError

MEGABYTES = 96
RATE = 24 << 20  # bytes a second of one connection: slow enough to watch the bar


class DemoError(ResolverdError):
    """Something did not do what the demo says."""


def run() -> None:
    """Run the demo; raises if any step does not do what it says."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and clean up
    # A short path: a Unix socket's name holds 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="resolverd-", dir="/tmp"))
    try:
        _play(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say("")
    say("That was all of it. Next: resolverd serve --help, and the README.")


def _play(folder: Path) -> None:
    stores, files, socket = folder / "assets", folder / "origin", folder / "resolverd.sock"
    files.mkdir()
    digest = write_checkpoint(files / "tiny_llama.safetensors", MEGABYTES)
    with serving(files, RATE) as origin:
        write_cards(stores, origin.url, digest)
        step("A store of asset cards, one of them broken, and an HTTP origin")
        for file in sorted(stores.iterdir()):
            say(f"  {file}")
        say(f"  {origin.url}/tiny_llama.safetensors  {MEGABYTES} MiB")
        daemon = ["serve", "--store", str(stores), "--cache-dir", str(folder / "cache")]
        os.environ["RESOLVERD_SOCKET"] = str(socket)
        with running(daemon, folder / "first.log") as process:
            _look(socket)
            _prefetch()
            fetched = origin.sent
            expect(fetched < 2 * MEGABYTES << 20, "the origin sent the checkpoint once")
            _reload(stores, socket)
            _crash(process, daemon, folder / "second.log")
        expect(origin.sent == fetched, "nothing was fetched again")


def write_cards(store: Path, origin: str, digest: str) -> None:
    """Write the sample cards.

    Args:
        store: The folder to make.
        origin: Where their checkpoint is, without its name.
        digest: The checkpoint's SHA-256, in hex.
    """
    store.mkdir()
    for card in resources.files("resolverd.demo").joinpath("cards").iterdir():
        text = card.read_text("utf-8").replace("{origin}", origin).replace("{digest}", digest)
        (store / card.name).write_text(text, "utf-8")


def _look(socket: Path) -> None:
    step("The daemon serves the good cards, and tells what is wrong with the bad")
    resolverctl("status")
    resolverctl("show", "tiny_llama_instruct")
    step("What a job sees: Client().get_metadata(...), no YAML parsed in it")
    client = Client(socket_path=str(socket))
    first = _timed(lambda: client.get_metadata("tiny_llama"))
    again = min(_timed(lambda: client.get_metadata("tiny_llama")) for _ in range(1000))
    say(f"  first lookup, connecting included {first * 1e3:.1f} ms; cached {again * 1e6:.1f} µs")


def _prefetch() -> None:
    step("Pre-warm the checkpoint, verified against the card's SHA-256")
    resolverctl("prefetch", "tiny_llama", "--field", "checkpoint")
    resolverctl("path", "tiny_llama")
    resolverctl("verify", "tiny_llama")


def _reload(store: Path, socket: Path) -> None:
    step("Edit a card: every connected client sees it")
    client = Client(socket_path=str(socket))
    client.get_metadata("tiny_llama")
    card = store / "tiny_llama.yaml"
    text = card.read_text("utf-8").replace("model_arch: tiny", "model_arch: tiny_v2", 1)
    staged = store / ".tiny_llama.yaml.new"
    staged.write_text(text, "utf-8")
    start = time.perf_counter()
    staged.rename(card)
    while client.get_metadata("tiny_llama")["model_arch"] != "tiny_v2":
        expect(time.perf_counter() - start < 10, "the edit became visible")
    say(f"  model_arch is tiny_v2 {(time.perf_counter() - start) * 1e3:.1f} ms after the rename")


def _crash(process: subprocess.Popen[bytes], daemon: list[str], log: Path) -> None:
    step("kill -9 the daemon, start it again: nothing is lost or fetched twice")
    client = Client(timeout=15)
    before = client.path("tiny_llama")
    process.send_signal(signal.SIGKILL)
    process.wait()
    start = time.perf_counter()
    with running(daemon, log):
        card = client.get_metadata("tiny_llama")
        took = time.perf_counter() - start
        expect(card["model_arch"] == "tiny_v2", "the restarted daemon serves the edited card")
        expect(client.path("tiny_llama") == before, "the checkpoint is still there")
        say(f"  answered again {took * 1e3:.0f} ms after the kill, with the checkpoint still there")


@contextmanager
def running(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon while the block runs; its log goes to a file and is shown if it fails."""
    say(f"  $ resolverd {' '.join(arguments)} &".replace(" --", " \\\n      --"))
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "resolverd", *arguments], stderr=output)
    try:
        Client(timeout=20).status()
        yield process
    except BaseException:
        click.echo(log.read_text("utf-8"), err=True)
        raise
    finally:
        process.terminate()
        process.wait(10)


def resolverctl(*arguments: str) -> None:
    """Run one resolverctl command, shown as a user would type it."""
    say(f"  $ resolverctl {' '.join(arguments)}")
    subprocess.run([sys.executable, "-m", "resolverd.ctl", *arguments], check=True)


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def step(text: str) -> None:
    """Announce a step."""
    click.echo()
    click.secho(f"== {text}", bold=True, fg="cyan")


def say(text: str) -> None:
    """Tell something about the step, in order with what the commands print."""
    click.echo(text)
    sys.stdout.flush()


def expect(truth: object, what: str) -> None:
    """Fail the demo unless something holds.

    Raises:
        DemoError: If it does not.
    """
    if not truth:
        raise DemoError(f"The demo expected that {what}; it did not.")
