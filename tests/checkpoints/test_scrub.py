"""The background verification: what is due, how fast it reads, and whom it makes way for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolverd.checkpoints import disk
from resolverd.checkpoints.faults import Cancelled
from resolverd.checkpoints.space.scrub import Scrub, Unhurried, due
from tests.checkpoints.conftest import Bench, limits
from tests.checkpoints.origin import Origin

times = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 200).map(float))


@given(times, st.integers(0, 200).map(float), st.integers(0, 100).map(float))
def test_the_one_that_waits_longest_is_due_and_none_before_its_time(
    verified: dict[str, float], now: float, period: float
) -> None:
    key = due(verified.items(), now, period)
    waiting = {name for name, then in verified.items() if now - then >= period or then > now}
    if key is None:
        assert not period or not waiting
    else:
        assert key in waiting
        assert verified[key] == min(verified[name] for name in waiting)


class Slow(Unhurried):
    """Waits by moving its clock."""

    def __init__(self, rate: int, busy: list[bool]) -> None:
        self.time = 100.0
        super().__init__(rate, lambda: busy.pop() if busy else False, lambda: self.time)

    def wait(self, seconds: float) -> None:
        self.time += seconds


def test_it_keeps_to_its_rate_and_makes_up_for_no_pause() -> None:
    job = Slow(1000, [])
    for _ in range(50):
        job.check()
        job.advance(100)
    assert job.time == pytest.approx(100 + 4.9)
    job.time += 1000  # the node slept
    for _ in range(50):
        job.check()
        job.advance(100)
    assert job.time >= 1104.9 + 3.8


def test_it_stands_aside_while_others_work() -> None:
    busy = [True] * 10
    job = Slow(1 << 40, busy)
    job.check()
    assert busy == []
    assert job.time == pytest.approx(102.0)


def test_it_ends_when_it_is_stopped() -> None:
    job = Unhurried(1, lambda: True)
    job.stop()
    with pytest.raises(Cancelled):
        job.check()


def test_a_step_hashes_what_is_due_notes_it_and_goes_on_after_a_restart(
    origin: Origin, tmp_path: Path
) -> None:
    bench = Bench(tmp_path / "cache", limits(scrub_seconds=1000.0))
    found = []
    for name, age in (("a", 3000), ("b", 2000), ("c", 10)):
        origin.put(f"/{name}", os.urandom(10_000))
        manifest = bench.fetch(origin.url(f"/{name}"))
        disk.found_right(bench.layout, manifest.key, time.time() - age)
        found.append(manifest)
    a, b, c = found
    suspects: list[str] = []
    path = Path(bench.path(a))
    path.chmod(0o644)
    path.write_bytes(os.urandom(10_000))

    def suspect(key: str) -> None:
        suspects.append(key)
        bench.engine.verify(key, bench.job())

    before = disk.verified_at(bench.layout, c.key)
    Scrub(lambda: False, suspect).step(bench.engine)
    assert suspects == [a.key]
    assert disk.current(bench.layout, a.asset) is None
    assert time.time() - (disk.verified_at(bench.layout, b.key) or 0) < 100
    assert disk.verified_at(bench.layout, c.key) == before
    Scrub(lambda: False, suspect).step(bench.engine)  # another run finds nothing due
    assert suspects == [a.key]


def test_nothing_is_due_when_it_is_off(origin: Origin, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "cache", limits(scrub_seconds=0.0))
    origin.put("/a", b"x")
    key = bench.fetch(origin.url("/a")).key
    disk.found_right(bench.layout, key, 1.0)
    Scrub(lambda: False, lambda _: pytest.fail("it looked")).step(bench.engine)
    assert disk.verified_at(bench.layout, key) == 1.0
