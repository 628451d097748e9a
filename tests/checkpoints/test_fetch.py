"""The engine against a real origin: what is fetched, from whom it is believed, where it lies."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from resolverd.checkpoints import disk
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.faults import Denied, VerificationError
from resolverd.checkpoints.space.pace import Pace
from resolverd.errors import CacheError, SourceError
from tests.checkpoints.conftest import PART, Bench, limits
from tests.checkpoints.origin import Origin, Resource
from tests.checkpoints.test_structure import safetensors

SMALL = os.urandom(5000)
BIG = os.urandom(5 * PART + 123)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_small_file_takes_one_request(origin: Origin, bench: Bench) -> None:
    resource = origin.put("/a.bin", SMALL)
    manifest = bench.fetch(origin.url("/a.bin"), sha256(SMALL))
    assert bench.content(manifest) == SMALL
    assert len(resource.requests) == 1


def test_a_big_file_comes_in_parts_and_no_byte_twice(origin: Origin, bench: Bench) -> None:
    resource = origin.put("/a.bin", BIG)
    manifest = bench.fetch(origin.url("/a.bin"), sha256(BIG))
    assert bench.content(manifest) == BIG
    assert resource.sent == len(BIG)
    assert len({request["range"] for request in resource.requests}) == 6


def test_several_connections_bring_a_big_file_and_no_byte_twice(
    origin: Origin, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(monkeypatch)
    resource = origin.put("/a.bin", BIG)
    assert bench.content(bench.fetch(origin.url("/a.bin"), sha256(BIG))) == BIG
    assert resource.sent == len(BIG)


def test_an_origin_that_takes_one_connection_only_gives_all_over_it(
    origin: Origin, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(monkeypatch)
    resource = origin.put("/a.bin", BIG)

    def refuse(_: Resource) -> None:
        if resource.sent < len(BIG) and len(resource.requests) in {2, 3, 4}:
            resource.faults.statuses = [(503, {"Retry-After": "999"})]

    resource.before = refuse
    bench.limits = limits(connections=4, attempts=1)
    assert bench.content(bench.fetch(origin.url("/a.bin"), sha256(BIG))) == BIG


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a download use all its connections, whatever they bring."""

    def judged(pace: Pace, *_: object) -> Pace:
        return replace(pace, connections=pace.most)

    monkeypatch.setattr("resolverd.checkpoints.space.pace.judged", judged)


def test_an_empty_file_is_published(origin: Origin, bench: Bench) -> None:
    origin.put("/empty", b"")
    assert bench.content(bench.fetch(origin.url("/empty"))) == b""


def test_the_layout_is_what_fairseq2_looks_for(origin: Origin, bench: Bench) -> None:
    origin.put("/m/a.bin", SMALL)
    uri = origin.url("/m/a.bin")
    manifest = bench.fetch(uri)
    link = bench.root / "assets" / hashlib.sha1(uri.encode()).hexdigest()[:24]
    assert os.readlink(link) == f"../objects/{manifest.key}"
    assert os.listdir(link) == ["a.bin"]
    assert bench.path(manifest) == str(bench.root / "objects" / manifest.key / "a.bin")


def test_published_files_are_read_only_and_readable_by_all(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL)
    before = os.umask(0o077)
    try:
        path = bench.path(bench.fetch(origin.url("/a.bin")))
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o444
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o755
    for folder in ("assets", "objects", "manifests"):
        assert stat.S_IMODE(os.stat(bench.root / folder).st_mode) == 0o755


