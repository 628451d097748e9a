"""What a command prints: tables and bars for people, plain lines for pipes, JSON for scripts."""

from __future__ import annotations

import base64
import datetime
import json
import math
import os
import re
import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rich costs more than most commands take: imported when there is a terminal
    from rich.console import Console

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def jsonable(value: object) -> object:  # noqa: C901, PLR0911 -- one return a type reads as a table
    """Turn any card value into what JSON can say.

    Dates become ISO 8601 text and paths plain text; what JSON lacks becomes
    ``{"$type": NAME, "value": ...}``.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$type": "float", "value": str(value)}
    if isinstance(value, OrderedDict):
        return _typed("omap", [[jsonable(k), jsonable(v)] for k, v in value.items()])
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: jsonable(item) for key, item in value.items()}
        return _typed("map", [[jsonable(k), jsonable(v)] for k, v in value.items()])
    if isinstance(value, (set, frozenset)):
        return _typed("set", [jsonable(item) for item in sorted(value, key=repr)])
    if isinstance(value, tuple):
        return _typed("tuple", [jsonable(item) for item in value])
    if isinstance(value, (list, Sequence)) and not isinstance(value, (bytes, bytearray)):
        return [jsonable(item) for item in value]
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return _typed("bytes", base64.b64encode(value).decode())
    return str(value) if isinstance(value, PurePath) else _typed(type(value).__name__, repr(value))


def _typed(name: str, value: object) -> dict[str, object]:
    return {"$type": name, "value": value}


def print_json(value: object) -> None:
    """Print one JSON document on one line; a stream calls this once an object."""
    line(json.dumps(jsonable(value)))  # ASCII alone: a name may hold what no UTF-8 can say


def line(text: str = "") -> None:
    """Print one line as it is, at once, so that a pipe's reader sees it when it happens."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """Escape what would steer the terminal or can't be encoded; tabs and newlines stay."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def complain(text: str) -> None:
    """Print a message about the command itself on standard error."""
    sys.stderr.write(f"resolverctl: {printable(text)}\n")


@cache
def terminal() -> bool:
    """Whether people are reading standard output."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


@cache
def console() -> Console:
    """The terminal, for tables and colour."""
    from rich.console import Console  # noqa: PLC0415 -- see above: only a terminal needs it

    return Console(highlight=False)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    whole: Sequence[str] = (),
) -> None:
    """Print rows: a table on a terminal, else one line a row with tabs between the fields.

    Args:
        columns: Their names.
        rows: Each as long as these.
        title: Printed above a table.
        whole: Columns that are never broken: others give way where the terminal is narrow.
    """
    if not terminal():
        for row in rows:
            line("\t".join(cell(value) for value in row))
        return
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown = Table(*columns, title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for column in shown.columns:
        column.overflow = "fold"
        column.no_wrap = column.header in whole
    for row in rows:
        shown.add_row(*(Text("" if value is None else printable(str(value))) for value in row))
    console().print(shown)


def heading(text: str, style: str = "bold") -> None:
    """Print one line that stands out on a terminal."""
    if terminal():
        from rich.text import Text  # noqa: PLC0415

        console().print(Text(printable(text), style=style))
    else:
        line(text)


def cell(value: object) -> str:
    """Say a value in one field of a line."""
    return "" if value is None else str(value).replace("\t", " ").replace("\n", " ")


def size(number: int | float | None) -> str:
    """Say a number of bytes: ``1.5 GiB``; ``?`` when unknown."""
    if number is None:
        return "?"
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def span(seconds: float) -> str:
    """Say a length of time: ``12 ms``, ``3.2 s``, ``5 min``, ``2 h``, ``3 d``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for limit, divisor, unit in ((60, 1, "s"), (3600, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.3g} {unit}"
    return f"{seconds / 86_400:.3g} d"


def count(number: int, thing: str) -> str:
    """Say how many: ``1 card``, ``2 cards``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def plain(value: object) -> str:
    """Say a card's value for people: text as it is, anything larger as YAML."""
    said = jsonable(value)
    if isinstance(said, str):
        return said
    import yaml  # noqa: PLC0415 -- only large values need it

    dumped = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, default_flow_style=False)
    return dumped.removesuffix("\n").removesuffix("\n...")
