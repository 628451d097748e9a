"""Commands about cards: list, show, get, watch, lint."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from resolverd_client import AssetNotFoundError

from resolverd.ctl import output
from resolverd.ctl.command import FAILED, Settings, command
from resolverd.ctl.completion import asset_names

KINDS = click.Choice(["model", "dataset", "tokenizer"])


@click.command("list")
@click.argument("glob", required=False, shell_complete=asset_names)
@click.option("--kind", type=KINDS, help="Only assets of this kind.")
@command
def list_assets(settings: Settings, glob: str | None, kind: str | None) -> None:
    """List the assets that are served.

    All of them, or those whose name matches GLOB: *, ? and [...] as in a shell.
    """
    cards = settings.client().list(glob, kind=kind)
    if settings.json:
        output.print_json(cards)
        return
    output.table(
        ("name", "kind", "source", "state"),
        [(_shown(c["name"]), ",".join(c["kinds"]), c["source"], c["state"]) for c in cards],
    )


@click.command()
@click.argument("name", shell_complete=asset_names)
@command
def show(settings: Settings, name: str) -> None:
    """Show an asset and where each field comes from.

    That is the card of its base chain, the file and the environment.
    """
    shown = settings.client().show(name)
    if settings.json:
        output.print_json(shown)
        return
    output.heading(shown["name"], "bold green")
    for number, layer in enumerate(shown["layers"], 1):
        stale = f"  stale: {layer['stale']}" if layer["stale"] else ""
        output.line(f"  {number}  {_shown(layer['card'])}  {layer['path']}:{layer['line']}{stale}")
    places = {layer["card"]: number for number, layer in enumerate(shown["layers"], 1)}
    rows = [(f["field"], output.plain(f["value"]), *_origin(f, places)) for f in shown["fields"]]
    output.table(("field", "value", "from"), rows)


def _origin(field: dict[str, Any], places: dict[str, int]) -> tuple[str, ...]:
    """Say which layer a field is from; a pipe has no list of layers above to look into."""
    card = _shown(field["card"])
    if output.terminal():
        return (f"{places[field['card']]}  {card}",)
    return card, f"{field['path']}:{field['line']}"


@click.command()
@click.argument("name", shell_complete=asset_names)
@click.argument("field", required=False)
@command
def get(settings: Settings, name: str, field: str | None) -> None:
    """Print an asset's merged fields, or one FIELD.

    Merged are its base chain and the environment's overrides.
    """
    fields = settings.client().resolve(name)
    if field is not None and field not in fields:
        raise AssetNotFoundError(f"{name} has no field {field!r}; it has {', '.join(fields)}.")
    value = fields if field is None else fields[field]
    if settings.json:
        output.print_json(value)
    else:
        output.line(output.plain(value))


@click.command()
@click.argument("glob", required=False, shell_complete=asset_names)
@command
def watch(settings: Settings, glob: str | None) -> None:
    """Print each change of the assets as it happens.

    Ends on Ctrl-C; of all assets, or of those whose name matches GLOB.
    """
    try:
        for event in settings.client().watch(glob):
            _tell(settings, event)
    except KeyboardInterrupt:
        pass


def _tell(settings: Settings, event: dict[str, object]) -> None:
    if settings.json:
        output.print_json(event)
        return
    parts = [f"{time.strftime('%H:%M:%S')} generation {event['generation']}"]
    for kind in ("added", "changed", "removed", "stale"):
        names = event[kind]
        if isinstance(names, (list, tuple)) and names:
            few = ", ".join(_shown(str(name)) for name in names[:8])
            more = f" and {len(names) - 8} more" if len(names) > 8 else ""
            parts.append(f"{kind}: {few}{more}")
    output.line("  ".join(parts))


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@command
def lint(settings: Settings, paths: tuple[Path, ...]) -> int:
    """Check card files or stores; needs no daemon.

    Exits 1 on anything that fairseq2 0.8.1 would refuse.
    """
    from resolverd.lint import lint as check  # noqa: PLC0415 -- the parsers, for this command only

    report = check(paths)
    errors = [problem for problem in report.problems if problem.severity == "error"]
    if settings.json:
        output.print_json(
            {"cards": report.cards, "problems": [vars_of(p) for p in report.problems]}
        )
    else:
        for problem in report.problems:
            output.line(f"{problem.severity}: {problem}")
        warnings = len(report.problems) - len(errors)
        output.line(
            f"{output.count(report.cards, 'card')} in {output.count(report.files, 'file')}: "
            f"{output.count(len(errors), 'error')}, {output.count(warnings, 'warning')}"
        )
    return FAILED if errors else 0


def vars_of(problem: object) -> dict[str, object]:
    """Give a problem's fields as a map for JSON."""
    return {name: getattr(problem, name) for name in type(problem).__dataclass_fields__}  # type: ignore[attr-defined]  # a slotted dataclass


def _shown(name: str) -> str:
    return name.removesuffix("@")
