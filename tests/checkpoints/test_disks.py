"""Caches on file systems that are full, fill up, or can't be written: real mounts, as root."""

from __future__ import annotations

import hashlib
import os
import resource as limits_of
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from resolverd.checkpoints import leases
from resolverd.checkpoints.asset.target import Wanted
from resolverd.errors import CacheError, ResolverdError
from tests.checkpoints.conftest import PART, Bench, limits, running
from tests.checkpoints.origin import Origin
from tests.checkpoints.test_archive import zipped
from tests.checkpoints.test_service import content

MIB = 1 << 20
DATA = os.urandom(2 * MIB)
CARD = hashlib.sha256(DATA).hexdigest()


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=4m", "none", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def small(disk: Path) -> Bench:
    return Bench(disk / "cache")


def fill(place: Path, leave: int = 0) -> Path:
    """Take all room of a file system but ``leave`` bytes."""
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    (place / "filler").write_bytes(bytes(max(0, free - leave)))
    return place / "filler"


def test_a_disk_that_is_full_before_is_told_with_figures_and_asks_for_no_byte(
    origin: Origin, small: Bench, disk: Path
) -> None:
    resource = origin.put("/a", DATA)
    assert small.engine
    filler = fill(disk, leave=MIB)
    with pytest.raises(CacheError, match=rf"no room: .*{len(DATA):,}.* free"):
        small.fetch(origin.url("/a"), CARD)
    assert small.visible() == set()
    assert resource.sent <= MIB  # what came with the head of the answer, at most
    filler.unlink()
    assert small.content(small.fetch(origin.url("/a"), CARD)) == DATA


def test_a_body_of_unknown_length_that_fills_the_disk_is_told_and_gives_the_room_back(
    origin: Origin, small: Bench, disk: Path
) -> None:
    origin.put("/a", DATA * 4, ignore_range=True, chunked=True)
    assert small.engine
    free = os.statvfs(disk).f_bavail
    with pytest.raises(CacheError, match=r"no room|Free some room"):
        small.fetch(origin.url("/a"))
    assert small.visible() == set()
    assert free - os.statvfs(disk).f_bavail < 32
    origin.put("/b", DATA)
    assert small.content(small.fetch(origin.url("/b"), CARD)) == DATA


def test_a_disk_that_others_fill_during_a_download_fails_it_and_what_came_is_kept(
    origin: Origin, small: Bench, disk: Path
) -> None:
    """All room for the bytes was taken at first: it is the manifest that finds none."""
    resource = origin.put("/a", DATA)
    small.limits = limits(connections=1, part_bytes=PART, journal_bytes=PART)

    def fill_up(_: object) -> None:
        if len(resource.requests) == 4:
            fill(disk)

    resource.before = fill_up
    with pytest.raises(CacheError, match="Free some room"):
        small.fetch(origin.url("/a"), CARD)
    assert small.visible() == set()
    resource.before = None
    (disk / "filler").unlink()
    assert small.content(small.fetch(origin.url("/a"), CARD)) == DATA
    assert resource.sent <= len(DATA) + 1  # the last byte tells that the version is the same


def test_an_archive_that_does_not_fit_unpacked_is_told_and_leaves_nothing_but_itself(
    origin: Origin, small: Bench
) -> None:
    origin.put("/m.zip", zipped(("a.bin", bytes(6 * MIB))))
    with pytest.raises(CacheError, match="no room"):
        small.fetch(origin.url("/m.zip"))
    assert small.visible() == set()
    assert not any(path.name == "tree" for path in small.root.glob("partial/*/*"))


async def test_a_cache_that_can_only_be_read_serves_what_it_has_and_tells_the_rest(
    origin: Origin, disk: Path
) -> None:
    origin.put("/a", DATA)
    origin.put("/b", DATA)
    first, second = (Wanted("model", origin.url(path)) for path in ("/a", "/b"))
    async with running(disk / "cache") as service:
        await service.ensure(first)
    mount("-o", "remount,ro", str(disk))
    async with running(disk / "cache") as service:
        published = await service.ensure(first)
        assert content(published) == DATA
        held = service.lease(published)
        with pytest.raises(CacheError, match=r"Read-only file system\. .*mount it writable"):
            await service.ensure(second)
        mount("-o", "remount,rw", str(disk))
        assert leases.exclude(str(disk / "cache" / "locks" / published.key)) is None
        os.close(held.fd)
        assert content(await service.ensure(second)) == DATA


async def test_a_worker_out_of_descriptors_says_so_and_goes_on_once_it_has_some(
    origin: Origin, tmp_path: Path
) -> None:
    origin.put("/a", DATA)
    wanted = Wanted("model", origin.url("/a"))
    async with running(tmp_path) as service:
        origin.put("/first", b"x")
        await service.ensure(Wanted("model", origin.url("/first")))
        worker = service.status()["worker"]["pid"]
        most = limits_of.prlimit(worker, limits_of.RLIMIT_NOFILE)
        held = len(os.listdir(f"/proc/{worker}/fd"))
        for spare in range(3):
            limits_of.prlimit(worker, limits_of.RLIMIT_NOFILE, (held + spare, most[1]))
            with pytest.raises(ResolverdError, match=r"Too many open files.*LimitNOFILE"):
                await service.ensure(wanted, force=True)
        limits_of.prlimit(worker, limits_of.RLIMIT_NOFILE, most)
        assert content(await service.ensure(wanted)) == DATA
        assert service.status()["worker"] == {"pid": worker, "restarts": 0}
