"""Every way a file changes on a local disk, through real events."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from resolverd.cards.file import Stamp, StoreChange
from resolverd.cards.store import Store
from resolverd.errors import StoreError
from resolverd.stores.settings import WatchSettings
from resolverd.stores.watch import watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.stores.conftest import Watching


async def test_the_first_report_is_complete_and_holds_all_stores(
    tmp_path: Path, watching: Watching
) -> None:
    one, two, absent = tmp_path / "one", tmp_path / "two", tmp_path / "absent"
    for place in (one, two):
        place.mkdir()
        (place / "a.yaml").write_bytes(b"a")
    async with watching(one, two, absent) as seen:
        first = seen.calls[0]
        assert [change.state for change in first] == ["ok", "ok", "missing"]
        assert [change.complete for change in first] == [True, True, False]
        assert seen.files == {str(one / "a.yaml"): b"a", str(two / "a.yaml"): b"a"}


async def test_known_files_are_not_read_again(
    root: Path, watching: Watching, settle: Callable[[Path], None]
) -> None:
    card = root / "a.yaml"
    card.write_bytes(b"a")
    settle(card)
    async with watching(root, eyes=False) as seen:
        stamp = seen.stamps[str(card)]
        assert isinstance(stamp, Stamp)
    async with watching(root, known={f"path:{root}": {str(card): stamp}}, seen=seen):
        change = seen.calls[-1][0]
        assert change.complete
        assert change.kept == {str(card)}
        assert not change.reads


async def test_what_changed_while_nobody_watched_is_in_the_first_report(
    root: Path, watching: Watching
) -> None:
    (root / "new.yaml").write_bytes(b"new")
    old = Stamp(1, 2, 3, 4)
    known = {f"path:{root}": {str(root / "new.yaml"): old, str(root / "gone.yaml"): old}}
    async with watching(root, known=known) as seen:
        change = seen.calls[0][0]
        assert [read.path for read in change.reads] == [str(root / "new.yaml")]
        assert not change.kept


async def test_an_in_place_write_is_seen(root: Path, watching: Watching) -> None:
    card = root / "a.yaml"
    card.write_bytes(b"old")
    async with watching(root) as seen:
        card.write_bytes(b"new")
        await seen.has(card, b"new")


async def test_a_rename_over_a_file_is_seen(root: Path, watching: Watching) -> None:
    card = root / "a.yaml"
    card.write_bytes(b"old")
    async with watching(root) as seen:
        (root / ".a.tmp").write_bytes(b"new")
        os.replace(root / ".a.tmp", card)
        await seen.has(card, b"new")


async def test_a_new_file_and_its_deletion_are_seen(root: Path, watching: Watching) -> None:
    card = root / "a.yml"
    async with watching(root) as seen:
        card.write_bytes(b"a")
        await seen.has(card, b"a")
        card.unlink()
        await seen.lacks(card)


async def test_a_file_in_directories_made_with_it_is_seen(root: Path, watching: Watching) -> None:
    async with watching(root) as seen:
        for number in range(20):
            card = root / f"n{number}" / "a" / "b" / "c" / "x.yaml"
            card.parent.mkdir(parents=True)
            card.write_bytes(b"x")
            await seen.has(card, b"x")
            card.write_bytes(b"again")
            await seen.has(card, b"again")


async def test_a_renamed_file_and_a_renamed_directory_move(root: Path, watching: Watching) -> None:
    (root / "d" / "e").mkdir(parents=True)
    (root / "a.yaml").write_bytes(b"a")
    (root / "d" / "e" / "x.yaml").write_bytes(b"x")
    async with watching(root) as seen:
        os.rename(root / "a.yaml", root / "b.yaml")
        await seen.has(root / "b.yaml", b"a")
        await seen.lacks(root / "a.yaml")
        os.rename(root / "d", root / "f")
        await seen.has(root / "f" / "e" / "x.yaml", b"x")
        await seen.lacks(root / "d" / "e" / "x.yaml")
        (root / "f" / "e" / "x.yaml").write_bytes(b"watched there, too")
        await seen.has(root / "f" / "e" / "x.yaml", b"watched there, too")


async def test_a_directory_removed_and_made_again_is_watched_again(
    root: Path, watching: Watching
) -> None:
    card = root / "d" / "a.yaml"
    async with watching(root) as seen:
        for number in range(10):
            card.parent.mkdir()
            card.write_bytes(b"%d" % number)
            await seen.has(card, b"%d" % number)
            card.write_bytes(b"%d more" % number)
            await seen.has(card, b"%d more" % number)
            card.unlink()
            card.parent.rmdir()
            await seen.lacks(card)


async def test_a_file_that_becomes_a_directory_is_replaced_by_what_is_in_it(
    root: Path, watching: Watching
) -> None:
    card = root / "a.yaml"
    card.write_bytes(b"file")
    async with watching(root) as seen:
        card.unlink()
        card.mkdir()
        (card / "b.yaml").write_bytes(b"inner")
        await seen.has(card / "b.yaml", b"inner")
        await seen.lacks(card)


async def test_a_removed_root_keeps_its_cards_and_a_recreated_one_reports_completely(
    root: Path, watching: Watching
) -> None:
    card = root / "a.yaml"
    async with watching(root) as seen:
        for number in range(5):
            os.rmdir(root)
            await seen.until(lambda: seen.state == "missing")
            os.mkdir(root)
            card.write_bytes(b"%d" % number)
            await seen.has(card, b"%d" % number)
            assert seen.state == "ok"
            card.write_bytes(b"watched again")
            await seen.has(card, b"watched again")
            card.unlink()
            await seen.lacks(card)


async def test_a_root_that_was_missing_at_start_is_seen_when_it_appears(
    tmp_path: Path, watching: Watching
) -> None:
    root = tmp_path / "not" / "yet" / "there"
    async with watching(root) as seen:
        assert seen.state == "missing"
        root.mkdir(parents=True)
        (root / "a.yaml").write_bytes(b"a")
        await seen.has(root / "a.yaml", b"a")


async def test_a_root_renamed_away_keeps_its_cards_until_another_takes_its_place(
    root: Path, watching: Watching
) -> None:
    (root / "a.yaml").write_bytes(b"a")
    other = root.parent / "other"
    other.mkdir()
    (other / "b.yaml").write_bytes(b"b")
    async with watching(root) as seen:
        os.rename(root, root.parent / "away")
        await seen.until(lambda: seen.state == "missing")
        assert seen.files == {str(root / "a.yaml"): b"a"}
        os.rename(other, root)
        await seen.has(root / "b.yaml", b"b")
        assert seen.files == {str(root / "b.yaml"): b"b"}
        (root / "b.yaml").write_bytes(b"watched")
        await seen.has(root / "b.yaml", b"watched")


async def test_a_root_swapped_at_once_is_reported_completely(
    root: Path, watching: Watching
) -> None:
    (root / "a.yaml").write_bytes(b"a")
    other = root.parent / "other"
    other.mkdir()
    (other / "b.yaml").write_bytes(b"b")
    async with watching(root) as seen:
        os.rename(root, root.parent / "away")
        os.rename(other, root)
        await seen.has(root / "b.yaml", b"b")
        await seen.lacks(root / "a.yaml")


async def test_a_root_renamed_away_and_back_is_ok_again(root: Path, watching: Watching) -> None:
    (root / "a.yaml").write_bytes(b"a")
    async with watching(root) as seen:
        os.rename(root, root.parent / "away")
        await seen.until(lambda: seen.state == "missing")
        os.rename(root.parent / "away", root)
        await seen.until(lambda: seen.state == "ok")
        assert seen.files == {str(root / "a.yaml"): b"a"}


async def test_a_retargeted_symlink_root_is_followed(tmp_path: Path, watching: Watching) -> None:
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.yaml").write_bytes(name.encode())
    link = tmp_path / "link"
    link.symlink_to("v1")
    async with watching(link) as seen:
        assert seen.files == {str(tmp_path / "v1" / "a.yaml"): b"v1"}
        (tmp_path / "new").symlink_to("v2")
        os.replace(tmp_path / "new", link)
        await seen.has(tmp_path / "v2" / "a.yaml", b"v2")
        await seen.lacks(tmp_path / "v1" / "a.yaml")
        (tmp_path / "v2" / "a.yaml").write_bytes(b"watched")
        await seen.has(tmp_path / "v2" / "a.yaml", b"watched")


async def test_a_symlink_in_the_middle_of_the_root_is_followed(
    tmp_path: Path, watching: Watching
) -> None:
    for name in ("v1", "v2"):
        (tmp_path / name / "cards").mkdir(parents=True)
        (tmp_path / name / "cards" / "a.yaml").write_bytes(name.encode())
    (tmp_path / "current").symlink_to(tmp_path / "v1")
    async with watching(tmp_path / "current" / "cards") as seen:
        (tmp_path / "current").unlink()
        await seen.until(lambda: seen.state == "missing")
        (tmp_path / "current").symlink_to(tmp_path / "v2")
        await seen.has(tmp_path / "v2" / "cards" / "a.yaml", b"v2")


async def test_a_config_map_swap_inside_the_root_is_seen(root: Path, watching: Watching) -> None:
    for version in ("..v1", "..v2"):
        (root / version).mkdir()
        (root / version / "a.yaml").write_bytes(version.encode())
    (root / "..data").symlink_to("..v1")
    (root / "a.yaml").symlink_to("..data/a.yaml")
    async with watching(root) as seen:
        assert seen.files[str(root / "a.yaml")] == b"..v1"
        (root / "..data_tmp").symlink_to("..v2")
        os.replace(root / "..data_tmp", root / "..data")
        await seen.has(root / "a.yaml", b"..v2")


async def test_a_single_file_store_follows_writes_renames_and_removal(
    tmp_path: Path, watching: Watching
) -> None:
    card = tmp_path / "cards.txt"
    card.write_bytes(b"one")
    async with watching(card) as seen:
        card.write_bytes(b"two")
        await seen.has(card, b"two")
        (tmp_path / "tmp").write_bytes(b"three")
        os.replace(tmp_path / "tmp", card)
        await seen.has(card, b"three")
        card.write_bytes(b"four")
        await seen.has(card, b"four")
        card.unlink()
        await seen.until(lambda: seen.state == "missing")
        card.write_bytes(b"five")
        await seen.has(card, b"five")
        assert seen.state == "ok"


async def test_a_burst_of_files_ends_complete(root: Path, watching: Watching) -> None:
    async with watching(root, settings=WatchSettings(burst=200)) as seen:
        for number in range(3000):
            (root / f"{number}.yaml").write_bytes(b"%d" % number)
        await seen.until(lambda: len(seen.files) == 3000)


async def test_a_change_of_a_symlinked_file_elsewhere_is_found_by_the_scan(
    tmp_path: Path, root: Path, watching: Watching
) -> None:
    target = tmp_path / "elsewhere.yaml"
    target.write_bytes(b"one")
    (root / "a.yaml").symlink_to(target)
    async with watching(root, settings=WatchSettings(scan_interval=0.1)) as seen:
        target.write_bytes(b"two!")
        await seen.has(root / "a.yaml", b"two!")


async def test_a_name_that_is_not_utf8_is_read_and_does_no_harm(
    root: Path, watching: Watching
) -> None:
    odd = root / os.fsdecode(b"caf\xe9.yaml")
    async with watching(root, settings=WatchSettings(scan_interval=0.2)) as seen:
        odd.write_bytes(b"odd")
        await seen.has(odd, b"odd")
        (root / "plain.yaml").write_bytes(b"plain")
        await seen.has(root / "plain.yaml", b"plain")
        odd.unlink()
        await seen.lacks(odd)
        await seen.until(lambda: seen.status.rebuilds >= 2)
        (root / "plain.yaml").write_bytes(b"still")
        await seen.has(root / "plain.yaml", b"still")


async def test_hints_that_arrive_during_a_slow_report_are_gathered(root: Path) -> None:
    calls: list[tuple[StoreChange, ...]] = []
    busy = 0

    async def report(changes: Sequence[StoreChange]) -> None:
        nonlocal busy
        busy += 1
        assert busy == 1, "two reports at a time"
        await anyio.sleep(0.15)
        calls.append(tuple(changes))
        busy -= 1

    async with anyio.create_task_group() as group:
        store = Store(f"path:{root}", str(root))
        group.start_soon(watch, [store], {}, report)
        for number in range(100):
            (root / f"{number}.yaml").write_bytes(b"x")
            await anyio.sleep(0.003)
        deadline = time.monotonic() + 30
        while len({read.path for call in calls for one in call for read in one.reads}) < 100:
            assert time.monotonic() < deadline
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert len(calls) < 15


async def test_one_store_listed_twice_is_refused(root: Path) -> None:
    async def report(_changes: Sequence[StoreChange]) -> None:
        raise AssertionError

    store = Store("path:x", str(root))
    with pytest.raises(StoreError, match="twice"):
        await watch([store, store], {}, report)
