"""The cache that the daemon fills is one that unmodified fairseq2 finds its assets in."""

from __future__ import annotations

import http.server
import io
import json
import os
import struct
import tarfile
import threading
import zipfile

import pytest

from tests.daemon.running import daemon, eventually, write

pytestmark = pytest.mark.fairseq2


def safetensors():
    head = json.dumps({"w": {"dtype": "U8", "shape": [4096], "data_offsets": [0, 4096]}}).encode()
    return struct.pack("<Q", len(head)) + head + os.urandom(4096)


def zip_of(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def tar_of(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


SHARDS = {"a.safetensors": safetensors(), "b/c.safetensors": safetensors()}
ASSETS = {
    "/model.safetensors": safetensors(),
    "/with%20space.safetensors": safetensors(),
    "/query.safetensors?version=2": safetensors(),
    "/tokenizer.model": os.urandom(999),
    "/one.zip": zip_of({"inner.bin": os.urandom(99)}),
    "/many.zip": zip_of(SHARDS),
    "/many.tar": tar_of(SHARDS),
}


@pytest.fixture(scope="module")
def origin():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = ASSETS.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data or b"")

        do_HEAD = do_GET  # noqa: N815 - the name that http.server asks for

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def node():
    with daemon() as running:
        yield running


def find(fairseq2, node, uri, kind):
    folders = {"cache_dir": str(node.cache / "assets"), "hub_cache": str(node.cache / "hub")}
    return fairseq2.ask("download", uri=uri, kind=kind, **folders)


@pytest.mark.parametrize("place", ASSETS)
@pytest.mark.parametrize("kind", ["model", "tokenizer", "dataset"])
def test_fairseq2_finds_what_the_daemon_has_fetched(fairseq2, node, origin, place, kind):
    uri = f"{origin}{place}"
    with node.client() as client:
        path = client.path(uri=uri, kind=kind, timeout=30)
    found = find(fairseq2, node, uri, kind)
    assert isinstance(found, str), found
    assert os.path.samefile(found, path)


def test_an_asset_of_a_card_is_found_by_its_field(fairseq2, node, origin):
    uri = f"{origin}/model.safetensors"
    write(node.store / "c.yaml", f"name: c\nmodel_family: llama\ncheckpoint: {uri}\n")
    card = fairseq2.ask("cards", paths=[str(node.store)], names=["c"], only_paths=True)["c"]
    [located] = [uri for key, _, uri in card["fields"] if key == ["str", "checkpoint"]]
    with node.client() as client:
        eventually(lambda: client.maybe_get_metadata("c"))
        path = client.path("c", timeout=30)
    assert os.path.samefile(find(fairseq2, node, located, "model"), path)
    with open(path, "rb") as file:
        assert file.read() == ASSETS["/model.safetensors"]


def test_what_was_never_fetched_is_missing_for_fairseq2_too(fairseq2, node, origin):
    found = find(fairseq2, node, f"{origin}/never.pt", "model")
    assert "not cached" in found["refused"][0][1]
