"""Checkpoints of several parts, and parts of checkpoints, through daemon, socket and client."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator

import pytest
from resolverd_client import FetchError, RequestError, VerificationError

from tests.checkpoints.origin import Origin
from tests.checkpoints.test_completeness import index, safetensors
from tests.daemon.running import Daemon, card, daemon, eventually, write

PARTS = [b"first" * 1000, b"second" * 1000, b"third" * 1000]


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


@pytest.fixture(scope="module")
def node() -> Iterator[Daemon]:
    with daemon() as running:
        yield running


def put(node: Daemon, name: str, **fields: object) -> None:
    write(node.store / f"{name}.yaml", card(name, **fields))
    eventually(lambda: node.client().maybe_get_metadata(name))


def tar(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def test_all_shards_become_one_folder(node: Daemon, origin: Origin) -> None:
    for number, data in enumerate(PARTS):
        origin.put(f"/sharded/c.{number:02d}.pth.bin", data)
    uri = origin.url("/sharded/c.{shard_idx:02d}.pth.bin")
    sums = {f"c.{n:02d}.pth.bin": hashlib.sha256(p).hexdigest() for n, p in enumerate(PARTS)}
    put(node, "sharded", checkpoint=f'"{uri}"', num_shards=3, checksum=sums)
    path = node.client().path("sharded")
    assert [file.read_bytes() for file in sorted(path.iterdir())] == PARTS


def test_a_shard_that_is_missing_at_the_origin_is_named(node: Daemon, origin: Origin) -> None:
    origin.put("/few/c.0.bin", b"x")
    put(node, "few", checkpoint=f'"{origin.url("/few/c.{shard_idx}.bin")}"', num_shards=2)
    with pytest.raises(FetchError, match=r"c\.1\.bin.*404"):
        node.client().path("few")


def test_a_shard_that_is_not_what_the_card_says_is_refused(node: Daemon, origin: Origin) -> None:
    for number in range(2):
        origin.put(f"/wrong/c.{number}.bin", PARTS[number])
    sums = {"c.0.bin": hashlib.sha256(PARTS[0]).hexdigest(), "c.1.bin": "0" * 64}
    uri = origin.url("/wrong/c.{shard_idx}.bin")
    put(node, "wrong", checkpoint=f'"{uri}"', num_shards=2, checksum=sums)
    with pytest.raises(VerificationError, match="the card says"):
        node.client().path("wrong")


def test_a_new_version_of_one_shard_makes_a_new_object_on_refresh(
    node: Daemon, origin: Origin
) -> None:
    for number in range(2):
        origin.put(f"/fresh/c.{number}.bin", PARTS[number])
    put(node, "fresh", checkpoint=f'"{origin.url("/fresh/c.{shard_idx}.bin")}"', num_shards=2)
    client = node.client()
    old = client.path("fresh")
    assert client.path("fresh", refresh=True) == old
    origin.put("/fresh/c.1.bin", PARTS[2])
    new = client.path("fresh", refresh=True)
    assert (new / "c.1.bin").read_bytes() == PARTS[2]
    assert (old / "c.1.bin").read_bytes() == PARTS[1]


def test_local_shards_are_their_folder_and_must_all_be_there(node: Daemon) -> None:
    for number in range(2):
        write(node.store / f"local/c.{number}.bin", "x")
    put(node, "local", checkpoint='"local/c.{shard_idx}.bin"', num_shards=2)
    put(node, "short", checkpoint='"local/c.{shard_idx}.bin"', num_shards=3)
    assert node.client().path("local") == node.store / "local"
    with pytest.raises(FetchError, match=r"c\.2\.bin"):
        node.client().path("short")


@pytest.mark.parametrize("count", ["0", "many", "5000", "true"])
def test_a_number_of_shards_that_makes_no_sense_is_refused(node: Daemon, count: str) -> None:
    put(node, f"odd-{count}", checkpoint='"http://h/c.{shard_idx}.bin"', num_shards=count)
    with pytest.raises(RequestError, match="num_shards"):
        node.client().path(f"odd-{count}")


def test_a_card_can_mean_a_member_of_its_archive(node: Daemon, origin: Origin) -> None:
    origin.put("/packed.tar", tar(models__one=PARTS[0], models__two=PARTS[1], readme=b"hello"))
    uri = origin.url("/packed.tar")
    put(node, "packed", checkpoint=uri, checkpoint_path="models/two", tokenizer=uri,
        tokenizer_path="readme")  # fmt: skip
    client = node.client()
    assert client.path("packed").read_bytes() == PARTS[1]
    assert client.path("packed", field="tokenizer").read_bytes() == b"hello"
    with client.lease("packed") as path:
        assert path.read_bytes() == PARTS[1]


def test_the_shards_of_an_archive_are_their_folder(node: Daemon, origin: Origin) -> None:
    origin.put("/shards.tar", tar(m__c0=PARTS[0], m__c1=PARTS[1], readme=b""))
    put(node, "s", checkpoint=origin.url("/shards.tar"), checkpoint_path='"m/c{shard_idx}"')
    assert node.client().path("s").name == "m"


@pytest.mark.parametrize("inside", ["../../manifests", "/etc/passwd", "nowhere"])
def test_a_member_that_is_not_inside_is_refused(node: Daemon, origin: Origin, inside: str) -> None:
    origin.put("/a.tar", tar(one=b"1", two=b"2"))
    name = "out" + inside.strip("./").replace("/", "-")
    put(node, name, checkpoint=origin.url("/a.tar"), checkpoint_path=inside)
    with pytest.raises(RequestError, match=r"leads out|there is no"):
        node.client().path(name)


def test_an_archive_that_lacks_what_its_index_promises_is_refused(
    node: Daemon, origin: Origin
) -> None:
    members = {"m.safetensors.index.json": index(a="1.safetensors"), "x": b""}
    origin.put("/lacking.tar", tar(**members))
    put(node, "lacking", checkpoint=origin.url("/lacking.tar"))
    with pytest.raises(VerificationError, match=r"'1\.safetensors', which is not there"):
        node.client().path("lacking")


def test_a_local_folder_is_held_against_its_index(node: Daemon) -> None:
    folder = node.store / "shards"
    folder.mkdir()
    (folder / "m.safetensors.index.json").write_bytes(index(a="1.safetensors"))
    put(node, "folder", checkpoint="shards")
    with pytest.raises(VerificationError, match=r"'1\.safetensors', which is not there"):
        node.client().path("folder")
    (folder / "1.safetensors").write_bytes(safetensors("a"))
    assert node.client().path("folder") == folder
