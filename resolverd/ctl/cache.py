"""Commands about the cache: ls, rm, gc, pin, unpin."""

from __future__ import annotations

import re
import time
from typing import Any

import click

from resolverd.ctl import output
from resolverd.ctl.command import FAILED, Settings, command, shared_options
from resolverd.ctl.completion import asset_names

Row = dict[str, Any]

_NAMES_MOST = 3
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


def _bytes(_context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Read a number of bytes: ``1073741824`` or ``1GiB``."""
    if value is None:
        return None
    found = _BYTES.fullmatch(value.strip())
    if not found:
        raise click.BadParameter(f"{value!r} is no number of bytes such as 500GiB", param=option)
    return int(float(found[1]) * _UNITS[found[2].lower()])


@click.group()
@shared_options
def cache() -> None:
    """See and tend what is on this node's disk."""


_ALL = ("asset", "kind", "state", "size", "trust", "used", "held", "key")
_BRIEF = ("asset", "state", "size", "trust", "used", "held")
_WITH_KEYS = ("asset", "kind", "size", "key")


@cache.command("ls")
@click.option("--keys", is_flag=True, help="On a terminal, show keys in place of the rest.")
@command
def list_cached(settings: Settings, *, keys: bool) -> None:
    """List what takes room, the most recently used first.

    A pipe always gets all of it.
    """
    rows = sorted(settings.client().cache_list(), key=lambda row: -row["used"])
    if settings.json:
        output.print_json(rows)
        return
    now = time.time()
    cells = [
        {"asset": _label(row), "kind": row["kind"], "state": row["state"],
         "size": output.size(row["size"]), "trust": row["trust"],
         "used": _ago(now, row["used"]), "held": _held(row), "key": row["key"]}
        for row in rows
    ]  # fmt: skip
    shown = (_WITH_KEYS if keys else _BRIEF) if output.terminal() else _ALL
    table = [[each[column] for column in shown] for each in cells]
    output.table(shown, table, whole=shown[1:])
    total = output.size(sum(row["size"] for row in rows))
    output.heading(f"{output.count(len(rows), 'item')}, {total}")


@cache.command("rm")
@click.argument(
    "targets", nargs=-1, required=True, metavar="(NAME|URI|KEY)...", shell_complete=asset_names
)
@click.option("--force", is_flag=True, help="Also what is pinned. What is leased always stays.")
@command
def remove(settings: Settings, targets: tuple[str, ...], *, force: bool) -> int:
    """Remove checkpoints from the cache.

    Of a name or a URI every version, of a key that one object.
    """
    rows = settings.client().cache_remove(targets, force=force)
    if settings.json:
        output.print_json(rows)
    else:
        for row in rows:
            output.line(_fate(row))
    return 0 if all(row["removed"] for row in rows) else FAILED


@cache.command("gc")
@click.option(
    "--to",
    callback=_bytes,
    metavar="BYTES",
    help="Come down to so many bytes, such as 500GiB, least recently used first.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@command
def collect(settings: Settings, to: int | None, *, dry_run: bool) -> None:
    """Remove what nobody needs.

    That is what is in quarantine, versions that another has superseded, and downloads that nobody
    waits for; with --to also what was not used for longest. Never what is leased or pinned.
    """
    rows = settings.client().cache_collect(to, dry_run=dry_run)
    if settings.json:
        output.print_json(rows)
        return
    for row in rows:
        output.line(f"{row['key']}\t{output.size(row['size'])}\t{row['state']}\t{_label(row)}")
    total = output.size(sum(row["size"] for row in rows))
    output.heading(f"{total} {'would be freed' if dry_run else 'freed'}")


@cache.command()
@click.argument(
    "targets", nargs=-1, required=True, metavar="(NAME|URI|KEY)...", shell_complete=asset_names
)
@command
def pin(settings: Settings, targets: tuple[str, ...]) -> None:
    """Have checkpoints stay, whatever room is needed.

    Also over a restart. A name or a URI need not be in the cache yet, and holds for versions
    fetched later, too.
    """
    rows = settings.client().cache_pin(targets)
    if settings.json:
        output.print_json(rows)
        return
    for target in dict.fromkeys(row["target"] for row in rows):
        output.line(f"{target}: pinned")


@cache.command()
@click.argument(
    "targets", nargs=-1, required=True, metavar="(NAME|URI|KEY)...", shell_complete=asset_names
)
@command
def unpin(settings: Settings, targets: tuple[str, ...]) -> int:
    """Have checkpoints give way again where room is needed."""
    rows = settings.client().cache_unpin(targets)
    found = {row["target"] for row in rows if row["found"]}
    if settings.json:
        output.print_json(rows)
    else:
        for target in dict.fromkeys(row["target"] for row in rows):
            output.line(f"{target}: {'unpinned' if target in found else 'was not pinned'}")
    return 0 if found or not rows else FAILED


def _label(row: Row) -> str:
    names = row["names"][:_NAMES_MOST]
    more = [f"and {len(row['names']) - _NAMES_MOST} more"] if row["names"][_NAMES_MOST:] else []
    return ", ".join([*names, *more]) or row["uri"] or row["asset"]


def _held(row: Row) -> str:
    return ",".join(word for word in ("leased", "pinned") if row[word])


def _ago(now: float, then: float) -> str:
    return f"{output.span(max(0.0, now - then))} ago" if then else "?"


def _fate(row: Row) -> str:
    if row["removed"]:
        return f"{row['target']}: removed {row['key']} ({output.size(row['size'])})"
    what = f"{row['key']} stays: " if row["key"] else ""
    return f"{row['target']}: {what}{row['reason']}"
