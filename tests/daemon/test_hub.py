"""Repositories of a Hub, through daemon, socket and client."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.checkpoints.hub import Hub, hub_running, safetensors
from tests.daemon.running import card, daemon, eventually, write

WEIGHTS = safetensors("w", size=1 << 20)


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with hub_running() as running:
        yield running


def test_the_weights_of_a_model_repository_reach_a_job_verified(hub: Hub) -> None:
    hub.repo("models", "org/tiny").commit({"model.safetensors": WEIGHTS, "README.md": b"# tiny"})
    with daemon(environ={"HF_ENDPOINT": hub.endpoint}) as node:
        write(node.store / "m.yaml", card("m", checkpoint="hg://org/tiny"))
        eventually(lambda: node.client().maybe_get_metadata("m"))
        path = node.client().path("m")
        assert sorted(os.listdir(path)) == ["model.safetensors"]
        assert (path / "model.safetensors").read_bytes() == WEIGHTS
