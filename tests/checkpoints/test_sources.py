"""One suite over every kind of source: what the engine relies on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.access.rules import Rule
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.faults import Changed
from resolverd.checkpoints.sources.base import Listing, RemoteFile, Source, Transfer
from resolverd.checkpoints.sources.choose import source_of
from resolverd.checkpoints.sources.hub.settings import HubSettings
from resolverd.checkpoints.sources.s3.settings import S3Settings
from resolverd.errors import SourceError
from tests.checkpoints.bucket import Bucket
from tests.checkpoints.conftest import limits
from tests.checkpoints.hub import Hub, hub_running
from tests.checkpoints.origin import Origin

DATA = bytes(range(256)) * 64


class World(Protocol):
    """An origin that a test can write to.

    Attributes:
        uri: Of the file ``a.bin``.
        policy: What lets it be read.
    """

    uri: str
    policy: Policy

    def write(self, data: bytes) -> None: ...
    def remove(self) -> None: ...
    def beside(self, text: str) -> None: ...


class FileWorld:
    policy = Policy(file_roots=None)

    def __init__(self, folder: Path) -> None:
        self.path = folder / "a.bin"
        self.uri = str(self.path)

    def write(self, data: bytes) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(data)
        fresh.rename(self.path)

    def remove(self) -> None:
        self.path.unlink()

    def beside(self, text: str) -> None:
        Path(self.uri + ".sha256").write_text(text)


class HttpWorld:
    policy = Policy()

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.uri = origin.url("/a.bin")

    def write(self, data: bytes) -> None:
        self.origin.put("/a.bin", data)

    def remove(self) -> None:
        del self.origin.resources["/a.bin"]

    def beside(self, text: str) -> None:
        self.origin.put("/a.bin.sha256", text.encode())


class S3World:
    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.uri = bucket.uri("folder/a.bin")
        self.policy = Policy(s3=S3Settings(endpoint=bucket.endpoint, anonymous=True))

    def write(self, data: bytes) -> None:
        self.bucket.put("folder/a.bin", data)

    def remove(self) -> None:
        self.bucket.remove("folder/a.bin")

    def beside(self, text: str) -> None:
        self.bucket.put("folder/a.bin.sha256", text.encode())


class HubWorld:
    """A dataset whose history is rewritten with each change."""

    def __init__(self, hub: Hub) -> None:
        self.uri = "hg://org/set"
        self.policy = Policy(hub=HubSettings(hub.endpoint))
        self.hub = hub

    def write(self, data: bytes) -> None:
        repo = self.hub.repo("datasets", "org/set")
        made = repo.commit({"a.bin": data})
        repo.commits = {made: repo.commits[made]}

    def remove(self) -> None:
        self.hub.repos.clear()

    def beside(self, text: str) -> None:
        """The Hub tells every file's digest itself."""


@contextmanager
def file_world(request: pytest.FixtureRequest) -> Iterator[World]:
    yield FileWorld(request.getfixturevalue("tmp_path"))


@contextmanager
def http_world(request: pytest.FixtureRequest) -> Iterator[World]:
    yield HttpWorld(request.getfixturevalue("origin"))