def test_nothing_is_left_of_a_finished_download(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", BIG)
    bench.fetch(origin.url("/a.bin"))
    assert bench.partial() == []


def test_the_manifest_tells_all_but_secrets(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL)
    manifest = bench.fetch(origin.url("/a.bin?token=hunter2"))
    text = (bench.root / "manifests" / f"{manifest.key}.json").read_text()
    assert "hunter2" not in text
    said = json.loads(text)
    assert said["files"] == [
        {"path": "a.bin", "size": len(SMALL), "digests": {"sha256": sha256(SMALL)}}
    ]
    assert said["trust"] == "first-use"


def test_what_is_published_is_not_fetched_again(origin: Origin, bench: Bench) -> None:
    resource = origin.put("/a.bin", SMALL)
    first = bench.fetch(origin.url("/a.bin"))
    asked = len(resource.requests)
    assert bench.fetch(origin.url("/a.bin")) == first
    assert len(resource.requests) == asked


# -- whom to believe


def test_the_cards_digest_is_held_against_the_file(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL)
    assert bench.fetch(origin.url("/a.bin"), sha256(SMALL)).trust == "card"


def test_a_sha1_of_the_card_counts_as_well(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL)
    card = "sha1:" + hashlib.sha1(SMALL).hexdigest()
    assert bench.fetch(origin.url("/a.bin"), card).trust == "card"


def test_a_digest_header_of_the_origin_counts(origin: Origin, bench: Bench) -> None:
    wire = base64.b64encode(hashlib.sha256(SMALL).digest()).decode()
    origin.put("/a.bin", SMALL, headers={"Repr-Digest": f"sha-256=:{wire}:"})
    assert bench.fetch(origin.url("/a.bin")).trust == "origin"


def test_a_sums_file_beside_it_counts(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL)
    origin.put("/a.bin.sha256", f"{sha256(SMALL)}  a.bin".encode())
    assert bench.fetch(origin.url("/a.bin")).trust == "origin"


@pytest.mark.parametrize("liar", ["card", "header", "sums"])
def test_a_mismatch_is_quarantined_and_never_served(
    origin: Origin, bench: Bench, liar: str
) -> None:
    wrong = sha256(b"something else")
    wire = base64.b64encode(bytes.fromhex(wrong)).decode()
    headers = {"Repr-Digest": f"sha-256=:{wire}:"} if liar == "header" else {}
    origin.put("/a.bin", SMALL, headers=headers)
    if liar == "sums":
        origin.put("/a.bin.sha256", wrong.encode())
    with pytest.raises(VerificationError, match=wrong):
        bench.fetch(origin.url("/a.bin"), wrong if liar == "card" else None)
    assert bench.visible() == set()
    assert bench.partial() == []
    (kept,) = os.listdir(bench.root / "quarantine")
    report = json.loads((bench.root / "quarantine" / kept / "report.json").read_text())
    assert wrong in report["reason"]


def test_the_quarantine_is_bounded(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL)
    for _ in range(5):
        with pytest.raises(VerificationError):
            bench.fetch(origin.url("/a.bin"), "0" * 64)
    assert len(os.listdir(bench.root / "quarantine")) == bench.limits.quarantine_most


def test_one_version_is_bound_to_the_bytes_of_its_first_use(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL, etag='"v1"')
    first = bench.fetch(origin.url("/a.bin"))
    origin.put("/a.bin", SMALL[::-1], etag='"v1"')
    with pytest.raises(VerificationError, match="first used"):
        bench.fetch(origin.url("/a.bin"), force=True)
    assert bench.content(first) == SMALL
    assert bench.fetch(origin.url("/a.bin")) == first


def test_the_binding_outlives_the_object(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL, etag='"v1"')
    manifest = bench.fetch(origin.url("/a.bin"))
    disk.withdraw(bench.layout, manifest, "gone", bench.limits)
    origin.put("/a.bin", SMALL[::-1], etag='"v1"')
    with pytest.raises(VerificationError, match="first used"):
        bench.fetch(origin.url("/a.bin"))


def test_a_file_that_contradicts_its_own_structure_is_refused(origin: Origin, bench: Bench) -> None:
    origin.put("/m.safetensors", safetensors()[:-3])
    with pytest.raises(VerificationError, match="safetensors"):
        bench.fetch(origin.url("/m.safetensors"))
    assert bench.visible() == set()


# -- new versions


def test_a_refresh_without_a_new_version_costs_one_request(origin: Origin, bench: Bench) -> None:
    resource = origin.put("/a.bin", BIG)
    first = bench.fetch(origin.url("/a.bin"))
    sent, asked = resource.sent, len(resource.requests)
    assert bench.fetch(origin.url("/a.bin"), refresh=True) == first
    assert (resource.sent, len(resource.requests)) == (sent, asked + 1)


def test_a_new_version_is_a_new_object_and_the_old_one_stays(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL)
    old = bench.fetch(origin.url("/a.bin"))
    origin.put("/a.bin", BIG)
    new = bench.fetch(origin.url("/a.bin"), refresh=True)
    assert bench.content(old) == SMALL
    assert bench.content(new) == BIG
    assert os.path.basename(os.readlink(bench.layout.link(new.asset))) == new.key


def test_the_same_bytes_under_a_new_stamp_are_the_same_object(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL, etag='"1"')
    old = bench.fetch(origin.url("/a.bin"))
    inode = os.stat(bench.path(old)).st_ino
    origin.put("/a.bin", SMALL, etag='"2"')
    new = bench.fetch(origin.url("/a.bin"), refresh=True)
    assert (new.key, new.stamp) == (old.key, 'etag:"2"')
    assert os.stat(bench.path(new)).st_ino == inode


def test_a_changed_checksum_of_the_card_fetches_again(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL)
    old = bench.fetch(origin.url("/a.bin"), sha256(SMALL))
    origin.put("/a.bin", BIG)
    new = bench.fetch(origin.url("/a.bin"), sha256(BIG))
    assert bench.content(new) == BIG
    assert bench.content(old) == SMALL


def test_a_checksum_in_another_algorithm_is_checked_without_fetching(
    origin: Origin, bench: Bench
) -> None:
    resource = origin.put("/a.bin", SMALL)
    uri, card = origin.url("/a.bin"), hashlib.sha512(SMALL).hexdigest()
    bench.fetch(uri)
    asked = len(resource.requests)
    bench.fetch(uri, card)
    assert len(resource.requests) == asked
    learned = disk.read_manifest(bench.layout, bench.fetch(uri).key)
    assert learned is not None
    assert learned.files[0].digests["sha512"] == card


def test_a_wrong_checksum_leaves_what_was_published_before(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL)
    old = bench.fetch(origin.url("/a.bin"))
    with pytest.raises(VerificationError):
        bench.fetch(origin.url("/a.bin"), "0" * 64)
    assert bench.fetch(origin.url("/a.bin")) == old
    assert bench.content(old) == SMALL


# -- bit rot


def test_a_rotten_object_is_found_quarantined_and_fetched_again(
    origin: Origin, bench: Bench
) -> None:
    origin.put("/a.bin", SMALL)
    manifest = bench.fetch(origin.url("/a.bin"))
    path = Path(bench.path(manifest))
    path.chmod(0o644)
    path.write_bytes(SMALL[:-1] + bytes([SMALL[-1] ^ 1]))
    _, found = bench.engine.verify(manifest.key, bench.job())
    assert found == ["a.bin has other bytes than were published"]
    assert bench.visible() == set()
    assert bench.content(bench.fetch(origin.url("/a.bin"))) == SMALL


def test_a_sound_object_is_left_alone(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL)
    manifest = bench.fetch(origin.url("/a.bin"))
    assert bench.engine.verify(manifest.key, bench.job()) == (manifest, [])
    assert bench.content(manifest) == SMALL


# -- room and rights


def test_no_room_is_told_before_a_byte_is_fetched(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", BIG)
    bench.limits = limits(min_free_bytes=1 << 60)
    with pytest.raises(CacheError, match=r"no room.*cache\.dir"):
        bench.fetch(origin.url("/a.bin"))
    assert bench.visible() == set()


def test_a_cache_that_cannot_be_made_is_told_with_a_remedy(bench: Bench) -> None:
    bench.root.write_text("a file where the cache should be")
    with pytest.raises(CacheError, match=r"Check|Make"):
        bench.fetch("http://127.0.0.1:1/a")


def test_a_gated_file_says_how_to_get_access(bench: Bench) -> None:
    with pytest.raises(SourceError, match=r"Ask for access at https://ai\.meta\.com/llama/"):
        bench.fetch("https://ai.meta.com/llama/;gated=true")


def test_a_scheme_that_is_not_allowed_is_refused(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL)
    bench.policy = Policy(schemes=("https",))
    with pytest.raises(Denied):
        bench.fetch(origin.url("/a.bin"))


def test_a_name_that_leads_to_a_forbidden_address_is_refused(
    origin: Origin, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = origin.put("/a.bin", SMALL)
    monkeypatch.setattr("resolverd.checkpoints.access.policy._METADATA", {_loopback()})
    with pytest.raises(Denied, match="metadata"):
        bench.fetch(f"http://localhost:{origin.port}/a.bin")
    assert resource.requests == []


def _loopback() -> object:
    return ipaddress.ip_address("127.0.0.1")


# -- local files


def test_a_local_file_is_copied_when_the_card_asks(tmp_path: Path, bench: Bench) -> None:
    (tmp_path / "w.bin").write_bytes(BIG)
    manifest = bench.fetch(str(tmp_path / "w.bin"), sha256(BIG), localise=True)
    assert bench.content(manifest) == BIG
    assert bench.path(manifest).startswith(str(bench.root))


def test_a_directory_is_copied_with_all_below_it(tmp_path: Path, bench: Bench) -> None:
    (tmp_path / "m" / "sub").mkdir(parents=True)
    (tmp_path / "m" / "a").write_bytes(SMALL)
    (tmp_path / "m" / "sub" / "b").write_bytes(BIG)
    card = {"a": sha256(SMALL), "sub/b": sha256(BIG)}
    manifest = bench.fetch(str(tmp_path / "m"), card, localise=True)
    assert manifest.trust == "card"
    assert Path(bench.path(manifest), "sub/b").read_bytes() == BIG


def test_a_map_that_names_a_file_that_is_not_there_is_refused(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", SMALL)
    with pytest.raises(SourceError, match=r"names 'b\.bin'; there are: a\.bin"):
        bench.fetch(origin.url("/a.bin"), {"a.bin": sha256(SMALL), "b.bin": sha256(BIG)})
    assert bench.visible() == set()


def test_files_outside_the_allowed_folders_are_not_read(tmp_path: Path, bench: Bench) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "secret").write_bytes(SMALL)
    (tmp_path / "open" / "link").symlink_to(tmp_path / "secret")
    bench.policy = Policy(file_roots=(str(tmp_path / "open"),))
    with pytest.raises(Denied, match="outside"):
        bench.fetch(str(tmp_path / "open" / "link"), localise=True)
