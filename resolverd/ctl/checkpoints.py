"""Commands about checkpoints: prefetch, path, verify."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from resolverd_client import Client, ResolverdError

from resolverd.ctl import output
from resolverd.ctl.cards import KINDS
from resolverd.ctl.command import FAILED, NO_SUCH_ASSET, USAGE, Settings, command
from resolverd.ctl.completion import asset_names

Event = dict[str, Any]
Progress = Callable[[Event], None]

_SECONDS = click.FloatRange(min=0)


@click.command()
@click.argument(
    "targets", nargs=-1, required=True, metavar="(NAME|GLOB|URI)...", shell_complete=asset_names
)
@click.option("--field", metavar="F", help="The card's field; by default each that can be fetched.")
@click.option("--kind", type=KINDS, help="What a URI is; with a glob, which assets.")
@click.option("--timeout", type=_SECONDS, metavar="S", help="Give up waiting after S seconds.")
@click.option("--refresh", is_flag=True, help="Ask the origin whether there is a newer version.")
@click.option("--no-wait", is_flag=True, help="Start, and do not wait for the end.")
@command
def prefetch(
    settings: Settings,
    targets: tuple[str, ...],
    field: str | None,
    kind: str | None,
    timeout: float | None,
    *,
    refresh: bool,
    no_wait: bool,
) -> int:
    """Fetch and verify checkpoints before jobs ask.

    Jobs then find them on this node's disk. A GLOB such as 'llama*' takes all that match.
    """
    client = settings.client()
    named, matched = _expand(client, targets, kind)
    wanted = list(dict.fromkeys((*named, *matched)))
    how = {"wait": not no_wait, "timeout": timeout, "refresh": refresh}
    results: list[Event] = []
    if wanted:
        with _progress(settings) as progress:
            results = _prefetch(client, wanted, {"field": field, "kind": kind, **how}, progress)
    results = [each for each in results if each["name"] in named or not _fileless(each)]
    if not results:
        text = "no asset that matches {} has anything to fetch" if wanted else "no asset matches {}"
        output.complain(text.format(" ".join(targets)))
        return NO_SUCH_ASSET
    return _summarise(settings, results)


def _fileless(result: Event) -> bool:
    """Whether a card has nothing to fetch: of those that a pattern matches, many do not."""
    return bool(result["error"]) and result["error"]["code"] == "not-found"


def _prefetch(
    client: Client, wanted: list[str], options: dict[str, Any], progress: Progress | None
) -> list[Event]:
    """Prefetch and give every target's result, those that failed among them."""
    try:
        return list(client.prefetch(wanted, progress=progress, **options))
    except ResolverdError as error:
        if "results" not in error.details:
            raise
        results: Any = error.details["results"]
        return list(results)


def _expand(
    client: Client, targets: tuple[str, ...], kind: str | None
) -> tuple[list[str], list[str]]:
    """The targets that are named, and those that patterns match."""
    named: list[str] = []
    matched: list[str] = []
    for target in targets:
        if "://" not in target and any(mark in target for mark in "*?["):
            cards = client.list(target, kind=kind)
            matched += [str(card["name"]).removesuffix("@") for card in cards]
        else:
            named.append(target)
    return named, matched


def _summarise(settings: Settings, results: list[Event]) -> int:
    failed = [result for result in results if result["error"]]
    started = [result for result in results if not result["error"] and result["path"] is None]
    if settings.json:
        output.print_json(results)
    else:
        for result in results:
            output.line(_told(result))
        total = sum(result["size"] or 0 for result in results if not result["error"])
        output.heading(
            f"{len(results) - len(failed) - len(started)} of {len(results)} ready, "
            f"{output.size(total)}{f'; {len(started)} started' if started else ''}",
            "bold red" if failed else "bold green",
        )
    if failed and all(result["error"]["code"] == "not-found" for result in failed):
        return NO_SUCH_ASSET
    return FAILED if failed else 0


