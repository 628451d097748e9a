"""Every block of the READMEs that a newcomer would paste is run here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from resolverd.demo import write_cards
from resolverd.demo.origin import serving, write_checkpoint
from tests.daemon.running import Daemon, daemon, eventually

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
CLIENT_README = ROOT / "client" / "README.md"


def blocks(file: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", file.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with the demo's cards, whose checkpoint is small and served at full speed."""
    files = tmp_path_factory.mktemp("origin")
    digest = write_checkpoint(files / "tiny_llama.safetensors", 1)
    with serving(files, 1 << 30) as origin, daemon(start=False) as running:
        running.store.rmdir()
        write_cards(running.store, origin.url, digest)
        running.start()
        eventually(lambda: running.client().maybe_get_metadata("tiny_llama"))
        yield running


@pytest.fixture
def environ(node: Daemon) -> dict[str, str]:
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": programs, "RESOLVERD_SOCKET": str(node.socket)}


# Blocks marked "bash boot" take root and systemd: tests/boot/inside/check_readme.py runs them.
SHELL = [block for block in blocks(README, "bash") if "pip install" not in block]
PROGRAMS = {file: "\n".join(blocks(file, "python")) for file in (README, CLIENT_README)}


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.split("\n")[0][:40])
def test_the_readmes_commands_work(environ: dict[str, str], block: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-e", "-c", block],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done


@pytest.mark.parametrize("file", [README, CLIENT_README], ids=["README", "client/README"])
def test_the_readmes_programs_work(environ: dict[str, str], file: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAMS[file]],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done


@pytest.mark.parametrize("block", blocks(README, "toml"), ids=lambda block: block.split("\n")[0])
def test_the_readmes_configuration_is_good(
    environ: dict[str, str], tmp_path: Path, block: str
) -> None:
    (tmp_path / "config.toml").write_text(block)
    command = [sys.executable, "-m", "resolverd", "check-config", str(tmp_path / "config.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done


INSTALLED = r"""
cd "$ELSEWHERE"
resolverd --version
resolverctl --version
resolverd example config.toml > config.toml
resolverd check-config config.toml
resolverd install-units --prefix image
find image -name resolverd.socket | grep -q .
resolverctl completion bash | grep -q complete
resolverctl schema status | grep -q urn:resolverd:resolverctl
python -c 'from importlib.metadata import entry_points as e; assert e(group="fairseq2.extension")'
"""


def test_plain_pip_installs_both_distributions(tmp_path: Path) -> None:
    (install,) = (block for block in blocks(README, "bash") if "./client ." in block)
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv" / "bin"
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    environ |= {"ELSEWHERE": str(tmp_path)}
    environ.pop("VIRTUAL_ENV", None)
    command = install + INSTALLED
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done
    assert "resolverd 0.1.0" in done.stdout
