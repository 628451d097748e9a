"""Repositories: unmodified fairseq2 finds what the daemon has fetched, and would take the same."""

from __future__ import annotations

import os

import pytest

from tests.checkpoints.hub import hub_running, safetensors
from tests.daemon.running import daemon

pytestmark = pytest.mark.fairseq2

FILES = {
    "model-00001-of-00002.safetensors": safetensors("a"),
    "model-00002-of-00002.safetensors": safetensors("b"),
    "model.safetensors.index.json": b'{"weight_map": {"a": "model-00001-of-00002.safetensors",'
    b' "b": "model-00002-of-00002.safetensors"}}',
    "original/consolidated.pt": os.urandom(2000),
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b'{"a": 1}',
    "config.json": b'{"b": 2}',
    "README.md": b"# words",
}


@pytest.fixture(scope="module")
def hub():
    with hub_running() as running:
        for type_ in ("models", "datasets"):
            running.repo(type_, "org/tiny").commit(FILES)
        yield running


@pytest.fixture(scope="module")
def node(hub):
    with daemon(environ={"HF_ENDPOINT": hub.endpoint}) as running:
        yield running


def files(folder):
    return sorted(
        os.path.relpath(os.path.join(place, name), folder)
        for place, _, names in os.walk(folder)
        for name in names
    )


@pytest.mark.parametrize("kind", ["model", "tokenizer", "dataset"])
def test_fairseq2_finds_a_repository_that_the_daemon_has_fetched(fairseq2, node, kind):
    with node.client() as client:
        path = client.path(uri="hg://org/tiny", kind=kind, timeout=30)
    folders = {"cache_dir": str(node.cache / "assets"), "hub_cache": str(node.cache / "hub")}
    found = fairseq2.ask("download", uri="hg://org/tiny", kind=kind, **folders)
    assert isinstance(found, str), found
    for name in files(path):
        assert os.path.samefile(os.path.join(found, name), path / name)


@pytest.mark.parametrize("kind", ["model", "tokenizer", "dataset"])
def test_the_files_of_a_kind_are_those_that_fairseq2_would_download(
    fairseq2, node, hub, kind, tmp_path
):
    with node.client() as client:
        path = client.path(uri="hg://org/tiny", kind=kind, timeout=30)
    folders = {"cache_dir": str(tmp_path / "assets"), "hub_cache": str(tmp_path / "hub")}
    found = fairseq2.ask(
        "download", uri="hg://org/tiny", kind=kind, endpoint=hub.endpoint, **folders
    )
    assert isinstance(found, str), found
    assert files(found) == files(path)
