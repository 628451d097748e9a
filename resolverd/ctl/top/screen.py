"""A sample for people: what fits on a terminal of 80 columns and more."""

from __future__ import annotations

import pwd
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from resolverd.ctl import output
from resolverd.ctl.top.sample import Sample, State, hit_rate, seconds_left

_BLOCKS = "▁▂▃▄▅▆▇█"
_BAR_WIDTH = 12
_NAME_WIDTH = 24
_USERS, _FAULTS = 4, 1


def screen(sample: Sample, history: Sequence[float], rows: int) -> RenderableType:
    """Draw one sample.

    Args:
        sample: What to show.
        history: Lookups a second of the last samples, the newest last.
        rows: Lines there are; lists are cut so that the head always shows.
    """
    state = sample.state
    downloads, users = state["checkpoints"]["downloads"], state["users"]
    # What is left besides the head, and each list's blank line, names and count of what is hidden
    room = max(4, rows - 16)
    few_users, few_downloads = min(len(users), _USERS), min(len(downloads), room // 2)
    parts: list[RenderableType] = [_head(sample, history)]
    if downloads:
        parts.append(_downloads(downloads, few_downloads))
    parts.append(_users(users, few_users))
    parts += _troubles(state, max(1, (room - few_users - few_downloads) // 2))
    return Group(*parts)


def lost(reason: str) -> RenderableType:
    """Draw the state of having no daemon to ask."""
    return Text(f"{output.printable(reason)}\n\ntrying again...", style="bold red")


def _head(sample: Sample, history: Sequence[float]) -> RenderableType:
    state, cache = sample.state, sample.state["checkpoints"]
    wrong = state["problem_count"]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row("daemon", _identity(state))
    grid.add_row("cards", _cards(state), style="red" if wrong else "")
    grid.add_row("lookups", f"{_rate(sample.lookups)}  {spark(history)}")
    grid.add_row("clients", _clients(sample))
    grid.add_row("cache", _cache(cache))
    grid.add_row("fetching", _fetching(sample))
    return grid


def _identity(state: State) -> str:
    return f"resolverd {state['version']}, pid {state['pid']}, up {output.span(state['uptime'])}"


def _cards(state: State) -> str:
    parts = [
        f"{state['cards']:,} in {output.count(len(state['stores']), 'store')}",
        f"generation {state['generation']}",
        output.count(state["problem_count"], "problem"),
    ]
    if stale := sum(store["stale"] for store in state["stores"]):
        parts.append(f"{stale} stale")
    return ", ".join(parts)


def _clients(sample: Sample) -> str:
    other = "" if sample.requests is None else f", {sample.requests:,.0f}/s of other requests"
    return f"{sample.state['clients']:,} connected{other}"


def _cache(cache: State) -> str:
    quota = f" of {output.size(cache['max_bytes'])}" if cache.get("max_bytes") else ""
    hits = hit_rate({"checkpoints": cache})
    parts = [
        f"{output.size(cache['bytes'])}{quota} in {output.count(cache['objects'], 'object')}",
        f"{output.size(cache['free_bytes'])} free",
    ]
    if hits is not None:
        parts.append(f"{hits:.0%} hits")
    return ", ".join(parts)


def _fetching(sample: Sample) -> str:
    count = len(sample.state["checkpoints"]["downloads"])
    rate = "" if sample.fetched is None else f", {output.size(sample.fetched)}/s"
    return f"{output.count(count, 'download')}{rate}"


def _rate(value: float | None) -> str:
    return "measuring..." if value is None else f"{value:,.0f}/s"


def spark(history: Sequence[float]) -> str:
    """Draw numbers as a line of blocks, the greatest the highest."""
    top = max(history, default=0.0)
    if top <= 0:
        return ""
    return "".join(_BLOCKS[round(each / top * (len(_BLOCKS) - 1))] for each in history)


def _downloads(downloads: Sequence[State], most: int) -> RenderableType:
    table = _table("download", "", "bytes", "rate", "left")
    for each in downloads[:most]:
        bar = ProgressBar(total=each["total"], completed=each["done"], width=_BAR_WIDTH)
        left = seconds_left(each)
        moving = each["state"] == "fetching"
        table.add_row(
            _cell(_short(each["uri"])),
            bar if each["total"] else "",
            _arrived(each),
            f"{output.size(each['rate'])}/s" if moving else each["state"],
            output.span(left) if left is not None and moving else "",
        )
    _more(table, len(downloads) - most)
    faults = [each["fault"] for each in downloads[:most] if each.get("fault")][:_FAULTS]
    return Group(Text(), table, *(Text(output.printable(each), style="yellow") for each in faults))


def _arrived(download: State) -> str:
    done, total = download["done"], download["total"]
    return f"{done / total:4.0%} of {output.size(total)}" if total else output.size(done)


def _users(users: Sequence[State], most: int) -> RenderableType:
    table = _table("user", "clients", "lookups")
    for each in users[:most]:
        table.add_row(_cell(_user(each["uid"])), f"{each['clients']:,}", f"{each['lookups']:,}")
    _more(table, len(users) - most)
    return Group(Text(), table)


def _troubles(state: State, most: int) -> list[RenderableType]:
    """Warnings and problems, each of which may take two lines."""
    told = [Text(f"warning: {output.printable(text)}", "yellow") for text in state["warnings"]]
    told += [
        Text(output.printable(each["text"]), "red" if each["severity"] == "error" else "yellow")
        for each in state["problems"][:most]
    ]
    shown: list[RenderableType] = list(told[:most])
    hidden = len(state["warnings"]) + state["problem_count"] - len(shown)
    if hidden > 0:
        shown.append(Text(f"... and {hidden} more: resolverctl status", style="dim"))
    return [Text(), *shown] if shown else []


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold cyan")
    for name in columns:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    return table


def _more(table: Table, hidden: int) -> None:
    if hidden > 0:
        table.add_row(Text(f"... and {hidden} more", style="dim"))


def _short(uri: str) -> str:
    """Name a download by the end of its URI, where files differ."""
    last = uri.rstrip("/").rpartition("/")[2]
    return last if len(last) <= _NAME_WIDTH else f"…{last[1 - _NAME_WIDTH :]}"


def _cell(text: str) -> Text:
    return Text(output.printable(text))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
