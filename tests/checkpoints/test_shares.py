"""Sharing a file among threads: every byte is brought once, whoever is slow, fast or gives up."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from resolverd.checkpoints.asset import plan
from resolverd.checkpoints.asset.plan import Ranges
from resolverd.checkpoints.limits import MIB
from resolverd.checkpoints.transfer.shares import Share, Shares

SIZE = 64 * MIB


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@st.composite
def missing(draw: st.DrawFn) -> Ranges:
    edges = sorted(draw(st.sets(st.integers(0, SIZE), min_size=2, max_size=8)))
    return tuple(zip(edges[::2], edges[1::2], strict=False))


@given(missing(), st.data())
def test_whatever_threads_do_each_missing_byte_comes_once(
    parts: Ranges, data: st.DataObject
) -> None:
    clock = Clock()
    shares = Shares(parts, clock)
    busy: list[Share] = []
    brought: list[tuple[int, int]] = []
    for _ in range(data.draw(st.integers(0, 40))):
        clock.now += data.draw(st.floats(0.0, 3.0))
        act = data.draw(st.sampled_from(["take", "read", "read", "give up"]))
        if act == "take" and (taken := shares.take()) is not None:
            busy.append(taken)
        elif act == "read" and busy:
            _read(
                shares, data.draw(st.sampled_from(busy)), data.draw(st.integers(1, SIZE)), brought
            )
        elif act == "give up" and busy:
            shares.done(busy.pop())
    while busy or (more := shares.take()) is not None:
        share = busy.pop() if busy else more
        assert share is not None
        while _read(shares, share, 8 * MIB, brought):
            pass
        shares.done(share)
    ranges: Ranges = ()
    for low, high in brought:
        ranges = plan.add(ranges, low, high)
    assert sum(high - low for low, high in brought) == plan.covered(parts) == plan.covered(ranges)
    assert plan.add(ranges, 0, 0) == plan.add(_joined(parts), 0, 0)


def _read(shares: Shares, share: Share, most: int, brought: list[tuple[int, int]]) -> int:
    count = shares.claim(share, most)
    if count:
        brought.append((share.at, share.at + count))
        share.at += count
    return count


def _joined(parts: Ranges) -> Ranges:
    ranges: Ranges = ()
    for low, high in parts:
        ranges = plan.add(ranges, low, high)
    return ranges


def test_parts_are_given_in_order() -> None:
    shares = Shares(((0, 5), (5, 9), (12, 20)))
    taken = [shares.take() for _ in range(3)]
    assert [(share.at, share.end) for share in taken if share] == [(0, 5), (5, 9), (12, 20)]


def test_who_has_nothing_to_do_takes_half_of_what_a_slow_one_has() -> None:
    clock = Clock()
    shares = Shares(((0, 40 * MIB),), clock)
    slow = shares.take()
    assert slow is not None
    assert shares.claim(slow, 2 * MIB) == 2 * MIB
    clock.now = 10.0
    other = shares.take()
    assert other is not None
    assert (slow.end, other.at, other.end) == (21 * MIB, 21 * MIB, 40 * MIB)


def test_what_will_be_there_in_a_moment_is_left_to_who_has_it() -> None:
    clock = Clock()
    shares = Shares(((0, 40 * MIB),), clock)
    fast = shares.take()
    assert fast is not None
    clock.now, fast.at = 0.05, 10 * MIB
    shares.claim(fast, 2 * MIB)
    assert shares.take() is None


def test_what_was_given_up_is_for_the_next() -> None:
    shares = Shares(((0, 5), (5, 9)))
    first = shares.take()
    assert first is not None
    first.at = 3
    shares.done(first)
    again = shares.take()
    assert again is not None
    assert (again.at, again.end) == (3, 5)