@contextmanager
def mirrored_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The first mirror has nothing, the second everything."""
    origin: Origin = request.getfixturevalue("origin")
    world = HttpWorld(origin)
    to = (origin.url("/none/"), origin.url("/"))
    world.uri = "http://mirrored.invalid/a.bin"
    world.policy = Policy(rules=(Rule("http://mirrored.invalid/", to=to),))
    yield world


@contextmanager
def s3_world(request: pytest.FixtureRequest) -> Iterator[World]:
    yield S3World(request.getfixturevalue("bucket"))


@contextmanager
def hub_world(_: pytest.FixtureRequest) -> Iterator[World]:
    with hub_running() as hub:
        yield HubWorld(hub)


WORLDS = {
    "file": file_world,
    "http": http_world,
    "mirrored": mirrored_world,
    "s3": s3_world,
    "hub": hub_world,
}


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with WORLDS[request.param](request) as found:
        found.write(DATA)
        yield found


@pytest.fixture
def source(world: World) -> Iterator[Source]:
    made = source_of(Wanted("dataset", world.uri), limits(), world.policy)
    yield made
    made.close()


def listed(source: Source) -> Listing:
    listing = source.resolve()
    assert listing is not None
    assert listing.stamp is not None
    return listing


def only(source: Source) -> RemoteFile:
    (file,) = listed(source).files
    return file


def rest(transfer: Transfer) -> bytes:
    buffer, found = memoryview(bytearray(1000)), b""
    with transfer:
        while count := transfer.readinto(buffer):
            found += bytes(buffer[:count])
    return found


def test_it_tells_name_size_and_version(source: Source) -> None:
    file = only(source)
    assert (file.name, file.size, file.resumable) == ("a.bin", len(DATA), True)


def test_it_gives_the_whole_file(source: Source) -> None:
    assert rest(source.open(only(source), 0, None)) == DATA


@pytest.mark.parametrize(("start", "end"), [(0, 10), (5000, 9000), (len(DATA) - 1, len(DATA))])
def test_it_gives_any_part(source: Source, start: int, end: int) -> None:
    assert rest(source.open(only(source), start, end)) == DATA[start:end]


def test_parts_can_be_read_side_by_side(source: Source) -> None:
    file = only(source)
    with source.open(file, 0, 100) as one, source.open(file, 100, 200) as two:
        a, b = memoryview(bytearray(100)), memoryview(bytearray(100))
        assert two.readinto(b)
        assert one.readinto(a)
        assert bytes(b[:1]) == DATA[100:101]


def test_the_version_at_hand_is_not_listed_again(source: Source) -> None:
    stamp = listed(source).stamp
    assert source.resolve(stamp) is None


def test_a_new_version_is_listed(source: Source, world: World) -> None:
    stamp = listed(source).stamp
    world.write(DATA[::-1])
    listing = source.resolve(stamp)
    assert listing is not None
    assert listing.stamp != stamp


def test_a_part_of_another_version_is_never_given(source: Source, world: World) -> None:
    file = only(source)
    world.write(DATA[::-1])
    with pytest.raises(Changed):
        rest(source.open(file, 5000, 6000))


def test_a_whole_file_of_another_version_is_never_given(source: Source, world: World) -> None:
    file = only(source)
    source.close()  # the answer to resolve() was that version's
    world.write(DATA[::-1])
    with pytest.raises(Changed):
        rest(source.open(file, 0, None))


def test_a_file_that_went_away_is_never_taken_for_the_same(source: Source, world: World) -> None:
    file = only(source)
    source.close()
    world.remove()
    with pytest.raises(SourceError):
        rest(source.open(file, 0, None))


def test_it_can_be_asked_again_after_it_was_closed(source: Source) -> None:
    source.resolve()
    source.close()
    assert rest(source.open(only(source), 0, None)) == DATA


def test_an_abort_ends_a_transfer(source: Source) -> None:
    with source.open(only(source), 0, None) as transfer:
        buffer = memoryview(bytearray(10))
        assert transfer.readinto(buffer)
        transfer.abort()


def test_what_the_origin_says_of_the_bytes_is_true(source: Source) -> None:
    for said in only(source).digests:
        assert hashlib.new(said.algorithm, DATA).hexdigest() == said.hex


def test_an_empty_file_is_a_file(source: Source, world: World) -> None:
    world.write(b"")
    file = only(source)
    assert file.size == 0
    assert rest(source.open(file, 0, None)) == b""


def test_what_is_not_there_is_a_clear_error(source: Source, world: World) -> None:
    world.remove()
    with pytest.raises(SourceError, match=r"Check the card|check the URI"):
        source.resolve()


@pytest.mark.parametrize("world", ["file", "http", "s3"], indirect=True)
def test_a_digest_beside_the_file_is_found(source: Source, world: World) -> None:
    file = only(source)
    assert source.sidecar(file) is None
    value = hashlib.sha256(DATA).hexdigest()
    world.beside(f"{value}  a.bin\n")
    found = source.sidecar(file)
    assert found is not None
    assert found.hex == value


def test_the_kernel_copies_between_files_where_it_can(tmp_path: Path) -> None:
    world = FileWorld(tmp_path)
    world.write(DATA)
    source = source_of(Wanted("model", world.uri), limits(), Policy(file_roots=None))
    target = os.open(tmp_path / "copy", os.O_RDWR | os.O_CREAT)
    with source.open(only(source), 0, None) as transfer:
        while transfer.copy_to(target, 1 << 20):
            pass
        assert os.pread(target, 1 << 20, 0) in {DATA, b""}  # empty where the file system can't
    os.close(target)
