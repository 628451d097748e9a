"""The documented form of what ``--json`` prints, for every command."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import click

from resolverd.ctl import output
from resolverd.ctl.command import Settings, command


@click.command()
@click.argument("name", nargs=-1, metavar="[COMMAND]")
@command
def schema(_settings: Settings, name: tuple[str, ...]) -> None:
    """Print the JSON Schema of what --json prints.

    Of every command, below $defs, or of COMMAND alone: 'resolverctl schema cache ls'.
    """
    whole = read()
    wanted = " ".join(name)
    if wanted and wanted not in whole["$defs"]:
        raise click.UsageError(f"there is no schema for {wanted!r}: the command prints no JSON")
    output.line(json.dumps(of_command(whole, wanted) if wanted else whole, indent=2))


def read() -> dict[str, Any]:
    """Give the whole schema."""
    file = resources.files("resolverd.ctl") / "schema.json"
    whole: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return whole


def of_command(whole: dict[str, Any], name: str) -> dict[str, Any]:
    """Give the schema of one command's document."""
    return {**whole, "title": f"resolverctl {name} --json", "$ref": f"#/$defs/{name}"}
