"""What is published of a repository is found by huggingface_hub itself, whole and of one commit."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from resolverd.checkpoints import disk
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.sources.hub.settings import HubSettings
from tests.checkpoints.conftest import Bench
from tests.checkpoints.hub import Hub, hub_running, safetensors
from tests.fairseq2 import build_env

WEIGHTS = safetensors("a", "b")
MODEL = {
    "model.safetensors": WEIGHTS,
    "extra/adapter.safetensors": safetensors("c"),
    "tokenizer.json": b'{"version": "1.0"}',
    "tokenizer_config.json": b"{}",
    "config.json": b"{}",
    "pytorch_model.bin": os.urandom(5000),
    ".gitattributes": b"*.safetensors filter=lfs",
}
ENVIRON = "RESOLVERD_HUB_PYTHONS"
"""Interpreters with further versions of huggingface_hub, with ``:`` between them."""


def pythons() -> list[str]:
    found = [sys.executable] if importlib.util.find_spec("huggingface_hub") else []
    if build_env.is_up_to_date(build_env.default_dir()):
        found.append(str(build_env.python_of(build_env.default_dir())))
    return found + [path for path in os.environ.get(ENVIRON, "").split(":") if path]


@pytest.fixture(params=pythons())
def python(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_running() as running:
        yield running


@pytest.fixture
def node(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return Bench(tmp_path / "cache", policy=Policy(hub=HubSettings(hub.endpoint)))


def ask(python: str, **arguments: object) -> dict[str, object]:
    """What huggingface_hub answers, in a process of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    script = str(Path(__file__).with_name("hub_client.py"))
    told = subprocess.run(
        [python, script, json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=kept | {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"},
    )
    answer: dict[str, object] = json.loads(told.stdout)
    return answer


def local(python: str, node: Bench, **arguments: object) -> dict[str, object]:
    folder = str(node.root / "hub")
    return ask(python, cache_dir=folder, local_files_only=True, scan=True, **arguments)


def test_the_real_huggingface_hub_downloads_from_the_tests_hub(
    python: str, hub: Hub, tmp_path: Path
) -> None:
    hub.repo("models", "org/tiny").commit(MODEL)
    found = ask(
        python,
        repo_id="org/tiny",
        cache_dir=str(tmp_path / "theirs"),
        endpoint=hub.endpoint,
        allow_patterns=["*.safetensors*", "*.pt"],
        token=False,
    )
    assert found.get("files") == ["extra/adapter.safetensors", "model.safetensors"], found
    assert Path(str(found["path"]), "model.safetensors").read_bytes() == WEIGHTS


def test_the_real_huggingface_hub_understands_what_the_tests_hub_refuses(
    hub: Hub, tmp_path: Path
) -> None:
    hub.repo("models", "org/tiny").commit(MODEL)
    hub.repo("models", "org/gated", gated=True).commit(MODEL)
    asked = {
        "GatedRepoError": {"repo_id": "org/gated"},
        "RepositoryNotFoundError": {"repo_id": "org/nothing", "token": "hf_any"},
        "RevisionNotFoundError": {"repo_id": "org/tiny", "revision": "v9"},
    }
    for error, arguments in asked.items():
        found = ask(
            sys.executable,
            cache_dir=str(tmp_path / "theirs"),
            endpoint=hub.endpoint,
            **{"token": False, **arguments},
        )
        assert found.get("error") == error, found


def test_a_model_and_its_tokenizer_are_one_snapshot(python: str, hub: Hub, node: Bench) -> None:
    commit = hub.repo("models", "org/tiny").commit(MODEL)
    node.fetch("hg://org/tiny")
    node.fetch("hg://org/tiny", kind="tokenizer")
    found = local(python, node, repo_id="org/tiny")
    assert found.get("files") == [
        "extra/adapter.safetensors",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ], found
    assert Path(str(found["path"]), "model.safetensors").read_bytes() == WEIGHTS
    assert found["revisions"] == {commit: ["main"]}
    assert found["warnings"] == []


def test_a_dataset_is_found_with_all_its_files(python: str, hub: Hub, node: Bench) -> None:
    files = {"data/train.parquet": os.urandom(3000), "README.md": b"# d", "empty": b""}
    hub.repo("datasets", "org/d").commit(files, "v1")
    node.fetch("hg://org/d@v1", kind="dataset")
    found = local(python, node, repo_id="org/d", repo_type="dataset", revision="v1")
    assert found.get("files") == sorted(files), found
    assert found["warnings"] == []


def test_a_commit_is_found_by_its_own_name(python: str, hub: Hub, node: Bench) -> None:
    repo = hub.repo("models", "org/tiny")
    commit = repo.commit(MODEL)
    repo.commit({"model.safetensors": safetensors("other")})
    node.fetch(f"hg://org/tiny@{commit}")
    found = local(python, node, repo_id="org/tiny", revision=commit)
    assert "model.safetensors" in found["files"], found  # type: ignore[operator]
    assert local(python, node, repo_id="org/tiny")["error"] == "LocalEntryNotFoundError"


def refs(node: Bench, repository: str = "models--org--tiny") -> dict[str, str]:
    folder = node.root / "hub" / repository / "refs"
    paths = [path for path in folder.glob("**/*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def snapshot(node: Bench, commit: str, repository: str = "models--org--tiny") -> dict[str, bytes]:
    folder = node.root / "hub" / repository / "snapshots" / commit
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if not path.is_dir()
    }


def test_the_bytes_are_in_the_object_alone(hub: Hub, node: Bench) -> None:
    commit = hub.repo("models", "org/tiny").commit(MODEL)
    folder = node.path(node.fetch("hg://org/tiny"))
    shown = node.root / "hub" / "models--org--tiny" / "snapshots" / commit
    assert os.path.samefile(shown / "model.safetensors", Path(folder, "model.safetensors"))
    assert os.readlink(shown / "model.safetensors").startswith("../../blobs/")
    assert os.stat(Path(folder, "model.safetensors")).st_nlink == 1


def test_a_name_moves_on_when_the_last_kind_was_refreshed(hub: Hub, node: Bench) -> None:
    repo = hub.repo("models", "org/tiny")
    old = repo.commit(MODEL)
    node.fetch("hg://org/tiny")
    node.fetch("hg://org/tiny", kind="tokenizer")
    new = repo.commit(MODEL | {"model.safetensors": safetensors("n"), "tokenizer.json": b"{2}"})
    node.fetch("hg://org/tiny", refresh=True)
    assert refs(node) == {"main": old}
    assert snapshot(node, old)["tokenizer.json"] == MODEL["tokenizer.json"]
    node.fetch("hg://org/tiny", kind="tokenizer", refresh=True)
    assert refs(node) == {"main": new}
    assert snapshot(node, new)["tokenizer.json"] == b"{2}"
    assert snapshot(node, old)["model.safetensors"] == WEIGHTS  # for who still reads it


def test_what_is_evicted_is_found_no_more_and_nothing_dangles(hub: Hub, node: Bench) -> None:
    commit = hub.repo("models", "org/tiny").commit(MODEL)
    model = node.fetch("hg://org/tiny")
    tokenizer = node.fetch("hg://org/tiny", kind="tokenizer")
    assert disk.evict(node.layout, model.key)
    assert sorted(snapshot(node, commit)) == ["tokenizer.json", "tokenizer_config.json"]
    assert disk.evict(node.layout, tokenizer.key)
    assert os.listdir(node.root / "hub") == []


def test_what_rotted_is_found_no_more_until_it_is_fetched_again(hub: Hub, node: Bench) -> None:
    commit = hub.repo("models", "org/tiny").commit(MODEL)
    model = node.fetch("hg://org/tiny")
    node.fetch("hg://org/tiny", kind="tokenizer")
    whole = snapshot(node, commit)
    path = Path(node.path(model), "model.safetensors")
    path.chmod(0o600)
    path.write_bytes(WEIGHTS[:-1] + b"?")
    assert node.engine.verify(model.key, node.job())[1]
    assert sorted(snapshot(node, commit)) == ["tokenizer.json", "tokenizer_config.json"]
    node.fetch("hg://org/tiny")
    assert snapshot(node, commit) == whole


def test_a_commit_that_changed_none_of_the_files_leaves_the_old_snapshot_to_its_readers(
    hub: Hub, node: Bench
) -> None:
    repo = hub.repo("models", "org/tiny")
    old = repo.commit(MODEL)
    first = node.fetch("hg://org/tiny")
    sent = hub.sent(WEIGHTS)
    new = repo.commit(MODEL | {"README.md": b"# words"})
    second = node.fetch("hg://org/tiny", refresh=True)
    assert second.key == first.key
    assert refs(node) == {"main": new}
    assert snapshot(node, old) == snapshot(node, new)
    assert hub.sent(WEIGHTS) == sent


@pytest.mark.parametrize("damage", ["removed", "dangling", "torn"])
def test_a_start_makes_the_layout_again(hub: Hub, node: Bench, damage: str) -> None:
    commit = hub.repo("models", "org/tiny").commit(MODEL)
    node.fetch("hg://org/tiny")
    whole = snapshot(node, commit)
    root = node.root / "hub" / "models--org--tiny"
    if damage == "removed":
        disk.remove_tree(str(root))
    elif damage == "dangling":
        os.symlink("../../../objects/gone/x", root / "blobs" / "0")
        os.symlink("../views/gone", root / "snapshots" / ("0" * 40))
        (node.root / "hub" / "models--other--one" / "refs").mkdir(parents=True)
    else:
        (root / "refs" / "main").write_text("")
        (root / "fresh").write_text("half")
    disk.sweep(node.layout, Limits(), 0.0)
    assert snapshot(node, commit) == whole
    assert refs(node) == {"main": commit}
    assert os.listdir(root / "snapshots") == [commit]
    assert os.listdir(node.root / "hub") == ["models--org--tiny"]
    assert sorted(os.listdir(root)) == ["blobs", "refs", "snapshots", "views"]
