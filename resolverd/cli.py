"""resolverd: run the daemon, check its configuration, see it work."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from resolverd import __version__
from resolverd.errors import ResolverdError

LEVELS = click.Choice(["debug", "info", "warning", "error"])


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="resolverd")
def main() -> None:
    """Serve fairseq2 asset cards and verified checkpoints to the jobs of this node."""


@main.command()
@click.option("--config", type=click.Path(path_type=Path), help="TOML file to read.")
@click.option(
    "--store", "stores", multiple=True, metavar="PATH|package:NAME[@SITE_DIR]",
    help="A store; the first given wins. Default: fairseq2's own list.",
)  # fmt: skip
@click.option("--socket", type=click.Path(path_type=Path), help="Path to listen on.")
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Where checkpoints live.")
@click.option("--log-level", type=LEVELS, help="Least severe level that is logged.")
def serve(
    config: Path | None,
    stores: tuple[str, ...],
    socket: Path | None,
    cache_dir: Path | None,
    log_level: str | None,
) -> None:
    """Run the daemon in the foreground, until SIGTERM or Ctrl-C."""
    from resolverd import daemon  # noqa: PLC0415 -- `check-config` and `--help` need no loop

    flags: dict[str, dict[str, object]] = {
        "daemon": _given(socket=socket, log_level=log_level),
        "stores": _given(paths=[_absolute(spec) for spec in stores]),
        "cache": _given(dir=None if cache_dir is None else cache_dir.absolute()),
    }
    try:
        daemon.run(config, os.environ, flags)
    except ResolverdError as error:
        _fail(error)


@main.command("check-config")
@click.argument("file", type=click.Path(path_type=Path))
def check_config(file: Path) -> None:
    """Say everything that is wrong with a configuration file; exit 1 if anything is."""
    from resolverd.config import load  # noqa: PLC0415 -- only this command needs it here

    try:
        load(file, os.environ)
    except ResolverdError as error:
        _fail(error)
    click.echo(f"{file}: good")


@main.command()
def demo() -> None:
    """Show the whole main job in a temporary folder; no root, no network."""
    from resolverd import demo as show  # noqa: PLC0415 -- it brings an HTTP server

    show.run()


def _given(**values: object) -> dict[str, object]:
    return {key: value for key, value in values.items() if value}


def _absolute(spec: str) -> str:
    return spec if spec.startswith("package:") else os.path.abspath(os.path.expanduser(spec))


def _fail(error: ResolverdError) -> None:
    for line in str(error).splitlines():
        click.echo(f"resolverd: {line}", err=True)
    sys.exit(1)
