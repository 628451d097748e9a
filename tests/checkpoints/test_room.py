"""Room in the cache: claimed before it is used, made by eviction, refused with figures."""

from __future__ import annotations

import io
import os
import threading
import time
import zipfile
from pathlib import Path

import pytest

from resolverd.checkpoints import disk, leases
from resolverd.checkpoints.asset.manifest import Manifest
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.faults import Cancelled
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.space.eviction import BLOCK
from resolverd.checkpoints.space.room import Room
from resolverd.checkpoints.transfer.journal import Journal, Pin
from resolverd.errors import CacheError, SourceError
from tests.checkpoints.conftest import Bench, limits
from tests.checkpoints.origin import Origin

SIZE = 25 * BLOCK


def small(tmp_path: Path, blocks: int, **changes: object) -> Bench:
    return Bench(tmp_path / "cache", limits(max_bytes=blocks * BLOCK, **changes))


def offer(origin: Origin, name: str, size: int = SIZE) -> str:
    origin.put(f"/{name}", os.urandom(size))
    return origin.url(f"/{name}")


def age(bench: Bench, manifest: Manifest, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(bench.layout.lock(manifest.key), (then, then))


def there(bench: Bench, *manifests: Manifest) -> list[bool]:
    return [os.path.isdir(bench.layout.object(manifest.key)) for manifest in manifests]


def zipped(sizes: dict[str, int]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, size in sizes.items():
            archive.writestr(name, bytes(size))
    return held.getvalue()


def test_what_an_archive_unpacks_to_is_claimed_before_it_is_unpacked(
    origin: Origin, tmp_path: Path
) -> None:
    bench = small(tmp_path, 30)
    old = bench.fetch(offer(origin, "old"))
    origin.put("/a.zip", zipped({f"{number}.bin": 2 * BLOCK + 1 for number in range(7)}))
    unpacked = bench.fetch(origin.url("/a.zip"))
    assert there(bench, old, unpacked) == [False, True]
    origin.put("/b.zip", zipped({f"{number}.bin": 2 * BLOCK + 1 for number in range(10)}))
    with pytest.raises(CacheError, match="no room"):
        bench.fetch(origin.url("/b.zip"))
    assert bench.layout.tree("") not in bench.partial()


def test_a_bomb_evicts_nothing(origin: Origin, tmp_path: Path) -> None:
    bench = small(tmp_path, 60, archive_ratio=0)
    old = bench.fetch(offer(origin, "old"))
    origin.put("/bomb.zip", zipped({"a": 80 << 20}))
    with pytest.raises(SourceError, match="more than is allowed"):
        bench.fetch(origin.url("/bomb.zip"))
    assert there(bench, old) == [True]


def test_the_free_room_that_must_stay_is_kept_by_eviction(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "cache", limits(min_free_bytes=20 * BLOCK))

    def free(layout: Layout) -> int:
        return 60 * BLOCK - disk.allocated(layout.folder("objects"))

    monkeypatch.setattr(disk, "free_bytes", free)
    one = bench.fetch(offer(origin, "one"))
    age(bench, one, 100)
    two = bench.fetch(offer(origin, "two"))
    assert there(bench, one, two) == [False, True]
    with pytest.raises(CacheError, match=r"lower cache\.min_free_bytes"):
        bench.fetch(offer(origin, "huge", 41 * BLOCK))
    assert there(bench, two) == [True]


def idle() -> Job:
    return Job(lambda *_: None)


def bounded(tmp_path: Path, blocks: int) -> Room:
    layout = Layout(str(tmp_path))
    disk.prepare(layout)
    return Room(layout, Limits(max_bytes=blocks * BLOCK, min_free_bytes=0))


def test_two_downloads_cannot_count_on_the_same_room_so_one_waits(tmp_path: Path) -> None:
    room, told = bounded(tmp_path, 10), []
    waits = threading.Event()

    def second() -> None:
        def tell(step: str, *_: object) -> None:
            told.append(step)
            if step == "waiting":
                waits.set()

        with room.working("b"):
            room.claim("b", 6 * BLOCK, Job(tell))

    thread = threading.Thread(target=second)
    with room.working("a"):
        room.claim("a", 6 * BLOCK, idle())
        thread.start()
        assert waits.wait(30)
        assert thread.is_alive()
    thread.join(30)
    assert told == ["waiting", "connecting"]


def test_who_waits_for_room_can_leave(tmp_path: Path) -> None:
    room = bounded(tmp_path, 10)
    job = Job(lambda step, *_: job.stop() if step == "waiting" else None)
    with room.working("a"), room.working("b"):
        room.claim("a", 6 * BLOCK, idle())
        with pytest.raises(Cancelled):
            room.claim("b", 6 * BLOCK, job)


def test_downloads_never_all_wait_for_each_other(tmp_path: Path) -> None:
    room, fates = bounded(tmp_path, 10), []
    begun = threading.Barrier(2)

    def grow(asset: str) -> None:
        with room.working(asset):
            room.claim(asset, 4 * BLOCK, idle())
            begun.wait(30)
            try:
                room.claim(asset, 7 * BLOCK, idle(), grows=True)
                fates.append("grown")
            except CacheError:
                fates.append("refused")

    threads = [threading.Thread(target=grow, args=(asset,)) for asset in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(fates) == ["grown", "refused"]


def test_a_download_that_nobody_waits_for_gives_way_to_one_that_is_wanted(
    origin: Origin, tmp_path: Path
) -> None:
    bench = small(tmp_path, 30)
    partial = bench.layout.partial("f" * 24)
    disk.prepare(bench.layout)
    os.mkdir(partial)
    Path(partial, "data-x").write_bytes(bytes(SIZE))
    bench.fetch(offer(origin, "wanted"))
    assert not os.path.exists(partial)


def test_quarantine_counts_and_goes_before_anything_that_is_served(
    origin: Origin, tmp_path: Path
) -> None:
    bench = small(tmp_path, 60)
    rotten = bench.fetch(offer(origin, "rotten"))
    good = bench.fetch(offer(origin, "good"))
    age(bench, good, 10_000)
    disk.withdraw(bench.layout, rotten, "rot", bench.limits)
    new = bench.fetch(offer(origin, "new"))
    assert there(bench, good, new) == [True, True]
    assert os.listdir(bench.layout.folder("quarantine")) == []


def test_quarantine_is_bounded_in_bytes_the_oldest_giving_way(
    origin: Origin, tmp_path: Path
) -> None:
    bench = Bench(tmp_path / "cache", limits(quarantine_bytes=2 * SIZE + 2 * BLOCK))
    for name in ("a", "b", "c"):
        disk.withdraw(bench.layout, bench.fetch(offer(origin, name)), name, bench.limits)
    reasons = sorted(bench.root.glob("quarantine/*/report.json"))
    assert ['"b"' in reasons[0].read_text(), '"c"' in reasons[1].read_text()] == [True, True]
    assert len(reasons) == 2


def test_of_a_file_too_large_for_quarantine_the_report_stays(
    origin: Origin, tmp_path: Path
) -> None:
    bench = Bench(tmp_path / "cache", limits(quarantine_bytes=SIZE - 1))
    disk.withdraw(bench.layout, bench.fetch(offer(origin, "a")), "rot", bench.limits)
    (kept,) = bench.root.glob("quarantine/*/*")
    assert kept.name == "report.json"


def test_a_refresh_never_costs_the_version_at_hand(origin: Origin, tmp_path: Path) -> None:
    bench = small(tmp_path, 40)
    url = offer(origin, "a")
    old = bench.fetch(url)
    offer(origin, "a")
    with pytest.raises(CacheError, match="being fetched or verified"):
        bench.fetch(url, refresh=True)
    assert there(bench, old) == [True]


def test_what_cannot_be_resumed_is_gone_when_its_download_ends(
    origin: Origin, tmp_path: Path
) -> None:
    bench = small(tmp_path, 10)
    origin.put("/endless", bytes(SIZE), chunked=True, etag=None)
    with pytest.raises(CacheError, match="no room"):
        bench.fetch(origin.url("/endless"))
    assert bench.partial() == []


def test_a_stale_download_is_forgotten_while_the_daemon_runs(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path))
    disk.prepare(layout)
    for asset, days in (("old", 8), ("young", 6)):
        os.mkdir(layout.partial(asset))
        Path(layout.data(asset, "x")).write_bytes(bytes(50))
        Journal(layout.journal(asset, "x"), Pin("x", "1", 100)).close()
        then = time.time() - days * 86400
        os.utime(layout.journal(asset, "x"), (then, then))
    Room(layout, Limits()).fit()
    assert disk.partials(layout) == ["young"]


def test_what_versions_share_counts_once_and_for_the_current_one(
    origin: Origin, tmp_path: Path
) -> None:
    bench = small(tmp_path, 1000)
    url = offer(origin, "a")
    old = bench.fetch(url)
    offer(origin, "a")
    new = bench.fetch(url, refresh=True)
    shared = bench.path(old)
    os.unlink(shared)
    os.link(bench.path(new), shared)
    sizes = {item.name: item.size for item in disk.inventory(bench.layout)}
    assert sizes == {new.key: SIZE, old.key: 0}
    room = Room(bench.layout, bench.limits)
    leased = leases.take(bench.layout.lock(old.key))
    room.collect(0, dry_run=False)
    os.close(leased)
    assert there(bench, old, new) == [True, False]
    (left,) = disk.inventory(bench.layout)
    assert left.size == room._used() == SIZE


def test_what_is_kept_at_hand_of_an_object_does_not_count_for_its_download(
    origin: Origin, tmp_path: Path
) -> None:
    bench = small(tmp_path, 1000)
    manifest = bench.fetch(offer(origin, "a"))
    folder = bench.layout.partial(manifest.asset)
    os.mkdir(folder)
    os.link(bench.path(manifest), bench.layout.kept(manifest.asset, "a"))
    Path(folder, "data-b").write_bytes(bytes(BLOCK))
    sizes = {item.kind: item.size for item in disk.inventory(bench.layout)}
    assert sizes == {"object": SIZE, "partial": BLOCK}


# -- last use


def test_a_use_is_noted_once_a_minute(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    os.utime(lock, (1000.0, 1000.0))
    for now, noted in ((1030.0, 1000.0), (1060.0, 1060.0), (1119.0, 1060.0), (1500.0, 1500.0)):
        leases.touch(str(lock), now)
        assert lock.stat().st_mtime == noted
    leases.touch(str(lock), 900.0)  # the clock was wrong, and is set right
    assert lock.stat().st_mtime == 900.0
    leases.touch(str(tmp_path / "gone"), 1.0)


def test_who_asks_for_a_lease_waits_for_one_who_only_looks(tmp_path: Path) -> None:
    lock = str(tmp_path / "lock")
    leases.make(lock)
    looking = leases.exclude(lock)
    assert looking is not None
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.append(leases.take(lock, patience=30)))
    thread.start()
    os.close(looking)
    thread.join(30)
    assert leases.held(lock)
    os.close(taken[0])
    assert not leases.held(lock)


# -- damaged manifests


def test_an_object_whose_manifest_is_damaged_is_not_served_and_set_aside_at_the_next_start(
    origin: Origin, bench: Bench
) -> None:
    manifest = bench.fetch(offer(origin, "a"))
    Path(bench.layout.manifest(manifest.key)).write_bytes(b'{"format": 1, "key"')
    assert disk.current(bench.layout, manifest.asset) is None
    held = leases.take(bench.layout.lock(manifest.key))
    disk.sweep(bench.layout, bench.limits, time.time())
    assert there(bench, manifest) == [True]  # somebody reads it
    os.close(held)
    disk.sweep(bench.layout, bench.limits, time.time())
    assert there(bench, manifest) == [False]
    (report,) = bench.root.glob("quarantine/*/report.json")
    assert "manifest is missing or damaged" in report.read_text()
    assert bench.visible() == set()


def test_an_object_of_another_format_is_left_to_the_version_that_knows_it(
    origin: Origin, bench: Bench
) -> None:
    manifest = bench.fetch(offer(origin, "a"))
    Path(bench.layout.manifest(manifest.key)).write_bytes(b'{"format": 999}')
    disk.sweep(bench.layout, bench.limits, time.time())
    assert there(bench, manifest) == [True]
    assert disk.current(bench.layout, manifest.asset) is None
