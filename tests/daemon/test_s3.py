"""Objects of a real S3 server, through daemon, socket and client."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from resolverd_client import FetchError

from tests.checkpoints.bucket import S3Server, s3_running, signatures_checked
from tests.daemon.running import card, daemon, eventually, write

DATA = os.urandom(1 << 20)
CLEAN = {name: "" for name in os.environ if name.startswith("AWS_")} | {"HOME": "/nonexistent"}


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_running() as running:
        yield running


def test_a_public_object_reaches_a_job_verified(server: S3Server) -> None:
    bucket = server.bucket("public")
    bucket.put("models/m.bin", DATA)
    environ = {**CLEAN, "AWS_ENDPOINT_URL": server.endpoint}
    with daemon(environ=environ) as node:
        write(node.store / "m.yaml", card("m", checkpoint=bucket.uri("models/m.bin")))
        eventually(lambda: node.client().maybe_get_metadata("m"))
        path = node.client().path("m")
        assert path.read_bytes() == DATA
        assert path.name == "m.bin"


def test_a_private_object_is_the_users_own_and_its_secret_nowhere(
    server: S3Server, tmp_path: Path
) -> None:
    bucket = server.bucket("private", ACL="private")
    bucket.put("m.bin", DATA, ACL="private")
    bucket.put("n.bin", DATA, ACL="private")
    config = write(tmp_path / "config.toml", f'[s3]\nendpoint = "{server.endpoint}"\n')
    with signatures_checked(server) as (key, secret):
        environ = {**CLEAN, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
        with daemon("--config", str(config), environ=environ) as node:
            write(node.store / "m.yaml", card("m", checkpoint=bucket.uri("m.bin")))
            write(node.store / "n.yaml", card("n", checkpoint=bucket.uri("nowhere")))
            eventually(lambda: node.client().maybe_get_metadata("n"))
            path = node.client().path("m")
            assert path.read_bytes() == DATA
            assert path.stat().st_mode & 0o007 == 0
            with pytest.raises(FetchError, match=r"NoSuchKey|AccessDenied") as caught:
                node.client().path("n")
            told = [str(caught.value), node.log, json.dumps(node.client().status(), default=str)]
            for folder, _, names in os.walk(node.cache):
                told += [Path(folder, name).read_bytes().decode("latin-1") for name in names]
            assert not [text for text in told if secret in text]
