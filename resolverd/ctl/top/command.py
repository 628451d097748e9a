"""The command: looks again and again, and draws."""

from __future__ import annotations

import os
import select
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import click
from resolverd_client import Client, DaemonUnavailableError

from resolverd.ctl import output
from resolverd.ctl.command import Settings, command
from resolverd.ctl.top import plain
from resolverd.ctl.top.sample import Sample, State, sample

_HISTORY = 30
_PATIENCE = 2.0


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Look twice, print what happened between, and end.")
@command
def top(settings: Settings, interval: float, *, once: bool) -> None:
    """Watch lookups, downloads, clients and problems live.

    Ends on q or Ctrl-C. Piped, it prints plain lines; with --json an object a look.
    """
    client = settings.client(timeout=_PATIENCE)
    if once or settings.json or not output.terminal():
        _print(settings, client, interval, once=once)
    else:
        _draw(client, interval)


def _print(settings: Settings, client: Client, interval: float, *, once: bool) -> None:
    before: State = client.status()
    try:
        while True:
            time.sleep(interval)
            now = client.status()
            _tell(settings, sample(before, now))
            if once:
                return
            before = now
    except KeyboardInterrupt:
        pass


def _tell(settings: Settings, seen: Sample) -> None:
    if settings.json:
        output.print_json(plain.document(seen))
    elif output.terminal():
        from resolverd.ctl.top.screen import screen  # noqa: PLC0415 -- only a terminal needs it

        output.console().print(screen(seen, (), rows=1000))
    else:
        for row in plain.lines(seen):
            output.line("\t".join(map(output.cell, row)))


def _draw(client: Client, interval: float) -> None:
    from rich.live import Live  # noqa: PLC0415 -- only a terminal needs it

    from resolverd.ctl.top.screen import lost, screen  # noqa: PLC0415

    history: deque[float] = deque(maxlen=_HISTORY)
    before: State | None = None
    console = output.console()
    live = Live(console=console, screen=True, auto_refresh=False, transient=True)
    try:
        with _keys() as keys, live:
            while True:
                try:
                    now = client.status()
                except DaemonUnavailableError as error:
                    before = None
                    live.update(lost(str(error)), refresh=True)
                else:
                    seen = sample(before, now)
                    if seen.lookups is not None:
                        history.append(seen.lookups)
                    before = now
                    live.update(screen(seen, history, console.height), refresh=True)
                if _ended(keys, interval if history else min(interval, 0.3)):
                    return
    except KeyboardInterrupt:
        pass


@contextmanager
def _keys() -> Iterator[int | None]:
    """Have keys come one by one while the block runs; None where there is no keyboard."""
    if not sys.stdin.isatty():
        yield None
        return
    import termios  # noqa: PLC0415 -- only here
    import tty  # noqa: PLC0415

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield number
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _ended(keys: int | None, seconds: float) -> bool:
    """Wait, unless q is pressed."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if keys is None:
            time.sleep(left)
        elif select.select([keys], [], [], left)[0] and os.read(keys, 64) in (b"", b"q", b"Q"):
            return True
    return False
