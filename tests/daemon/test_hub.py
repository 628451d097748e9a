"""Repositories of a Hub, through daemon, socket and client."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from resolverd_client import FetchError

from tests.checkpoints.hub import Hub, Request, hub_running, safetensors, sha256
from tests.daemon.running import Daemon, card, daemon, eventually, write

WEIGHTS = safetensors("w", size=1 << 20)
FILES = {
    "model.safetensors": WEIGHTS,
    "tokenizer.json": b'{"t": 1}',
    "tokenizer_config.json": b'{"c": 1}',
    "README.md": b"# tiny",
}


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with hub_running() as running:
        running.repo("models", "org/tiny").commit(FILES)
        yield running


@pytest.fixture(scope="module")
def node(hub: Hub) -> Iterator[Daemon]:
    with daemon(environ={"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": ""}) as running:
        yield running


def put(node: Daemon, name: str, **fields: object) -> None:
    write(node.store / f"{name}.yaml", card(name, **fields))
    eventually(lambda: node.client().maybe_get_metadata(name))


def test_a_card_of_a_model_and_its_tokenizer_gives_a_folder_of_each(node: Daemon) -> None:
    put(node, "m", checkpoint="hg://org/tiny", tokenizer="hg://org/tiny")
    done = node.ctl("prefetch", "m", "--json")
    assert done.returncode == 0, done.stderr
    model, tokenizer = node.client().path("m"), node.client().path("m", field="tokenizer")
    assert sorted(os.listdir(model)) == ["model.safetensors"]
    assert (model / "model.safetensors").read_bytes() == WEIGHTS
    assert sorted(os.listdir(tokenizer)) == ["tokenizer.json", "tokenizer_config.json"]
    (shown,) = (node.cache / "hub" / "models--org--tiny" / "snapshots").iterdir()
    assert sorted(os.listdir(shown)) == sorted(os.listdir(model) + os.listdir(tokenizer))


def test_a_uri_needs_no_card(node: Daemon) -> None:
    done = node.ctl("path", "hg://org/tiny@main", "--kind", "tokenizer")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip(), "tokenizer.json").read_bytes() == FILES["tokenizer.json"]


def test_sixteen_requests_of_each_kind_are_one_download_of_each(hub: Hub, node: Daemon) -> None:
    weights = safetensors("x", size=1 << 20)
    hub.repo("models", "org/wanted").commit(FILES | {"model.safetensors": weights})

    def path(kind: str) -> Path:
        return node.client().path(uri="hg://org/wanted", kind=kind)

    with ThreadPoolExecutor(16) as pool:
        paths = set(pool.map(path, ["model", "tokenizer"] * 8))
    assert len(paths) == 2
    assert hub.sent(weights) == len(weights)
    assert len(hub.asked("/org/wanted/revision/")) == 2


def test_progress_counts_the_bytes_of_all_files(hub: Hub, node: Daemon) -> None:
    hub.repo("datasets", "org/d").commit({f"{n}.bin": os.urandom(50_000) for n in range(8)})
    seen: list[tuple[int, int]] = []
    node.client().prefetch(
        [{"uri": "hg://org/d", "kind": "dataset"}],
        progress=lambda event: seen.append((event["done"], event["total"])),
    )
    assert seen[-1] == (400_000, 400_000)


def test_what_was_whole_before_kill_9_is_not_fetched_again(hub: Hub, node: Daemon) -> None:
    files = {f"{n}.safetensors": safetensors("w", size=200_000) for n in range(3)}
    hub.repo("models", "org/big").commit(files)
    last = hub.store.resources[f"/{sha256(files['2.safetensors'])}"]
    gate = last.faults.gate = threading.Event()
    node.client().prefetch([{"uri": "hg://org/big", "kind": "model"}], wait=False)
    others = [data for name, data in files.items() if name != "2.safetensors"]
    journals = "partial/*/journal-*"
    whole = str(len(others[0])).encode()
    eventually(lambda: sum(whole + b"]]" in p.read_bytes() for p in node.cache.glob(journals)) == 2)
    node.kill()
    gate.set()
    node.start()
    folder = node.client().path(uri="hg://org/big", kind="model")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert [hub.sent(data) for data in others] == [len(data) for data in others]


def test_a_gated_repository_tells_the_client_how_to_get_access(hub: Hub, node: Daemon) -> None:
    hub.repo("models", "org/gated", gated=True).commit(FILES)
    with pytest.raises(FetchError, match=r"is gated.*Ask for access at .*/org/gated.*HF_TOKEN"):
        node.client().path(uri="hg://org/gated", kind="model")


def test_no_token_is_seen_in_the_log_or_the_status(hub: Hub) -> None:
    token = "hf_secretsecretsecret"
    hub.repo("models", "org/mine", private=True, members={token}).commit(FILES)

    def repeat(request: Request) -> None:
        if "/org/mine/tree/" in request.path and not hub.forced:
            said = request.headers["authorization"]
            hub.forced.append((500, {"X-Error-Message": said}))

    with daemon(environ={"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": token}) as node:
        hub.before = repeat
        put(node, "m", checkpoint="hg://org/mine", prefetch="true")
        eventually(lambda: hub.asked("/org/mine/tree/"))
        hub.before = None
        path = node.client().path("m")
        said = [node.log, json.dumps(node.client().status(), default=str)]
        said += [file.read_text() for file in node.cache.glob("manifests/*")]
        assert path.is_dir()
        assert not any(token in text for text in said)


def test_a_card_that_names_no_repository_costs_nothing_but_itself(node: Daemon) -> None:
    put(node, "bad", checkpoint="hg://org/tiny/model.safetensors")
    done = node.ctl("path", "bad")
    assert done.returncode == 1
    assert "write hg://org/name" in done.stderr
    node.client().path(uri="hg://org/tiny", kind="model")
    listed = node.ctl("cache", "ls", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "hg://org/tiny" in listed.stdout
