"""The README's path for operators, as it is written: every block that takes a booted system."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from node import CONFIG, client, configure, eventually, shown, systemctl

README = Path("/checks/README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```bash boot\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module", autouse=True)
def _as_before() -> Iterator[None]:
    before = CONFIG.read_text()
    yield
    configure(before)
    systemctl("reload", "resolverd.service")


def test_there_are_blocks_to_follow() -> None:
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[0][:40])
def test_the_readmes_blocks_work_one_after_the_other(block: str) -> None:
    done = subprocess.run(
        ["bash", "-e", "-c", block], capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 0, done


def test_then_the_node_serves_the_store_and_shows_its_metrics() -> None:
    assert shown("ActiveState", "resolverd.socket") == "active"
    assert client().get_metadata("first")["model_arch"] == "one"

    def page() -> str:
        try:
            with urllib.request.urlopen("http://127.0.0.1:9464/metrics", timeout=20) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    assert 'resolverd_store_up{store="path:/srv/assets"} 1.0' in eventually(page)
