"""Downloads of a job with resolverd-client: verified files of the daemon, else fairseq2's own."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.checkpoints.bucket import s3_running
from tests.checkpoints.hub import hub_running, safetensors
from tests.checkpoints.origin import Origin
from tests.daemon.running import card, daemon, eventually, write

pytestmark = pytest.mark.fairseq2

DATA = os.urandom(300_000)
AGENT = "firefox"
PATIENT = {"RESOLVERD_FALLBACK_TIMEOUT": "30"}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def origin():
    with Origin() as running:
        yield running


@pytest.fixture(scope="module")
def node():
    with daemon() as running:
        yield running


@pytest.fixture
def own_cache(tmp_path):
    return tmp_path / "own"


@pytest.fixture
def fetch(extended, node, own_cache):
    """Download in a job, as fairseq2's recipes do."""

    def ask(uri, running=node, **options):
        environ = PATIENT | {"RESOLVERD_SOCKET": str(running.socket)}
        environ |= {"FAIRSEQ2_CACHE_DIR": str(own_cache)}
        environ |= options.pop("environ", {})
        return extended.ask("fetch", uri=uri, environ=environ, **options)

    return ask


def fetched_by_fairseq2(resource):
    """Whether a job's own fairseq2 asked the origin, which it does as a browser."""
    return [AGENT in each.get("user-agent", "").lower() for each in resource.requests]


@pytest.mark.parametrize("kind", ["model", "tokenizer", "dataset"])
def test_a_download_is_the_daemons_verified_file(fetch, node, origin, kind):
    resource = origin.put(f"/{kind}.pt.bin", DATA)
    answer = fetch(origin.url(f"/{kind}.pt.bin"), kind=kind)
    path = Path(answer["answer"]["path"])
    assert path.is_relative_to(node.cache / "objects")
    assert answer["answer"]["files"] == {f"{kind}.pt.bin": sha256(DATA)}
    assert answer["warnings"] == []
    assert not any(fetched_by_fairseq2(resource))


def test_progress_is_shown_on_fairseq2s_own_bar(fetch, origin):
    origin.put("/slow.bin", DATA, rate=400_000.0)
    (bar,) = fetch(origin.url("/slow.bin"))["bars"]
    assert (bar["name"], bar["total"], bar["open"]) == ("download", len(DATA), False)
    assert 0 < bar["done"] <= len(DATA)


def test_what_is_there_already_shows_no_bar_and_asks_nobody(fetch, origin):
    resource = origin.put("/there.bin", DATA)
    first = fetch(origin.url("/there.bin"))
    sent = resource.sent
    again = fetch(origin.url("/there.bin"))
    assert again["answer"] == first["answer"]
    assert again["bars"] == []
    assert resource.sent == sent


def test_the_process_may_not_use_the_network_but_its_daemon_may(fetch, node, origin):
    resource = origin.put("/local_only.bin", DATA)
    answer = fetch(origin.url("/local_only.bin"), local_only=True)["answer"]
    assert Path(answer["path"]).is_relative_to(node.cache)
    assert not any(fetched_by_fairseq2(resource))


def test_force_brings_a_new_version_and_the_old_file_stays(fetch, origin):
    origin.put("/forced.bin", DATA)
    old = fetch(origin.url("/forced.bin"))["answer"]
    new = os.urandom(1000)
    origin.put("/forced.bin", new)
    assert fetch(origin.url("/forced.bin"))["answer"] == old
    forced = fetch(origin.url("/forced.bin"), force=True)["answer"]
    assert forced["files"] == {"forced.bin": sha256(new)}
    assert Path(old["path"]).read_bytes() == DATA


def test_a_failure_is_fairseq2s_error_with_the_daemons_reason(fetch, origin):
    uri = origin.url("/missing.bin")
    ((kind, message), *_) = fetch(uri)["answer"]["refused"]
    assert kind == "AssetDownloadError"
    assert message.startswith(f"Download of {uri} failed. ")
    assert "404" in message


def test_what_only_the_job_may_have_fairseq2_fetches_itself(fetch, origin, own_cache):
    def closed_to_daemons(resource):
        browser = AGENT in resource.requests[-1]["user-agent"].lower()
        resource.faults.statuses[:] = [] if browser else [(403, {})]

    origin.put("/closed.bin", DATA, before=closed_to_daemons)
    answer = fetch(origin.url("/closed.bin"))
    assert Path(answer["answer"]["path"]).is_relative_to(own_cache)
    (warning,) = answer["warnings"]
    assert "403" in warning


