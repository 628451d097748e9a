"""How many connections: decided on figures alone."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from resolverd.checkpoints.pace import Pace, judged, refused

MOST = 8


def course(
    rate: Callable[[int], float], *, most: int = MOST, idle: float = 0.0, seconds: float = 8.0
) -> list[int]:
    """The connections over time, at an origin that gives ``rate`` of their number."""
    pace, now, done, held_up, seen = Pace(most, 0.0), 0.0, 0.0, 0.0, [1]
    while now < seconds:
        now += 0.05
        done += 0.05 * rate(pace.connections)
        held_up += 0.05 * idle * pace.connections
        pace = judged(pace, now, int(done), held_up)
        seen.append(pace.connections)
    return seen


def test_an_origin_that_throttles_each_connection_gets_all_of_them() -> None:
    seen = course(lambda connections: connections * 1e6)
    assert seen[-1] == MOST
    assert seen[: seen.index(MOST)].count(1) < 10  # within a second


def test_where_one_connection_brings_all_there_is_it_stays_alone() -> None:
    seen = course(lambda _: 1e9)
    assert seen[-1] == 1
    assert seen.count(2) < 10


def test_it_stops_where_the_gain_stops() -> None:
    assert course(lambda connections: min(connections, 4) * 1e6)[-1] == 4


def test_nothing_is_tried_while_this_node_is_the_limit() -> None:
    assert set(course(lambda connections: connections * 1e6, idle=0.5)) == {1}


def test_what_was_in_vain_is_tried_again_later() -> None:
    assert course(lambda _: 1e6, seconds=25.0)[-200:].count(2) > 0


@given(st.integers(1, 64), st.lists(st.floats(0.0, 1e9), min_size=70, max_size=70))
def test_there_are_never_more_than_allowed_nor_none(most: int, rates: list[float]) -> None:
    seen = course(lambda connections: rates[connections], most=most)
    assert min(seen) >= 1
    assert max(seen) <= most


def test_an_origin_that_refuses_some_is_left_with_those_it_takes() -> None:
    pace = refused(Pace(MOST, 0.0, connections=8, before=4, rate=1.0), 5)
    for step in range(1, 100):
        pace = judged(pace, step * 1.0, step * 10**9, 0.0)
        assert pace.connections <= 5
