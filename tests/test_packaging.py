"""What the wheels hold: all that is needed, and nothing else."""

from __future__ import annotations

import configparser
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INFO = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
KINDS = {".py", ".json", ".typed", ".yaml"}


class Wheel:
    """A wheel, built from this tree without the network."""

    def __init__(self, project: Path, into: Path) -> None:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
        (path,) = into.glob("*.whl")
        with zipfile.ZipFile(path) as file:
            self.files = {name: file.read(name) for name in file.namelist()}
        self.info = path.name.removesuffix("-py3-none-any.whl") + ".dist-info"

    @property
    def content(self) -> set[str]:
        return {name for name in self.files if not name.startswith(self.info)}

    @property
    def about(self) -> set[str]:
        return {name.partition("/")[2] for name in self.files if name.startswith(self.info)}

    def text(self, name: str) -> str:
        return self.files[f"{self.info}/{name}"].decode()

    @property
    def metadata(self) -> Message:
        return Parser().parsestr(self.text("METADATA"))

    @property
    def entry_points(self) -> dict[str, dict[str, str]]:
        parser = configparser.ConfigParser()
        parser.read_string(self.text("entry_points.txt"))
        return {group: dict(parser[group]) for group in parser.sections()}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    return Wheel(ROOT, tmp_path_factory.mktemp("daemon"))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    return Wheel(ROOT / "client", tmp_path_factory.mktemp("client"))


def sources(folder: Path, base: Path) -> set[str]:
    """The files of a source folder, without what Python leaves there."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(base)) for path in found if "__pycache__" not in path.parts}


def test_the_daemons_wheel_holds_its_package_and_the_units(daemon: Wheel) -> None:
    package = sources(ROOT / "resolverd", ROOT) - {"resolverd/README.md"}
    units = {f"resolverd/{name}" for name in sources(ROOT / "systemd", ROOT)}
    assert daemon.content == package | units
    assert {Path(name).suffix for name in package} == KINDS
    assert {
        "resolverd/systemd/resolverd.service",
        "resolverd/systemd/examples/config.toml",
        "resolverd/ctl/schema.json",
        "resolverd/py.typed",
    } <= daemon.content
    assert daemon.about == INFO


def test_the_clients_wheel_holds_its_package_alone(client: Wheel) -> None:
    package = sources(ROOT / "client" / "resolverd_client", ROOT / "client")
    assert client.content == package
    assert {Path(name).suffix for name in package} == {".py", ".typed"}
    assert client.about == INFO


def test_the_commands_and_the_extension_are_entry_points(daemon: Wheel, client: Wheel) -> None:
    assert daemon.entry_points == {
        "console_scripts": {"resolverd": "resolverd.cli:main", "resolverctl": "resolverd.ctl:main"}
    }
    assert client.entry_points == {
        "fairseq2.extension": {"resolverd": "resolverd_client.fairseq2:setup"}
    }


def test_the_client_needs_msgpack_alone_and_the_daemon_its_own_client(
    daemon: Wheel, client: Wheel
) -> None:
    (needed,) = client.metadata.get_all("Requires-Dist", [])
    assert needed.startswith("msgpack")
    version = client.metadata["Version"]
    assert f"resolverd-client=={version}" in daemon.metadata.get_all("Requires-Dist", [])
    assert daemon.metadata["Version"] == version
    for wheel in (daemon, client):
        assert wheel.metadata["Requires-Python"] == ">=3.10"
        assert wheel.metadata["License-Expression"] == "BSD-3-Clause"
