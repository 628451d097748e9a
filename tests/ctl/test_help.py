"""``--help`` answers: whole sentences within 80 columns, for every command."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from resolverd.ctl import main


def commands(group: click.Group, *above: str) -> Iterator[tuple[str, ...]]:
    yield above
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        else:
            yield (*above, name)


EVERY = list(commands(main))


@pytest.mark.parametrize("words", EVERY, ids=lambda words: " ".join(words) or "resolverctl")
def test_help_is_whole_and_fits_a_terminal(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*words, "--help"], terminal_width=80)
    assert done.exit_code == 0
    _, _, listed = done.output.partition("\nCommands:")
    assert "..." not in listed, "shorten the first sentence"
    wide = [
        line for line in done.output.splitlines() if len(line) > 80 and "completion" not in line
    ]
    assert not wide


@pytest.mark.parametrize("words", EVERY, ids=lambda words: " ".join(words) or "resolverctl")
def test_socket_and_json_are_taken_by_every_command(words: tuple[str, ...]) -> None:
    output = CliRunner().invoke(main, [*words, "--help"]).output
    assert "--socket PATH" in output
    assert "--json" in output
