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


@pytest.fixture
def client(environment, tmp_path):
    return installed.install_client(tmp_path / "site")


@pytest.mark.parametrize("version", build_older.VERSIONS)
def test_an_older_fairseq2_shows_the_same_and_downloads_from_the_daemon(client, version, tmp_path):
    folder = older(version)
    store = tmp_path / "store"
    store.mkdir()
    stores = [str(store), f"package:fairseq2.assets.cards@{folder}"]
    with daemon(stores=stores) as node, Origin() as origin:
        origin.put("/m.bin", b"weights")
        write(store / "a.yaml", card("a", base="b", x=1) + "---\n" + card("a@user", y="[1]"))
        write(store / "b.yaml", card("b", when="2024-05-06"))
        eventually(lambda: node.client().maybe_get_metadata("a@user"))
        uris = [origin.url("/m.bin"), origin.url("/missing")]
        answer = run("older_job.py", [store, *uris], [folder, client], node)
    assert answer["version"].startswith(version)
    assert len(answer["alone"]) > 60
    assert answer["ours"] == answer["alone"]
    assert answer["kinds"] == ["NodeProvider", "NodeProvider"]
    assert isinstance(answer["path"], str), answer["path"]
    assert Path(answer["path"]).is_relative_to(node.cache / "objects")
    assert answer["failure"][0] == "AssetDownloadError"
    assert "404" in answer["failure"][1]


@pytest.mark.parametrize("version", build_older.LEGACY)
@pytest.mark.parametrize("gone", [False, True], ids=["", "gone"])
def test_a_fairseq2_without_extensions_takes_the_daemons_provider(client, version, gone):
    missing = "AssetNotFoundError" if version.startswith("0.2") else "AssetCardNotFoundError"
    with daemon() as node:
        write(node.store / "a.yaml", card("a", base="b", x=1) + "---\n" + card("a@user", x=2))
        write(node.store / "b.yaml", card("b", x=3))
        eventually(lambda: len(node.client().asset_names) == 3)
        if gone:
            node.stop()
        answer = run("legacy_job.py", ["a", "b", "nothing"], [older(version), client], node)
    if gone:
        assert answer == {"cards": dict.fromkeys(("a", "b", "nothing"), missing), "names": []}
    else:
        cards = {"a": ["a", 2, "b"], "b": ["b", 3, None], "nothing": missing}
        assert answer == {"cards": cards, "names": ["a@", "a@user", "b@"]}


def older(version):
    folder = build_older.default_dir() / version
    if not folder.is_dir():
        pytest.skip(f"no fairseq2 {version}: build_older.py fetches it")
    return folder


def run(job, arguments, path, node):
    """Run one of the jobs of this folder with packages first on its search path."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("FAIRSEQ2_", "XDG_"))}
    environ |= {"PYTHONPATH": os.pathsep.join(map(str, path)), "HOME": str(node.folder)}
    environ |= {"RESOLVERD_SOCKET": str(node.socket)}
    command = [build_env.python_of(build_env.default_dir()), Path(__file__).with_name(job)]
    done = subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True, text=True, env=environ, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
