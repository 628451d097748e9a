"""Checkpoints through daemon, socket and client, from a real HTTP origin."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from resolverd_client import AssetNotFoundError, FetchError, RequestError, VerificationError

from tests.checkpoints.origin import Faults, Origin
from tests.daemon.running import Daemon, card, daemon, eventually, write

DATA = os.urandom(3 << 20)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


@pytest.fixture
def node() -> Iterator[Daemon]:
    with daemon() as running:
        yield running


def offer(origin: Origin, path: str, data: bytes) -> str:
    """Have the origin serve some bytes, and give their URL."""
    origin.put(path, data)
    return origin.url(path)


def put(node: Daemon, name: str, **fields: object) -> None:
    write(node.store / f"{name}.yaml", card(name, **fields))
    eventually(lambda: node.client().maybe_get_metadata(name))


def test_a_path_is_the_verified_file_itself_read_only(node: Daemon, origin: Origin) -> None:
    url = offer(origin, "/m.pt.bin", DATA)
    put(node, "m", checkpoint=url, checksum=f"sha256:{SHA256}")
    path = node.client().path("m")
    assert path.read_bytes() == DATA
    assert path.name == "m.pt.bin"
    assert path.stat().st_mode & 0o777 == 0o444
    assert path.is_relative_to(node.cache / "objects")
    asset = hashlib.sha1(url.encode()).hexdigest()[:24]
    assert (node.cache / "assets" / asset).resolve() == path.parent


def test_sixteen_processes_worth_of_requests_fetch_the_bytes_once(
    node: Daemon, origin: Origin
) -> None:
    url = offer(origin, "/m.bin", DATA)
    put(node, "m", checkpoint=url)
    with ThreadPoolExecutor(16) as pool:
        paths = set(pool.map(lambda _: node.client().path("m"), range(16)))
    assert len(paths) == 1
    assert origin.resources["/m.bin"].sent == len(DATA)


def test_a_wrong_digest_is_never_served(node: Daemon, origin: Origin) -> None:
    url = offer(origin, "/m.bin", DATA)
    put(node, "m", checkpoint=url, checksum="sha256:" + "0" * 64)
    with pytest.raises(VerificationError, match=SHA256[:12]):
        node.client().path("m")
    with pytest.raises(FetchError):
        node.client().path("m", wait=False)


def test_a_missing_file_at_the_origin_is_named(node: Daemon, origin: Origin) -> None:
    put(node, "m", checkpoint=offer(origin, "/m.bin", DATA) + ".nowhere")
    with pytest.raises(FetchError, match=r"m\.bin\.nowhere.*404"):
        node.client().path("m")


def test_a_card_with_nothing_to_fetch_says_which_fields_were_looked_at(node: Daemon) -> None:
    put(node, "m", model_family="f")
    with pytest.raises(AssetNotFoundError, match="checkpoint, tokenizer, data"):
        node.client().path("m")
    with pytest.raises(AssetNotFoundError, match="'vocab'"):
        node.client().path("m", field="vocab")


def test_any_field_can_be_fetched_with_its_own_checksum(node: Daemon, origin: Origin) -> None:
    url = offer(origin, "/vocab", DATA)
    put(node, "m", vocab=url, vocab_checksum=SHA256)
    assert node.client().path("m", field="vocab").read_bytes() == DATA


def test_a_uri_needs_no_card(node: Daemon, origin: Origin) -> None:
    url = offer(origin, "/m.bin", DATA)
    assert node.client().path(uri=url, kind="model", checksum=SHA256).read_bytes() == DATA
    with pytest.raises(RequestError, match="kind must be one of"):
        node.client().path(uri=url, kind="poem")


def test_a_relative_path_is_used_in_place_below_the_leafs_folder(node: Daemon) -> None:
    write(node.store / "weights.bin", "precious")
    put(node, "m", checkpoint="weights.bin")
    assert node.client().path("m") == node.store / "weights.bin"


def test_progress_reaches_every_requester(node: Daemon, origin: Origin) -> None:
    url = offer(origin, "/m.bin", DATA * 8)
    gate = threading.Event()
    origin.resources["/m.bin"].faults = Faults(gate=gate, gate_at=12 << 20, rate=30e6)
    put(node, "m", checkpoint=url)
    seen: list[list[int]] = [[], []]

    def fetch(which: int) -> None:
        node.client().prefetch(["m"], progress=lambda event: seen[which].append(event["done"]))

    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(fetch, 0), pool.submit(fetch, 1)]
        eventually(lambda: all(any(seen[which]) for which in (0, 1)))
        gate.set()
        for each in waiting:
            each.result(20)
    assert seen[0][-1] == seen[1][-1] == len(DATA) * 8


def test_a_prefetch_of_several_tells_each_ones_fate(node: Daemon, origin: Origin) -> None:
    put(node, "good", checkpoint=offer(origin, "/m.bin", DATA))
    put(node, "bad", checkpoint=origin.url("/nowhere"))
    with pytest.raises(FetchError) as caught:
        node.client().prefetch(["good", "bad", "unknown"])
    results = caught.value.details["results"]
    assert isinstance(results, list)
    assert [each["error"] and each["error"]["code"] for each in results] == [
        None,
        "fetch-failed",
        "not-found",
    ]
    assert results[0]["path"].read_bytes() == DATA


def test_a_download_goes_on_after_kill_9_of_the_daemon(node: Daemon, origin: Origin) -> None:
    url = offer(origin, "/m.bin", DATA * 8)
    gate = threading.Event()
    origin.resources["/m.bin"].faults = Faults(gate=gate, gate_at=20 << 20)
    put(node, "m", checkpoint=url)
    node.client().prefetch(["m"], wait=False)
    eventually(lambda: any(node.cache.glob("partial/*/*")))
    eventually(lambda: origin.resources["/m.bin"].sent >= 20 << 20)
    node.kill()
    gate.set()
    node.start()
    path = node.client().path("m")
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(DATA * 8).digest()


def test_a_lease_is_a_descriptor_that_outlives_the_daemon(node: Daemon, origin: Origin) -> None:
    put(node, "m", checkpoint=offer(origin, "/m.bin", DATA))
    with node.client().lease("m") as path:
        assert path.read_bytes() == DATA
        node.kill()
        assert locked(node, path)
        node.start()
        assert node.client().path("m") == path
    assert not locked(node, path)


def locked(node: Daemon, path: Path) -> bool:
    """Whether anybody holds a lease: an exclusive lock, as eviction takes it, is then refused."""
    code = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    lock = node.cache / "locks" / path.parent.name
    command = [sys.executable, "-c", code, str(lock)]
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_a_damaged_object_is_found_and_never_served_again(node: Daemon, origin: Origin) -> None:
    put(node, "m", checkpoint=offer(origin, "/m.bin", DATA))
    path = node.client().path("m")
    assert [verdict["ok"] for verdict in node.client().verify(["m"])] == [True]
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(bytes([DATA[1000] ^ 1]))
    assert [verdict["ok"] for verdict in node.client().verify()] == [False]
    assert node.client().path("m").read_bytes() == DATA


def test_a_refresh_takes_a_new_version_and_leaves_the_old_one_to_its_readers(
    node: Daemon, origin: Origin
) -> None:
    url = offer(origin, "/m.bin", DATA)
    put(node, "m", checkpoint=url)
    client = node.client()
    with client.lease("m") as old:
        offer(origin, "/m.bin", DATA[::-1])
        assert client.path("m") == old
        new = client.path("m", refresh=True)
        assert new.read_bytes() == DATA[::-1]
        assert old.read_bytes() == DATA


def test_a_wait_that_is_too_long_ends_in_time_and_says_so(node: Daemon, origin: Origin) -> None:
    url = offer(origin, "/m.bin", DATA)
    gate = threading.Event()
    origin.resources["/m.bin"].faults = Faults(gate=gate)
    put(node, "m", checkpoint=url)
    with pytest.raises(FetchError, match="not ready within"):
        node.client().path("m", timeout=0.2)
    gate.set()
    assert node.client().path("m").read_bytes() == DATA


def test_all_files_of_a_card_are_fetched_side_by_side_within_one_timeout(
    node: Daemon, origin: Origin
) -> None:
    gate = threading.Event()
    urls = [offer(origin, path, DATA) for path in ("/m.bin", "/t.bin")]
    for path in ("/m.bin", "/t.bin"):
        origin.resources[path].faults = Faults(gate=gate)
    put(node, "m", checkpoint=urls[0], tokenizer=urls[1])
    with ThreadPoolExecutor(1) as pool:
        fetched = pool.submit(node.client().prefetch, ["m"])
        eventually(lambda: all(origin.resources[path].requests for path in ("/m.bin", "/t.bin")))
        with pytest.raises(FetchError, match="2 of 2"):
            node.client().prefetch(["m"], timeout=0.1)
        gate.set()
        assert [each["error"] for each in fetched.result(60)] == [None, None]


def test_a_wait_that_is_too_long_tells_the_last_fault_as_status_does(
    node: Daemon, origin: Origin
) -> None:
    url = offer(origin, "/m.bin", DATA)
    origin.resources["/m.bin"].faults = Faults(statuses=[(503, {"Retry-After": "100"})] * 9)
    put(node, "m", checkpoint=url)
    told: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            node.client().prefetch, ["m"], progress=lambda event: told.append(event["fault"])
        )
        eventually(lambda: any(told))
        with pytest.raises(FetchError, match=r"not ready within 0.1 s; last fault: .*m\.bin.* 503"):
            node.client().path("m", timeout=0.1)
        assert "answered 503" in node.ctl("status").stdout
        origin.resources["/m.bin"].faults.statuses = []
        node.kill()  # nobody waits for the pause to end
        with pytest.raises(ConnectionError):
            waiting.result(60)


def test_another_daemons_file_is_not_taken_for_this_namespaces(
    node: Daemon, origin: Origin, tmp_path: Path
) -> None:
    put(node, "m", checkpoint=offer(origin, "/m.bin", DATA))
    code = (
        "import os, sys; from resolverd_client import Client\n"
        "try: Client(socket_path=sys.argv[1]).path('m')\n"
        "except Exception as e: print(e.code, e)"
    )
    hidden = f'mount -t tmpfs none {node.cache} && exec "$@"'
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", hidden, "sh"]
    command = [*namespace, sys.executable, "-c", code, str(node.socket)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    assert "not-local" in told
    assert str(node.cache) in told


def test_what_a_card_promises_holds_for_its_uri_alone(node: Daemon, origin: Origin) -> None:
    url = offer(origin, "/m.bin", DATA)
    put(node, "m", checkpoint=url, checksum="sha256:" + "0" * 64)
    with pytest.raises(VerificationError):
        node.client().path(uri=url, kind="model")


def test_a_prefetch_and_a_request_by_uri_are_one_download(node: Daemon, origin: Origin) -> None:
    gate = threading.Event()
    resource = origin.put("/m.bin", DATA, gate=gate, gate_at=1 << 20)
    url = origin.url("/m.bin")
    put(node, "m", checkpoint=url, checksum=f"sha256:{SHA256}")
    node.client().prefetch(["m"], wait=False)
    eventually(lambda: resource.sent)
    told: list[object] = []
    with ThreadPoolExecutor(1) as pool:
        by_uri = pool.submit(node.client().path, uri=url, kind="model", progress=told.append)
        eventually(lambda: told)
        gate.set()
        assert by_uri.result(60).read_bytes() == DATA
    assert resource.sent == len(DATA)
