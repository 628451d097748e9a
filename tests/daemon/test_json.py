"""What ``--json`` prints is what the shipped schema says, to the last key."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from resolverd.ctl import main
from resolverd.ctl.schema import of_command, read
from tests.checkpoints.origin import Origin
from tests.daemon.running import Daemon, card, daemon, eventually, write

SCHEMA = read()
PRINTS_NO_JSON_OF_ITS_OWN = {"schema", "cache"}


@pytest.fixture(scope="module")
def node() -> Iterator[Daemon]:
    with Origin() as origin, daemon() as running:
        origin.put("/m.bin", b"weights" * 1000)
        write(
            running.store / "cards.yaml",
            card("base", model_family="llama", checkpoint=origin.url("/m.bin"), prefetch="true")
            + "---\n"
            + card("leaf", base="base", released="2026-01-31", sizes="{1, 2}")
            + "---\n"
            + card("bad", model_family="llama", checkpoint=origin.url("/none"), prefetch="true"),
        )
        write(running.store / "broken.yaml", "name: broken\nname: twice\n")

        def settled() -> bool:
            told = running.client().status()["prefetch"]
            return bool(told["ready"] == 1 and told["failed"])

        eventually(settled)
        yield running


def strict(schema: Any) -> Any:
    """Refuse keys that the schema does not name, and have all of its references inside."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


def faults(command: str, document: object) -> list[str]:
    validator = Draft202012Validator(of_command(strict(SCHEMA), command))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("status", []),
        ("list", []),
        ("show", ["leaf"]),
        ("get", ["leaf"]),
        ("prefetch", ["leaf", "bad", "nobody"]),
        ("path", ["leaf"]),
        ("verify", ["--all"]),
        ("verify", ["leaf"]),
        ("lint", ["STORE"]),
        ("doctor", []),
        ("top", ["--once", "--interval", "0.1"]),
        ("completion", ["bash"]),
        ("cache ls", []),
        ("cache pin", ["leaf"]),
        ("cache unpin", ["leaf"]),
        ("cache gc", ["--dry-run", "--to", "1"]),
        ("cache rm", ["leaf", "bad"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_each_command_prints_what_its_schema_says(
    node: Daemon, command: str, arguments: list[str]
) -> None:
    given = [str(node.store) if each == "STORE" else each for each in arguments]
    done = node.ctl(*command.split(), *given, "--json")
    document = json.loads(done.stdout)
    assert document
    assert not faults(command, document)


def test_each_event_of_a_watch_is_what_the_schema_says(node: Daemon) -> None:
    command = [sys.executable, "-m", "resolverd.ctl", "watch", "--socket", str(node.socket)]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        try:
            eventually(lambda: node.client().status()["counts"]["requests"].get("digests"))
            write(node.store / "new.yaml", card("new"))
            assert not faults("watch", json.loads(watching.stdout.readline()))
        finally:
            watching.terminate()


def test_every_command_has_a_schema_and_every_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    groups = {
        name: [f"{name} {each}" for each in command.commands]
        if hasattr(command, "commands")
        else []
        for name, command in main.commands.items()
    }
    commands = {name for name in groups if name not in PRINTS_NO_JSON_OF_ITS_OWN}
    commands.update(each for name in groups for each in groups[name])
    assert commands <= set(SCHEMA["$defs"])


def test_the_schema_is_printed_whole_or_for_one_command(node: Daemon) -> None:
    assert json.loads(node.ctl("schema").stdout) == SCHEMA
    one = json.loads(node.ctl("schema", "cache", "ls").stdout)
    assert one["$ref"] == "#/$defs/cache ls"
    assert node.ctl("schema", "frobnicate").returncode == 2


def test_a_key_that_nobody_documented_is_noticed() -> None:
    assert faults("path", {"target": "a", "path": "/b", "new": 1})
