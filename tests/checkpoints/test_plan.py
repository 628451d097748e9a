from __future__ import annotations

import itertools
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolverd.checkpoints.asset import plan
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.limits import Limits

SIZE = 200
spans = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(sorted), max_size=12)
ONE, TWO, THREE = (Digest("sha256", digit * 64) for digit in "123")


def covering(pairs: list[list[int]]) -> plan.Ranges:
    ranges: plan.Ranges = ()
    for low, high in pairs:
        ranges = plan.add(ranges, low, high)
    return ranges


@given(spans)
def test_ranges_hold_exactly_the_bytes_that_were_added(pairs: list[list[int]]) -> None:
    ranges = covering(pairs)
    assert {n for low, high in pairs for n in range(low, high)} == {
        n for low, high in ranges for n in range(low, high)
    }
    assert all(a[1] < b[0] for a, b in itertools.pairwise(ranges))


@given(spans, st.integers(1, 50))
def test_parts_are_what_is_missing_and_no_longer_than_a_part(
    pairs: list[list[int]], part: int
) -> None:
    ranges = covering(pairs)
    parts = plan.parts(ranges, SIZE, part)
    missing = [n for low, high in parts for n in range(low, high)]
    held = {n for low, high in ranges for n in range(low, high)}
    assert missing == sorted(set(range(SIZE)) - held)
    assert all(high - low <= part and low // part == (high - 1) // part for low, high in parts)


@given(spans)
def test_the_frontier_ends_where_the_first_byte_is_missing(pairs: list[list[int]]) -> None:
    held = {n for low, high in pairs for n in range(low, high)}
    expected = next(n for n in range(SIZE + 1) if n not in held)
    assert plan.frontier(covering(pairs)) == expected


@given(st.integers(1, 7), st.floats(0, 1))
def test_back_off_doubles_and_is_bounded_and_never_below_half(failures: int, jitter: float) -> None:
    limits = Limits(backoff=1.0, backoff_most=10.0, attempts=8)
    pause = plan.delay(failures, jitter, None, limits)
    full = min(2.0 ** (failures - 1), 10.0)
    assert pause is not None
    assert full / 2 <= pause <= full


def test_what_the_server_asks_for_is_waited_for() -> None:
    pause = plan.delay(1, 0.5, 20.0, Limits())
    assert pause is not None
    assert 20.0 <= pause < 21.0


def test_a_server_that_asks_to_wait_for_an_hour_is_given_up() -> None:
    assert plan.delay(1, 0.5, 3600.0, Limits()) is None


def test_the_last_attempt_is_not_followed_by_a_pause() -> None:
    assert plan.delay(8, 0.5, None, Limits(attempts=8)) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        (formatdate(1_000_060, usegmt=True), 60.0),
        (formatdate(999_000, usegmt=True), 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: float | None) -> None:
    assert plan.retry_after(header, now=1_000_000.0) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_breaks_the_engine(header: str) -> None:
    assert (plan.retry_after(header, now=0.0) or 0.0) >= 0.0


def test_the_card_is_believed_before_the_origin() -> None:
    assert plan.expected({"": ONE}, "a", [TWO], THREE) == plan.Expected(ONE, "card")


def test_the_origin_is_believed_before_what_was_seen_first() -> None:
    assert plan.expected({}, "a", [TWO], THREE) == plan.Expected(TWO, "origin")


def test_what_was_seen_first_binds_when_nobody_else_says_anything() -> None:
    assert plan.expected({}, "a", [], THREE) == plan.Expected(THREE, "first-use")


def test_a_map_is_looked_up_by_path_and_by_name() -> None:
    card = {"x/a": ONE, "b": TWO}
    assert plan.expected(card, "x/a", [], None).digest == ONE
    assert plan.expected(card, "y/b", [], None).digest == TWO
    assert plan.expected(card, "c", [], None).digest is None