def _told(result: Event) -> str:
    label = " ".join(filter(None, (result["name"], result["field"]))) or result["uri"]
    if result["error"]:
        return f"{label}: failed: {result['error']['message']}"
    if result["path"] is None:
        return f"{label}: started"
    return (
        f"{label}: {result['path']} ({output.size(result['size'])}, verified by {result['trust']})"
    )


@contextmanager
def _progress(settings: Settings) -> Iterator[Progress | None]:
    """Show one live bar a download on a terminal; with ``--json`` or a pipe nothing moves."""
    if settings.json or not output.terminal():
        yield None
        return
    from rich import progress as bars  # noqa: PLC0415 -- only a terminal needs it
    from rich.table import Column  # noqa: PLC0415

    one_line = Column(no_wrap=True)
    columns = (
        bars.TextColumn("{task.description}", table_column=Column(no_wrap=True, ratio=1)),
        bars.BarColumn(bar_width=14),
        bars.DownloadColumn(binary_units=True, table_column=one_line),
        bars.TransferSpeedColumn(table_column=one_line),
        bars.TimeRemainingColumn(table_column=one_line),
    )
    with bars.Progress(*columns, console=output.console()) as shown:
        tasks: dict[str, bars.TaskID] = {}
        faults: dict[str, str] = {}

        def update(event: Event) -> None:
            uri = event["uri"]
            if uri not in tasks:
                tasks[uri] = shown.add_task(uri.rsplit("/", 1)[-1][:24], total=event["total"])
            shown.update(tasks[uri], completed=event["done"], total=event["total"])
            fault = event.get("fault")
            if fault and fault != faults.get(uri):
                faults[uri] = fault
                output.heading(f"{fault} It is tried again.", "yellow")

        yield update


@click.command()
@click.argument("target", metavar="(NAME|URI)", shell_complete=asset_names)
@click.option("--field", metavar="F", help="The card's field; by default its checkpoint.")
@click.option("--kind", type=KINDS, help="What a URI is.")
@click.option("--timeout", type=_SECONDS, metavar="S", help="Give up waiting after S seconds.")
@command
def path(
    settings: Settings, target: str, field: str | None, kind: str | None, timeout: float | None
) -> None:
    """Print the local path of a verified checkpoint.

    It is fetched when it is missing.
    """
    client = settings.client()
    if "://" in target:
        found = client.path(uri=target, kind=kind or "model", timeout=timeout)
    else:
        found = client.path(target, field=field, timeout=timeout)
    if settings.json:
        output.print_json({"target": target, "path": found})
    else:
        output.line(str(found))


@click.command()
@click.argument("names", nargs=-1, shell_complete=asset_names)
@click.option("--all", "everything", is_flag=True, help="Verify every object in the cache.")
@command
def verify(settings: Settings, names: tuple[str, ...], *, everything: bool) -> int:
    """Hash cached checkpoints again and compare.

    One that is damaged goes to quarantine and is never served again. Exits 1 if there is any.
    """
    if bool(names) == everything:
        output.complain("verify takes either names or --all. See 'resolverctl verify --help'.")
        return USAGE
    verdicts = settings.client().verify(None if everything else list(names))
    if settings.json:
        output.print_json(verdicts)
    else:
        output.table(
            ("object", "verdict", "uri"),
            [(v["key"], _said(v), v["uri"]) for v in verdicts],
        )
        bad = sum(not verdict["ok"] for verdict in verdicts)
        output.line(f"{output.count(len(verdicts), 'object')} verified, {bad} damaged")
    if names and not verdicts:
        output.complain(f"nothing of {', '.join(names)} is in the cache")
        return FAILED
    return 0 if all(verdict["ok"] for verdict in verdicts) else FAILED


def _said(verdict: Event) -> str:
    if verdict["ok"]:
        return "ok"
    return f"{verdict['reason']}{'; it is being fetched again' if verdict['restoring'] else ''}"
