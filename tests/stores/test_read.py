"""Reading one file, settled or not."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

from resolverd.cards.file import FileRead, Stamp
from resolverd.stores.read import Unsettled, Wish, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def settled(wish: Wish) -> FileRead:
    outcome = read(wish)
    assert isinstance(outcome, FileRead)
    return outcome


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert read(Wish(str(tmp_path / "absent.yaml"))) is None


def test_an_empty_file_is_read(tmp_path: Path, settle: Callable[[Path], None]) -> None:
    (tmp_path / "a.yaml").touch()
    settle(tmp_path / "a.yaml")
    assert settled(Wish(str(tmp_path / "a.yaml"))).data == b""


def test_a_stamp_is_given_only_when_no_later_version_can_have_it(
    tmp_path: Path, settle: Callable[[Path], None]
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a")
    assert settled(Wish(str(path))).stamp is None
    settle(path)
    assert settled(Wish(str(path))).stamp is not None


def test_a_file_open_for_writing_is_unsettled_until_patience_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with path.open("wb", buffering=0) as stream:
        stream.write(b"half")
        pending = read(Wish(str(path)))
        assert isinstance(pending, Unsettled)
        assert isinstance(read(Wish(str(path), pending=pending)), Unsettled)
        assert settled(Wish(str(path), pending=pending, patience=0.0)).data == b"half"


def test_on_a_remote_file_system_a_changed_file_must_stand_still(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a")
    wish = Wish(str(path), changed=True, local=False)
    pending = read(wish)
    assert isinstance(pending, Unsettled)
    early = Unsettled(pending.first, pending.stamp, pending.since - 10)
    again = Wish(str(path), changed=True, local=False, pending=early, patience=1000)
    assert settled(again).data == b"a"
    other = Unsettled(pending.first, Stamp(0, 0, 0, 0), pending.since - 10)
    moved = Wish(str(path), changed=True, local=False, pending=other, patience=1000)
    assert isinstance(read(moved), Unsettled)


def test_a_special_file_is_passed_over_where_asked(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "FIFO" in (settled(Wish(str(tmp_path / "pipe.yaml"))).error or "")
    assert read(Wish(str(tmp_path / "pipe.yaml"), special=False)) is None


def test_writers_that_come_while_a_file_is_read_raise_no_deadly_signal(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"x" * 1_000_000)
    assert signal.getsignal(signal.SIGIO) == signal.SIG_DFL  # which would end this process
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            path.write_bytes(b"y" * 1_000_000)

    writer = threading.Thread(target=write)
    writer.start()
    outcomes = [read(Wish(str(path))) for _ in range(300)]
    stop.set()
    writer.join()
    reads = [one for one in outcomes if isinstance(one, FileRead)]
    assert {len(one.data or b"") for one in reads} <= {1_000_000}
