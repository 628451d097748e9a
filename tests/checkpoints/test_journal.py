from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resolverd.checkpoints.transfer import journal
from resolverd.checkpoints.transfer.journal import Journal, Pin

PIN = Pin("a.bin", 'etag:"1"', 1000)


def written(path: Path, *steps: tuple[tuple[int, int], ...]) -> str:
    log = Journal(str(path), PIN)
    for ranges in steps:
        log.record(ranges)
    log.close()
    return str(path)


def test_what_was_recorded_is_there_after_a_restart(tmp_path: Path) -> None:
    path = written(tmp_path / "j", ((0, 10),), ((0, 10), (50, 60)))
    assert journal.read(path) == (PIN, ((0, 10), (50, 60)))
    again = Journal(path, PIN)
    assert again.ranges == ((0, 10), (50, 60))
    again.close()


def test_another_version_at_the_origin_starts_over(tmp_path: Path) -> None:
    path = written(tmp_path / "j", ((0, 10),))
    again = Journal(path, Pin("a.bin", 'etag:"2"', 1000))
    assert again.ranges == ()
    again.close()
    assert journal.read(path)[1] == ()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(data=st.data())
def test_a_torn_write_loses_the_last_line_at_most(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "j"
    path.unlink(missing_ok=True)
    steps = [((0, 10),), ((0, 20),), ((0, 30), (40, 50))]
    written(path, *steps)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    cut = data.draw(st.integers(first, len(whole)))
    path.write_bytes(whole[:cut] + data.draw(st.binary(max_size=5)).replace(b"\n", b""))
    pin, ranges = journal.read(str(path))
    assert pin == PIN
    # A line counts from the moment its last byte is there; the newline itself adds nothing.
    lines = whole[:cut].count(b"\n") - 1
    assert ranges in [((), *steps)[lines], ((), *steps, None)[min(lines + 1, 3)]]


@pytest.mark.parametrize("content", [b"", b"nonsense\n", b"00000000 {}\n", b"\xff\xfe"])
def test_a_damaged_journal_vouches_for_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "j").write_bytes(content)
    assert journal.read(str(tmp_path / "j")) == (None, ())


def test_a_long_journal_is_made_short_again(tmp_path: Path) -> None:
    log = Journal(str(tmp_path / "j"), PIN)
    ranges = tuple((at, at + 1) for at in range(0, 1000, 5))
    for _ in range(100):
        log.record(ranges)
    log.close()
    assert (tmp_path / "j").stat().st_size < 1 << 17
    assert journal.read(str(tmp_path / "j")) == (PIN, ranges)
