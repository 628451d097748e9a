"""How many connections: decided on figures alone."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from resolverd.checkpoints.space.pace import Pace, judged, refused

MOST = 8


def course(waiting: Callable[[int], float], *, most: int = MOST, seconds: float = 4.0) -> list[int]:
    """The connections over time, where each waits for the origin that part of the time."""
    pace, now, waited, seen = Pace(most, 0.0), 0.0, 0.0, [1]
    while now < seconds:
        now += 0.05
        waited += 0.05 * pace.connections * waiting(pace.connections)
        pace = judged(pace, now, waited)
        seen.append(pace.connections)
    return seen


def test_an_origin_that_throttles_each_connection_gets_all_of_them_within_a_second() -> None:
    assert set(course(lambda _: 1.0)[20:]) == {MOST}


def test_where_one_connection_keeps_this_node_busy_it_stays_alone() -> None:
    assert set(course(lambda _: 0.4)) == {1}


def test_it_stops_where_this_node_is_busy() -> None:
    assert course(lambda connections: 1.0 if connections < 4 else 0.4)[-1] == 4


def test_they_get_fewer_when_the_origin_speeds_up() -> None:
    pace = Pace(MOST, 0.0, connections=8)
    for step in range(1, 6):
        pace = judged(pace, float(step), 0.1 * step)
    assert pace.connections == 1


@given(st.integers(1, 64), st.lists(st.floats(0.0, 1.0), min_size=70, max_size=70))
def test_there_are_never_more_than_allowed_nor_none(most: int, parts: list[float]) -> None:
    seen = course(lambda connections: parts[connections], most=most)
    assert min(seen) >= 1
    assert max(seen) <= most


def test_an_origin_that_refuses_some_is_left_with_those_it_takes() -> None:
    pace = refused(Pace(MOST, 0.0, connections=8), 5)
    for step in range(1, 100):
        pace = judged(pace, float(step), step * 64.0)
        assert pace.connections <= 5
