"""resolverd: run the daemon, check its configuration, see it work.

On argparse, and with imports where they are needed: a node's cards wait for this command to start.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from resolverd import __version__
from resolverd.errors import ResolverdError

LEVELS = ("debug", "info", "warning", "error")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exit 0 when done, 1 when it failed, 2 for wrong usage."""
    _open_closed_streams()
    given = _parser().parse_args(arguments)
    try:
        given.run(given)
    except KeyboardInterrupt:
        sys.exit(130)
    except ResolverdError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"{_severity()}resolverd: {line}\n")
        sys.exit(1)


def _open_closed_streams() -> None:
    """Where the caller closed a standard stream, a socket must not take its number."""
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(null, True)
    os.close(null)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _severity() -> str:
    """What journald reads as the priority of an error's line; nothing for anybody else."""
    from resolverd.journal import is_journal  # noqa: PLC0415 -- when something went wrong

    return "<3>" if is_journal(os.environ) else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="resolverd",
        description="Serve fairseq2 asset cards and verified checkpoints to the jobs of this node.",
    )
    parser.add_argument("--version", action="version", version=f"resolverd {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_serve(commands.add_parser("serve", help="run the daemon in the foreground"))
    check = commands.add_parser("check-config", help="say all that is wrong with a configuration")
    check.add_argument(
        "file",
        type=Path,
        nargs="?",
        metavar="FILE",
        help="TOML file to check (default: the one that `serve` would read)",
    )
    check.set_defaults(run=_check_config)
    _add_install_units(
        commands.add_parser("install-units", help="put the units for systemd in place")
    )
    example = commands.add_parser("example", help="print an example: configuration, alerts, ...")
    example.description = "Print an example to start from; without a name, list what there is."
    example.add_argument("name", nargs="?", metavar="NAME", help="such as config.toml")
    example.set_defaults(run=_example)
    demo = commands.add_parser("demo", help="show the whole main job in a temporary folder")
    demo.set_defaults(run=_demo)
    return parser


def _add_serve(serve: argparse.ArgumentParser) -> None:
    serve.description = "Run the daemon in the foreground, until SIGTERM or Ctrl-C."
    serve.add_argument("--config", type=Path, metavar="FILE", help="TOML file to read")
    serve.add_argument(
        "--store",
        action="append",
        default=[],
        dest="stores",
        metavar="PATH|package:NAME[@SITE_DIR]",
        help="a store; may be repeated, the first given wins (default: fairseq2's own list)",
    )
    serve.add_argument("--socket", metavar="PATH", help="path to listen on")
    serve.add_argument("--cache-dir", metavar="DIR", help="where checkpoints live")
    serve.add_argument("--log-level", choices=LEVELS, help="least severe level that is logged")
    serve.set_defaults(run=_serve)


def _add_install_units(install: argparse.ArgumentParser) -> None:
    install.description = "Write units that start this resolverd, and say what to do next."
    install.add_argument("--user", action="store_true", help="for one user's own daemon")
    install.add_argument(
        "--prefix", type=Path, metavar="DIR", help="below DIR: for an image or a package"
    )
    install.set_defaults(run=_install_units)


def _serve(given: argparse.Namespace) -> None:
    gc.disable()  # until all is loaded and read: going through it again and again frees nothing
    from resolverd import daemon  # noqa: PLC0415 -- `--help` needs no loop

    flags: dict[str, dict[str, object]] = {
        "daemon": _set(socket=given.socket, log_level=given.log_level),
        "stores": _set(paths=[_absolute(spec) for spec in given.stores]),
        "cache": _set(dir=given.cache_dir and os.path.abspath(given.cache_dir)),
    }
    daemon.run(given.config, os.environ, flags)


def _check_config(given: argparse.Namespace) -> None:
    from resolverd.config import default_file, load  # noqa: PLC0415 -- as above

    file = given.file or default_file(system=os.geteuid() == 0, environ=os.environ)
    load(file, os.environ)
    sys.stdout.write(f"{file or 'no file, so the defaults'}: good\n")


def _install_units(given: argparse.Namespace) -> None:
    from resolverd import units  # noqa: PLC0415 -- as above

    sys.stdout.write(units.install(given.prefix, user=given.user) + "\n")


def _example(given: argparse.Namespace) -> None:
    from resolverd import units  # noqa: PLC0415 -- as above

    sys.stdout.write(units.example(given.name) if given.name else units.examples())


def _demo(_given: argparse.Namespace) -> None:
    from resolverd import demo  # noqa: PLC0415 -- it brings an HTTP server

    demo.run()


def _set(**values: object) -> dict[str, object]:
    return {key: value for key, value in values.items() if value}


def _absolute(spec: str) -> str:
    return (
        spec
        if not spec or spec.startswith("package:")
        else os.path.abspath(os.path.expanduser(spec))
    )
