"""The command an operator types first: what is served, what is wrong, what is being fetched."""

from __future__ import annotations

import time
from typing import Any

import click

from resolverd.ctl import output
from resolverd.ctl.command import Settings, command


@click.command()
@command
def status(settings: Settings) -> None:
    """Show stores, problems and downloads of the daemon."""
    state = settings.client().status()
    if settings.json:
        output.print_json(state)
        return
    _summary(state)
    _stores(state["stores"])
    for warning in state["warnings"]:
        output.heading(f"warning: {warning}", "yellow")
    _problems(state["problems"], state["problem_count"])
    _downloads(state["checkpoints"])
    _prefetched(state.get("prefetch"))


def _summary(state: dict[str, Any]) -> None:
    counts = (
        (state["cards"], "card"),
        (state["problem_count"], "problem"),
        (state["clients"], "client"),
    )
    output.heading(
        f"{', '.join(output.count(*each) for each in counts)}; generation {state['generation']}",
        "bold red" if state["problems"] else "bold green",
    )
    output.line(
        f"resolverd {state['version']}, pid {state['pid']}, up {output.span(state['uptime'])}, "
        f"socket {state['socket']}"
    )
    _cache(state["checkpoints"])


def _cache(cache: dict[str, Any]) -> None:
    quota = f" of {output.size(cache['max_bytes'])}" if cache["max_bytes"] else ""
    output.line(
        f"cache {cache['dir']}: {output.count(cache['objects'], 'object')}, "
        f"{output.size(cache['bytes'])}{quota}, {output.size(cache['free_bytes'])} free"
    )
    held = [
        f"{output.size(cache[key])} {word}"
        for key, word in (
            ("leased_bytes", "leased"),
            ("pinned_bytes", "pinned"),
            ("partial_bytes", "unfinished"),
            ("quarantine_bytes", "in quarantine"),
        )
        if cache[key]
    ]
    if held:
        output.line(f"  of which {', '.join(held)}")
    if cache["verified_first"]:
        age = output.span(max(0.0, time.time() - cache["verified_first"]))
        output.line(f"  every object was found right within the last {age}")


def _stores(stores: list[dict[str, Any]]) -> None:
    output.table(
        ("store", "state", "cards", "files", "seen by"),
        [(s["source"], _store_state(s), s["cards"], s["files"], _seen(s)) for s in stores],
    )


def _store_state(store: dict[str, Any]) -> str:
    if store["state"] == "missing" and store["optional"]:
        return "absent"
    stale = f", {store['stale']} stale" if store["stale"] else ""
    return f"{store['state']}{stale}"


def _seen(store: dict[str, Any]) -> str:
    return f"{store['mode']} ({store['why']})" if store["why"] else store["mode"]


def _problems(problems: list[dict[str, Any]], count: int) -> None:
    for problem in problems:
        style = "red" if problem["severity"] == "error" else "yellow"
        output.heading(f"{problem['severity']}: {problem['text']}", style)
    if count > len(problems):
        output.heading(f"... and {count - len(problems)} more problems", "red")


def _downloads(checkpoints: dict[str, Any]) -> None:
    rows = [
        (d["uri"], d["state"], f"{output.size(d['done'])} of {output.size(d['total'])}",
         f"{output.size(d['rate'])}/s", d["fault"] or "")
        for d in checkpoints["downloads"]
    ]  # fmt: skip
    if rows:
        output.table(("download", "state", "bytes", "rate", "last fault"), rows)


def _prefetched(prefetch: dict[str, Any] | None) -> None:
    if not prefetch or not prefetch["wanted"]:
        return
    output.line(f"prefetch: {prefetch['ready']} of {prefetch['wanted']} ready")
    for failed in prefetch["failed"]:
        what = " ".join(filter(None, (failed["name"], failed["field"])))
        output.heading(f"prefetch of {what} failed: {failed['error']}", "red")
