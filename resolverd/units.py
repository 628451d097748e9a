"""Puts systemd's units, users and folders for resolverd in place: ``resolverd install-units``."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from resolverd.errors import ResolverdError

_SYSTEM = {
    "resolverd.socket": "etc/systemd/system/resolverd.socket",
    "resolverd.service": "etc/systemd/system/resolverd.service",
    "sysusers.d/resolverd.conf": "etc/sysusers.d/resolverd.conf",
    "tmpfiles.d/resolverd.conf": "etc/tmpfiles.d/resolverd.conf",
}
_USER = ("resolverd.socket", "resolverd.service")
_PROGRAM = "/usr/bin/resolverd"
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 -- by the unit

_SYSTEM_NEXT = """\
systemd-sysusers resolverd.conf
systemd-tmpfiles --create resolverd.conf
systemctl daemon-reload
systemctl enable --now resolverd.socket resolverd.service"""
_USER_NEXT = """\
systemctl --user daemon-reload
systemctl --user enable --now resolverd.socket resolverd.service"""


class UnitsError(ResolverdError):
    """The units can't be put in place."""


def folder() -> Path:
    """Where the units, and the examples, are: in the package, or in a source tree."""
    packaged = Path(str(resources.files("resolverd"))) / "systemd"
    return packaged if packaged.is_dir() else packaged.parent.parent / "systemd"


def examples() -> str:
    """Name the examples, one a line."""
    return "".join(f"{path.name}\n" for path in sorted((folder() / "examples").iterdir()))


def example(name: str) -> str:
    """Give one example's text.

    Raises:
        UnitsError: There is none of that name.
    """
    if name not in (known := examples().split()):
        raise UnitsError(f"there is no example {name!r}; there are {', '.join(known)}")
    return (folder() / "examples" / name).read_text("utf-8")


def planned(
    source: Path, program: str, prefix: Path | None, environ: Mapping[str, str], *, user: bool
) -> dict[Path, str]:
    """Say what to write where.

    Args:
        source: As ``folder`` gives it.
        program: The installed ``resolverd``.
        prefix: Below which folder, for an image or a package; None for this machine.
        environ: For ``XDG_CONFIG_HOME``.
        user: Whether one user's manager is to run it; with ``prefix``, every user's.

    Returns:
        Texts by path.
    """
    if user:
        home = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        place = prefix / "etc/systemd/user" if prefix else Path(home, "systemd", "user")
        found = {f"user/{name}": place / name for name in _USER}
    else:
        found = {name: (prefix or Path("/")) / path for name, path in _SYSTEM.items()}
    return {
        target: (source / name).read_text("utf-8").replace(_PROGRAM, program)
        for name, target in found.items()
    }


def install(prefix: Path | None, *, user: bool) -> str:
    """Write the units.

    Args:
        prefix: Below which folder; None for this machine.
        user: Whether one user's manager is to run the daemon.

    Returns:
        What was written, and what to do next: lines for people.

    Raises:
        UnitsError: Something can't be written, or there is no program to start.
    """
    source, program = folder(), installed_program()
    files = planned(source, program, prefix, os.environ, user=user)
    for path, text in files.items():
        _write(path, text)
    notes = [] if user else [f"warning: {each}" for each in hidden(program)]
    following = _next(prefix, user=user)
    wrote = [f"wrote {path}" for path in files]
    return "\n".join([*wrote, *notes, "next:", *following, f"examples: {source / 'examples'}"])


def installed_program() -> str:
    """Find the command that the units are to start.

    Raises:
        UnitsError: There is none, or systemd would not read its path as one word.
    """
    called = Path(sys.argv[0])
    beside = Path(sys.executable).with_name("resolverd")
    found = called if called.name == "resolverd" else beside
    program = os.path.abspath(found)
    if not os.access(program, os.X_OK):
        raise UnitsError(f"there is no {program} to start: install resolverd with pip first")
    if not re.fullmatch(r"[\w./@+,:=-]+", program, re.ASCII):
        raise UnitsError(f"{program!r} holds letters that units give a meaning: install elsewhere")
    return program


def hidden(program: str) -> list[str]:
    """Name what of the program the system's unit would hide from it.

    Args:
        program: The path that the unit starts.
    """
    needed = {program, os.path.realpath(sys.executable), sys.prefix}
    return [
        f"the unit hides {place} (ProtectHome=, PrivateTmp=), so {path} could not be used: "
        f"install resolverd outside, such as in /opt/resolverd"
        for path in sorted(needed)
        for place in _HIDDEN
        if path.startswith(f"{place}/")
    ]


def _next(prefix: Path | None, *, user: bool) -> list[str]:
    if prefix:
        scope = "--global " if user else ""
        return [f"  systemctl {scope}--root={prefix} enable resolverd.socket resolverd.service"]
    return [f"  {line}" for line in (_USER_NEXT if user else _SYSTEM_NEXT).splitlines()]


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all; everybody may read it."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(text, "utf-8")
        staged.chmod(0o644)
        staged.replace(path)
    except OSError as error:
        raise UnitsError(
            f"{error.filename or path}: cannot be written: {error.strerror}. Run it as root, or "
            f"give --user or --prefix DIR."
        ) from None
