"""Who may download when: limits hold at every moment, and small files get through."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from resolverd.checkpoints import slots
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.slots import Slots, Turn, large_most

HOSTS = ("a", "b", "c")


@given(st.integers(1, 8), st.integers(0, 4), st.data())
def test_limits_hold_and_nobody_waits_who_need_not(
    concurrency: int, host_concurrency: int, data: st.DataObject
) -> None:
    limits = Limits(concurrency=concurrency, host_concurrency=host_concurrency)
    now, number = Slots(), 0
    for _ in range(data.draw(st.integers(1, 60))):
        act = data.draw(st.sampled_from(["join", "join", "grow", "leave"]))
        small = [turn.number for turn in now.running if not turn.large]
        everyone = [turn.number for turn in (*now.running, *now.waiting)]
        if act == "join":
            number += 1
            now = slots.joined(now, Turn(number, data.draw(st.sampled_from(HOSTS))), limits)
        elif act == "grow" and small:
            now = slots.grown(now, data.draw(st.sampled_from(small)), limits)
        elif act == "leave" and everyone:
            now = slots.left(now, data.draw(st.sampled_from(everyone)), limits)
        _hold(now, limits)
        assert slots.advanced(now, limits) == now


def _hold(now: Slots, limits: Limits) -> None:
    assert len(now.running) <= limits.concurrency
    assert sum(turn.large for turn in now.running) <= large_most(limits.concurrency)
    for host in HOSTS:
        near = [turn for turn in now.running if turn.host == host]
        assert not limits.host_concurrency or len(near) <= limits.host_concurrency
    numbers = [turn.number for turn in (*now.running, *now.waiting)]
    assert len(numbers) == len(set(numbers))


@given(st.integers(2, 64), st.integers(1, 100))
def test_a_small_file_gets_through_however_many_large_ones_there_are(slot: int, huge: int) -> None:
    limits, now = Limits(concurrency=slot), Slots()
    for number in range(huge):
        now = slots.joined(now, Turn(number, "a"), limits)
        if now.has(number):
            now = slots.grown(now, number, limits)
    now = slots.joined(now, Turn(1000, "a"), limits)
    assert now.has(1000)


def test_large_ones_go_in_the_order_in_which_they_came() -> None:
    limits, now = Limits(concurrency=2), Slots()
    for number in (1, 2, 3):
        now = slots.grown(slots.joined(now, Turn(number, "a"), limits), number, limits)
    assert [turn.number for turn in now.waiting] == [2, 3]
    assert slots.left(now, 1, limits).has(2)


def test_a_host_that_has_its_share_does_not_hold_up_others() -> None:
    limits, now = Limits(concurrency=4, host_concurrency=1), Slots()
    for number, host in ((1, "a"), (2, "a"), (3, "b")):
        now = slots.joined(now, Turn(number, host), limits)
    assert [turn.number for turn in now.running] == [1, 3]


def test_more_slots_are_given_at_once() -> None:
    limits, now = Limits(concurrency=1), Slots()
    for number in (1, 2):
        now = slots.joined(now, Turn(number, "a"), limits)
    assert slots.advanced(now, Limits(concurrency=2)).has(2)