def test_a_file_that_is_not_what_was_promised_is_refused_and_not_fetched_otherwise(fetch, origin):
    promised = {"Digest": "sha-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}
    resource = origin.put("/bad.bin", DATA, headers=promised)
    ((kind, message), *_) = fetch(origin.url("/bad.bin"))["answer"]["refused"]
    assert kind == "AssetDownloadError"
    assert "sha256" in message.lower()
    assert not any(fetched_by_fairseq2(resource))


def test_a_path_that_was_given_out_is_not_evicted_while_the_process_lives(fetch, node, origin):
    origin.put("/held.bin", DATA)
    path = Path(fetch(origin.url("/held.bin"))["answer"]["path"])
    assert locked(node, path)


def locked(node, path):
    """Whether someone holds an object's lock."""
    with (node.cache / "locks" / path.parent.name).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_hub_repository_is_the_daemons_folder_of_its_files(fetch):
    weights = safetensors("w")
    with hub_running() as hub, daemon(environ={"HF_ENDPOINT": hub.endpoint}) as node:
        hub.repo("models", "org/m").commit({"model.safetensors": weights, "tokenizer.json": b"{}"})
        model = fetch("hg://org/m", node)["answer"]
        tokenizer = fetch("hg://org/m", node, kind="tokenizer")["answer"]
    assert model["files"] == {"model.safetensors": sha256(weights)}
    assert tokenizer["files"] == {"tokenizer.json": sha256(b"{}")}
    assert Path(model["path"]).is_relative_to(node.cache)


def test_an_object_of_s3_is_a_local_file_where_fairseq2_alone_would_read_it_remotely(fetch):
    with s3_running() as server, daemon(environ={"AWS_ENDPOINT_URL": server.endpoint}) as node:
        bucket = server.bucket("public")
        bucket.put("m.bin", DATA)
        answer = fetch(bucket.uri("m.bin"), node)["answer"]
    assert answer["files"] == {"m.bin": sha256(DATA)}
    assert Path(answer["path"]).is_relative_to(node.cache)


def test_what_the_daemon_may_not_fetch_fairseq2_fetches_itself(fetch, origin, own_cache):
    resource = origin.put("/denied.bin", DATA)
    with daemon(environ={"RESOLVERD_FETCH__SCHEMES": '["file"]'}) as strict:
        answer = fetch(origin.url("/denied.bin"), strict)
    assert Path(answer["answer"]["path"]).is_relative_to(own_cache)
    (warning,) = answer["warnings"]
    assert "fetch.schemes" in warning
    assert all(fetched_by_fairseq2(resource))


def test_a_scheme_that_is_not_the_daemons_is_not_asked_of_it(extended, node):
    environ = {"RESOLVERD_SOCKET": str(node.socket), "OTHERS": "before_ours,after_ours"}
    for other in ("before", "after"):
        answer = extended.ask("fetch", uri=f"{other}-ours://x", environ=environ)["answer"]
        assert answer["path"].startswith(f"{other}_ours gives {other}-ours:/")


def test_without_a_daemon_fairseq2_downloads_itself(fetch, origin, own_cache):
    origin.put("/alone.bin", DATA)
    answer = fetch(origin.url("/alone.bin"), environ={"RESOLVERD_SOCKET": "/nonexistent/s"})
    assert Path(answer["answer"]["path"]).is_relative_to(own_cache)
    assert len(answer["warnings"]) == 1


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_a_daemon_lost_during_a_download_is_replaced_by_fairseq2s_own(
    fetch, origin, own_cache, how
):
    gate = threading.Event()
    uri = origin.url(f"/{how}.bin")
    with daemon() as node, ThreadPoolExecutor(1) as pool:
        resource = origin.put(f"/{how}.bin", DATA, gate=gate, gate_at=100_000)
        environ = {"RESOLVERD_FALLBACK_TIMEOUT": "0.5"}
        answer = pool.submit(fetch, uri, node, environ=environ)
        eventually(lambda: resource.sent)
        if how == "killed":
            node.kill()
        else:
            node.signal(signal.SIGSTOP)
        eventually(lambda: any(fetched_by_fairseq2(resource)))
        gate.set()
        result = answer.result(60)
    path = Path(result["answer"]["path"])
    assert path.is_relative_to(own_cache)
    assert path.read_bytes() == DATA
    assert len(result["warnings"]) == 1


@pytest.fixture(scope="module")
def small(extended, origin, tmp_path_factory):
    """A small model made of fairseq2's own classes, offered by the origin."""
    path = tmp_path_factory.mktemp("model") / "model.pt"
    (made,) = extended.ask("together", calls=[["checkpoint", {"path": str(path)}]])
    data = path.read_bytes()
    resource = origin.put("/model.pt", data)
    return {**made, "resource": resource, "size": len(data), "sha256": sha256(data)}


def offer(node, small, origin, **more):
    """Put a card of the small model into a daemon's store."""
    config = "".join(f"  {key}: {value}\n" for key, value in small["config"].items())
    fields = {"model_family": "llama", "model_arch": "llama2_7b", "checksum": small["sha256"]}
    text = card("small", **{"checkpoint": origin.url("/model.pt"), **fields, **more})
    write(node.store / "small.yaml", f"{text}model_config:\n{config}")
    eventually(lambda: node.client().maybe_get_metadata("small"))


def environ(node, **more):
    place = {"RESOLVERD_SOCKET": str(node.socket), "FAIRSEQ2_ASSET_DIR": str(node.store)}
    return {**PATIENT, **place, **more}


def test_sixteen_jobs_at_once_load_a_model_whose_bytes_are_fetched_once(extended, origin, small):
    with daemon() as node:
        offer(node, small, origin)
        before = small["resource"].sent
        call = ["model", {"name": "small", "environ": environ(node)}]
        answers = extended.ask("together", calls=[call] * 16)
        assert small["resource"].sent - before == small["size"]
        for answer in answers:
            assert answer["sum"] == small["sum"]
            assert answer["shape"] == [1, 6, small["config"]["vocab_size"]]
            assert answer["warnings"] == []
            (path,) = answer["paths"]
            assert Path(path).is_relative_to(node.cache / "objects")


def test_a_tokenizer_loads_from_the_daemons_file(extended, node, origin):
    ranks = [f"{base64.b64encode(bytes([byte])).decode()} {byte}\n" for byte in range(256)]
    origin.put("/tokens.model", "".join(ranks).encode())
    text = card("tokens", tokenizer_family="llama", tokenizer=origin.url("/tokens.model"))
    write(node.store / "tokens.yaml", f"{text}tokenizer_config_overrides:\n  impl: tiktoken\n")
    eventually(lambda: node.client().maybe_get_metadata("tokens"))
    call = ["tokenizer", {"name": "tokens", "environ": environ(node)}]
    (answer,) = extended.ask("together", calls=[call])
    assert answer.get("tokens") == list(b"hello"), answer
    (path,) = answer["paths"]
    assert Path(path).is_relative_to(node.cache / "objects")


@pytest.mark.parametrize("wanted", ["1", ""], ids=["localised", "not"])
def test_a_checkpoint_with_a_path_is_localised_only_when_the_job_asks(
    extended, origin, small, wanted
):
    with daemon() as node:
        write(node.store / "sub" / "model.pt", "").write_bytes(small["resource"].data)
        offer(node, small, origin, checkpoint="sub/model.pt", localise="true")
        more = environ(node, RESOLVERD_LOCALISE=wanted)
        (answer,) = extended.ask("together", calls=[["model", {"name": "small", "environ": more}]])
        assert answer["sum"] == small["sum"]
        paths = [Path(path).is_relative_to(node.cache / "objects") for path in answer["paths"]]
        assert paths == ([True] if wanted else [])


def test_the_command_tells_who_reads_each_store(extended, node):
    (answer,) = extended.ask("together", calls=[["told_by_command", {"environ": environ(node)}]])
    code, text = answer
    assert code == 0
    assert f"  resolverd  path:{node.store}\n" in text
    assert "  fairseq2   package:fairseq2.assets.cards\n" in text
    assert str(node.socket) in text


def test_the_ranks_of_a_gang_on_two_nodes_have_the_file_from_their_own_daemon(
    extended, origin, small
):
    with daemon() as one, daemon() as two, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        taken.close()
        for node in (one, two):
            offer(node, small, origin)
        calls = [
            ["model", {"name": "small", "environ": environ(node, MASTER_PORT=port), "rank": rank}]
            for rank, node in enumerate((one, two))
        ]
        answers = extended.ask("together", calls=calls)
        for node, answer in zip((one, two), answers, strict=True):
            assert answer["sum"] == small["sum"]
            (path,) = answer["paths"]
            assert Path(path).is_relative_to(node.cache / "objects")
