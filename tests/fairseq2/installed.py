"""Installs what the tests need beside fairseq2, without touching fairseq2's environment.

A folder on the search path does what ``pip install`` would: the client, msgpack, the entry points
of the client's own pyproject.toml; and, before and after it in the order in which fairseq2 finds
extensions, two extensions of others.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgpack
import resolverd_client

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CLIENT = Path(__file__).resolve().parents[2] / "client"
HERE = Path(__file__).resolve().parent


def install_client(folder: Path) -> Path:
    """Make a folder that holds resolverd-client as installed."""
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    for package in (resolverd_client, msgpack):
        place = Path(package.__file__).parent
        folder.mkdir(exist_ok=True)
        (folder / place.name).symlink_to(place)
    _distribution(folder, project["name"], project["entry-points"])
    return folder


def install_other(folder: Path, name: str) -> Path:
    """Make a folder that holds an extension of somebody else, see other_extension.py."""
    folder.mkdir()
    (folder / f"{name}.py").symlink_to(HERE / "other_extension.py")
    _distribution(folder, name, {"fairseq2.extension": {name: f"{name}:setup"}})
    return folder


def _distribution(folder: Path, name: str, entry_points: dict[str, dict[str, str]]) -> None:
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, points in entry_points.items():
        lines += [f"[{group}]", *(f"{point} = {where}" for point, where in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
