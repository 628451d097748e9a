"""Older versions of fairseq2 with resolverd-client, as many as build_older.py has fetched."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.checkpoints.origin import Origin
from tests.daemon.running import card, daemon, eventually, write
from tests.fairseq2 import build_env, build_older, installed

pytestmark = [pytest.mark.fairseq2, pytest.mark.slow]


@pytest.mark.parametrize("version", build_older.VERSIONS)
def test_an_older_fairseq2_shows_the_same_and_downloads_from_the_daemon(
    environment, version, tmp_path
):
    folder = build_older.default_dir() / version
    if not folder.is_dir():
        pytest.skip(f"no fairseq2 {version}: python3 tests/fairseq2/build_older.py fetches it")
    client = installed.install_client(tmp_path / "site")
    store = tmp_path / "store"
    store.mkdir()
    with (
        daemon(stores=[str(store), f"package:fairseq2.assets.cards@{folder}"]) as node,
        Origin() as origin,
    ):
        origin.put("/m.bin", b"weights")
        write(store / "a.yaml", card("a", base="b", x=1) + "---\n" + card("a@user", y="[1]"))
        write(store / "b.yaml", card("b", when="2024-05-06"))
        eventually(lambda: node.client().maybe_get_metadata("a@user"))
        answer = ask([folder, client], store, node, origin, tmp_path)
    assert answer["version"].startswith(version)
    assert len(answer["alone"]) > 60
    assert answer["ours"] == answer["alone"]
    assert answer["kinds"] == ["NodeProvider", "NodeProvider"]
    assert isinstance(answer["path"], str), answer["path"]
    assert Path(answer["path"]).is_relative_to(node.cache / "objects")
    assert answer["failure"][0] == "AssetDownloadError"
    assert "404" in answer["failure"][1]


def ask(path, store, node, origin, home):
    job = Path(__file__).with_name("older_job.py")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("FAIRSEQ2_", "XDG_"))}
    environ |= {"PYTHONPATH": os.pathsep.join(map(str, path)), "HOME": str(home)}
    environ |= {"RESOLVERD_SOCKET": str(node.socket)}
    arguments = [store, origin.url("/m.bin"), origin.url("/missing")]
    done = subprocess.run(
        [build_env.python_of(build_env.default_dir()), job, *map(str, arguments)],
        capture_output=True, text=True, env=environ, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
