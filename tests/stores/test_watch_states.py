"""Half-written files, bad files, polled stores and roots that can't be trusted."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from resolverd.cards.store import Store
from resolverd.stores import tracked
from resolverd.stores.settings import WatchSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stores.conftest import Watching

POLLING = WatchSettings(poll_interval=0.05)


def polled(root: Path) -> Store:
    return Store(f"path:{root}", str(root), poll=True)


async def test_a_truncated_write_is_reported_when_it_is_complete(
    root: Path, watching: Watching
) -> None:
    card = root / "a.yaml"
    card.write_bytes(b"old")
    async with watching(root) as seen:
        with card.open("wb", buffering=0) as stream:
            stream.write(b"ha")
            await anyio.sleep(0.2)
            stream.write(b"lf")
            await anyio.sleep(0.2)
            assert seen.files[str(card)] == b"old"
        await seen.has(card, b"half")
        assert b"ha" not in seen.history
        assert b"" not in seen.history


async def test_a_new_file_is_reported_when_its_writer_closes_it(
    root: Path, watching: Watching
) -> None:
    async with watching(root) as seen:
        for number in range(30):
            with (root / f"{number}.yaml").open("wb", buffering=0) as stream:
                await anyio.sleep(0.004)
                stream.write(b"first half, ")
                await anyio.sleep(0.004)
                stream.write(b"second half")
        await seen.until(lambda: len(seen.files) == 30)
        assert set(seen.history) == {b"first half, second half"}


async def test_a_writer_that_never_closes_is_waited_for_no_longer_than_the_patience(
    root: Path, watching: Watching
) -> None:
    card = root / "a.yaml"
    card.write_bytes(b"old")
    settings = WatchSettings(scan_interval=60, patience=0.3)
    async with watching(root, settings=settings) as seen:
        with card.open("wb", buffering=0) as stream:
            stream.write(b"never closed")
            start = time.monotonic()
            await seen.has(card, b"never closed")
            assert time.monotonic() - start >= 0.25


async def test_no_reader_ever_sees_part_of_a_quick_in_place_write(
    root: Path, watching: Watching
) -> None:
    card = root / "a.yaml"
    whole = [bytes([65 + number]) * 200_000 for number in range(26)]
    card.write_bytes(whole[0])
    async with watching(root, settings=WatchSettings(scan_interval=0.02)) as seen:
        done = threading.Event()

        def write() -> None:
            for _ in range(8):
                for data in whole:
                    card.write_bytes(data)
                    time.sleep(0.001)
            done.set()

        threading.Thread(target=write).start()
        await seen.until(done.is_set, 30)
        await seen.has(card, whole[-1])
        assert len(seen.history) > 2
        assert set(seen.history) <= set(whole)


async def test_what_is_no_regular_file_is_an_error_and_blocks_nothing(
    root: Path, watching: Watching
) -> None:
    os.mkfifo(root / "pipe.yaml")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket.yaml"))
        (root / "loop.yaml").symlink_to("loop.yaml")
        (root / "nowhere.yaml").symlink_to("missing.yaml")
        (root / "null.yaml").symlink_to("/dev/null")
        (root / "a.yaml").write_bytes(b"a")
        async with watching(root) as seen:
            assert seen.files == {str(root / "a.yaml"): b"a"}
            words = {Path(path).name: error for path, error in seen.errors.items()}
            assert "FIFO" in words["pipe.yaml"]
            assert "socket" in words["socket.yaml"]
            assert "character device" in words["null.yaml"]
            assert "symbolic links" in words["loop.yaml"]
            assert "nowhere.yaml" not in words
            (root / "pipe.yaml").unlink()
            (root / "pipe.yaml").write_bytes(b"now a file")
            await seen.has(root / "pipe.yaml", b"now a file")
            assert str(root / "pipe.yaml") not in seen.errors


async def test_a_lasting_error_is_reported_once(root: Path, watching: Watching) -> None:
    os.mkfifo(root / "pipe.yaml")
    async with watching(root, settings=WatchSettings(scan_interval=0.02)) as seen:
        await seen.until(lambda: seen.status.stores[f"path:{root}"].scans > 10)
        assert len(seen.calls) == 1


async def test_a_huge_file_is_refused_until_it_is_small(root: Path, watching: Watching) -> None:
    card = root / "a.yaml"
    card.write_bytes(b"x" * 5000)
    settings = WatchSettings(scan_interval=60, max_file_bytes=4096)
    async with watching(root, settings=settings) as seen:
        assert "larger than 4 KiB" in seen.errors[str(card)]
        card.write_bytes(b"x" * 4096)
        await seen.has(card, b"x" * 4096)


async def test_links_to_directories_are_not_followed(root: Path, watching: Watching) -> None:
    (root / "up").symlink_to("..")
    (root / "usr").symlink_to("/usr")
    (root / "a.yaml").write_bytes(b"a")
    async with watching(root) as seen:
        assert list(seen.files) == [str(root / "a.yaml")]
        assert seen.status.watched_directories < 10


async def test_a_file_rewritten_with_the_same_size_and_time_is_noticed(
    root: Path, watching: Watching, settle: Callable[[Path], None]
) -> None:
    card = root / "a.yaml"
    card.write_bytes(b"one")
    settle(card)
    async with watching(polled(root), settings=POLLING) as seen:
        await seen.until(lambda: seen.stamps[str(card)] is not None)
        times = os.stat(card)
        card.write_bytes(b"two")
        os.utime(card, ns=(times.st_atime_ns, times.st_mtime_ns))
        await seen.has(card, b"two")


async def test_a_polled_store_sees_a_time_that_goes_backwards(
    root: Path, watching: Watching
) -> None:
    card = root / "a.yaml"
    card.write_bytes(b"new")
    async with watching(polled(root), settings=POLLING) as seen:
        assert seen.status.stores[f"path:{root}"].polled
        assert seen.status.watched_directories == 0
        other = root / "b"
        other.write_bytes(b"old")
        os.utime(other, (1, 1))
        os.replace(other, card)
        await seen.has(card, b"old")
        card.unlink()
        await seen.lacks(card)


async def test_a_file_read_within_the_clock_grain_is_read_again(
    root: Path, watching: Watching
) -> None:
    card = root / "a.yaml"
    async with watching(polled(root), settings=POLLING) as seen:
        card.write_bytes(b"a")
        await seen.has(card, b"a")
        await seen.until(lambda: seen.stamps[str(card)] is not None)
        assert seen.stamps[str(card)] == (
            (found := os.stat(card)).st_mtime_ns,
            found.st_ctime_ns,
            1,
            found.st_ino,
        )
        settled = len(seen.calls)
        scans = seen.status.stores[f"path:{root}"].scans
        await seen.until(lambda: seen.status.stores[f"path:{root}"].scans > scans + 3)
        assert len(seen.calls) == settled


async def test_an_empty_root_on_another_file_system_keeps_the_cards(
    root: Path, watching: Watching
) -> None:
    card = root / "a.yaml"
    card.write_bytes(b"a")
    async with watching(root, eyes=False) as seen:
        device = seen.calls[0][0].device
        stamps = {str(card): os.stat(card)}
    assert device is not None
    card.unlink()
    known = {f"path:{root}": dict.fromkeys(stamps, (1, 2, 3, 4))}
    devices = {f"path:{root}": device + 1}
    async with watching(root, known=known, devices=devices, seen=seen) as seen:
        assert seen.state == "empty-mount"
        assert seen.files == {str(card): b"a"}
        card.write_bytes(b"mounted")
        await seen.has(card, b"mounted")
        assert seen.state == "ok"
    card.unlink()
    async with watching(root, known=known, devices={f"path:{root}": device}) as seen:
        assert seen.state == "ok"


async def test_a_store_that_does_not_answer_delays_no_other(
    tmp_path: Path, root: Path, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a.yaml").write_bytes(b"a")
    stuck = tmp_path / "stuck"
    stuck.mkdir()
    (stuck / "s.yaml").write_bytes(b"s")
    release = threading.Event()
    resolve = tracked.resolve

    def hang(store: Store) -> object:
        if store.location == str(stuck):
            release.wait(20)
        return resolve(store)

    # a hanging server can't be had here, so its system calls hang in the test's hands
    monkeypatch.setattr(tracked, "resolve", hang)
    settings = WatchSettings(scan_interval=60, start_patience=0.2)
    try:
        async with watching(root, stuck, settings=settings, eyes=False) as seen:
            states = {change.source: change.state for change in seen.calls[0]}
            assert states == {f"path:{root}": "ok", f"path:{stuck}": "error"}
            (root / "a.yaml").write_bytes(b"changed")
            await seen.has(root / "a.yaml", b"changed")
            release.set()
            await seen.has(stuck / "s.yaml", b"s")
    finally:
        release.set()
