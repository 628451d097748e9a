"""Objects of a real S3 server, through daemon, socket and client."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.checkpoints.bucket import S3Server, s3_running
from tests.daemon.running import card, daemon, eventually, write

DATA = os.urandom(1 << 20)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_running() as running:
        yield running


def test_a_public_object_reaches_a_job_verified(server: S3Server) -> None:
    bucket = server.bucket("public")
    bucket.put("models/m.bin", DATA)
    environ = {"AWS_ENDPOINT_URL": server.endpoint}
    with daemon(environ=environ) as node:
        write(node.store / "m.yaml", card("m", checkpoint=bucket.uri("models/m.bin")))
        eventually(lambda: node.client().maybe_get_metadata("m"))
        path = node.client().path("m")
        assert path.read_bytes() == DATA
        assert path.name == "m.bin"
