"""The command: gathers the facts, has them judged, and shows what was found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
import resolverd_client
from resolverd_client.connection import SYSTEM_SOCKET, socket_paths

from resolverd import __version__
from resolverd.config import Settings as Configuration
from resolverd.config import default_cache_dir, default_file, load
from resolverd.ctl import output
from resolverd.ctl.command import FAILED, Settings, command
from resolverd.ctl.doctor import daemon, host, sockets
from resolverd.ctl.doctor.finding import Finding, error, ok
from resolverd.errors import ResolverdError
from resolverd.stores.mounts import read_mounts
from resolverd.stores.wellknown import chosen_stores

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


@click.command()
@command
def doctor(settings: Settings) -> int:
    """Say what is wrong on this node, with remedies.

    Looks at the socket and its permissions, versions, configuration, stores and their file
    systems, watch limits, the cache, disk room, the worker and the clock. Works when the daemon
    does not, and says why. Exits 1 when something is wrong.
    """
    found = examine([settings.socket] if settings.socket else socket_paths())
    healthy = all(each.verdict != "error" for each in found)
    if settings.json:
        output.print_json({"healthy": healthy, "findings": [asdict(each) for each in found]})
    else:
        _show(found)
        output.heading(_summary(found), "bold green" if healthy else "bold red")
    return 0 if healthy else FAILED


def examine(paths: Sequence[str]) -> list[Finding]:
    """Look at everything.

    Args:
        paths: The sockets that a client would try.
    """
    seen = [sockets.look(path) for path in paths]
    state = next((each.state for each in seen if each.state is not None), None)
    system = state["socket"] == SYSTEM_SOCKET if state else os.geteuid() == 0
    configuration, said = _configuration(system=system)
    stores = _stores(state, configuration)
    mounts = read_mounts()
    return [
        *sockets.findings(seen),
        daemon.versions(state, command=__version__, client=resolverd_client.__version__),
        said,
        *(daemon.findings(state) if state else []),
        host.watches(stores),
        *host.file_systems(stores, mounts),
        *_cache(state, configuration, mounts, system=system),
        *host.clock(stores),
    ]


def _configuration(*, system: bool) -> tuple[Configuration, Finding]:
    """Read the configuration that a daemon started now would read."""
    file = default_file(system=system, environ=os.environ)
    place = str(file) if file else "no file, the defaults"
    try:
        return load(file, os.environ), ok("configuration", place)
    except ResolverdError as fault:
        remedy = "mend it, then check it: resolverd check-config FILE"
        return Configuration(), error("configuration", str(fault), remedy)


def _stores(state: dict[str, Any] | None, configuration: Configuration) -> list[host.Store]:
    """The stores that are served, or that would be."""
    if state is not None:
        return [
            host.Store(
                each["source"],
                each["root"] or each["location"] if each["state"] == "ok" else None,
                each.get("directories", 0) if each["mode"] == "watched" else 0,
            )
            for each in state["stores"]
        ]
    try:
        chosen = chosen_stores(
            configuration.stores.paths, os.environ, os.path.expanduser("~"), always_poll=False
        )
    except ResolverdError:
        return []
    folders = [each for each in chosen if not each.is_package and os.path.isdir(each.location)]
    return [host.Store(each.source, each.location) for each in folders]


def _cache(
    state: dict[str, Any] | None, configuration: Configuration, mounts: Any, *, system: bool
) -> list[Finding]:
    if state is not None:
        cache = state["checkpoints"]
        where, least, free = cache["dir"], cache["min_free_bytes"], cache["free_bytes"]
    else:
        default = default_cache_dir(system=system, environ=os.environ)
        where, free = str(configuration.cache.dir or default), None
        least = configuration.cache.min_free_bytes
    found = host.cache(where, mounts, min_free=least, free_known=free)
    return [*_visible(where), *found] if state is not None else found


def _visible(folder: str) -> list[Finding]:
    """Jobs read checkpoints themselves: say so when who asks could not."""
    try:
        os.scandir(os.path.join(folder, "objects")).close()
    except FileNotFoundError:
        if os.path.isdir(folder):
            return []  # nothing was fetched yet
        remedy = f"mount {folder} of the node into this container"
        return [error("cache", f"{folder} can't be seen from here", remedy)]
    except PermissionError:
        remedy = f"join the group of {folder}, then log in again"
        return [error("cache", f"{folder} may not be read by this user", remedy)]
    except OSError as fault:
        return [error("cache", f"{folder}: {fault.strerror}", "see to its disk")]
    return []


def _show(found: Sequence[Finding]) -> None:
    if not output.terminal():
        output.table((), [(each.verdict, each.check, each.text, each.remedy) for each in found])
        return
    from rich.table import Table  # noqa: PLC0415 -- only a terminal needs it
    from rich.text import Text  # noqa: PLC0415

    grid = Table.grid(padding=(0, 2))
    for _ in range(2):
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for each in found:
        text = Text(output.printable(each.text))
        if each.remedy:
            text.append(f"\n→ {output.printable(each.remedy)}", style="cyan")
        grid.add_row(Text(each.verdict, style=_STYLES[each.verdict]), each.check, text)
    output.console().print(grid)


def _summary(found: Sequence[Finding]) -> str:
    verdicts = [each.verdict for each in found]
    wrong, doubtful = verdicts.count("error"), verdicts.count("warning")
    if not wrong and not doubtful:
        return "all is well"
    return f"{output.count(wrong, 'error')}, {output.count(doubtful, 'warning')}"
