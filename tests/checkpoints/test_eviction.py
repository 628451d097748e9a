"""What gives way: a pure choice, held against its rules over whatever a cache may hold."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from resolverd.checkpoints.space import eviction
from resolverd.checkpoints.space.eviction import (
    Item,
    Need,
    choose,
    collect,
    occupied,
    order,
    totals,
)

flags = st.booleans()
items = st.lists(
    st.builds(
        Item,
        kind=st.sampled_from(["object", "partial", "quarantine"]),
        name=st.text("abcdef", min_size=6, max_size=6),
        asset=st.sampled_from("xyz"),
        size=st.integers(0, 50),
        used=st.integers(0, 9).map(float),
        current=flags,
        leased=flags,
        pinned=flags,
        busy=flags,
    ),
    max_size=12,
    unique_by=lambda item: item.name,
)


@given(items, st.integers(-10, 300))
def test_what_is_leased_pinned_or_worked_on_is_never_chosen(cache: list[Item], short: int) -> None:
    for item in choose(cache, short) or ():
        assert (item.leased, item.pinned, item.busy) == (False, False, False)


@given(items, st.integers(-10, 300))
def test_enough_is_chosen_or_nothing(cache: list[Item], short: int) -> None:
    chosen = choose(cache, short)
    most = sum(item.size for item in cache if item.removable)
    if chosen is None:
        assert most < short
    else:
        assert sum(item.size for item in chosen) >= short
        assert sum(item.size for item in chosen[:-1]) < short or not chosen


@given(items, st.integers(1, 300))
def test_nothing_that_was_used_later_goes_before_what_was_used_earlier(
    cache: list[Item], short: int
) -> None:
    chosen = choose(cache, short) or ()
    spared = [item for item in cache if item.removable and item not in chosen]
    for gone in chosen:
        for kept in spared:
            alike = (gone.kind == "quarantine") == (kept.kind == "quarantine")
            if alike and gone.current == kept.current:
                assert gone.used <= kept.used


@given(items)
def test_what_nobody_can_be_given_goes_first_and_the_order_is_the_same_for_the_same_cache(
    cache: list[Item],
) -> None:
    ordered = order(cache)
    assert ordered == order(reversed(cache))
    ranks = [(item.kind != "quarantine", item.current) for item in ordered]
    assert ranks == sorted(ranks)


@given(items, st.one_of(st.none(), st.integers(0, 300)))
def test_a_clean_up_comes_down_to_its_figure_as_far_as_what_is_held_lets_it(
    cache: list[Item], quota: int | None
) -> None:
    for to in (None, 0, 100):
        gone = collect(cache, to, quota)
        left = sum(item.size for item in cache if item not in gone)
        bound = quota if to is None else to
        assert all(item.removable for item in gone)
        if bound is not None:
            held = sum(item.size for item in cache if not item.removable)
            assert left <= max(bound, held)
        if to is None:
            assert all(item.current for item in cache if item.removable and item not in gone)


@given(items)
def test_every_byte_is_counted_once(cache: list[Item]) -> None:
    found = totals(cache)
    assert found.used == sum(item.size for item in cache)
    assert found.removable == sum(item.size for item in cache if item.removable)


@given(st.integers(0, 1 << 50))
def test_a_file_takes_whole_blocks(size: int) -> None:
    assert 0 <= occupied(size) - size < 4096
    assert occupied(size) % 4096 == 0


NEED = Need(total=30, others=80, free=100, more=30, quota=100, keep=0)


def test_the_quota_and_the_free_room_both_count() -> None:
    assert NEED.short == 10
    assert replace(NEED, quota=None).short <= 0
    assert replace(NEED, keep=90).short == 20
    assert replace(NEED, keep=90, more=0).short == 10  # it is all on the disk already


def test_a_refusal_names_what_holds_the_room_and_what_to_do() -> None:
    cache = [
        Item("object", "a", "a", 50, 1.0, leased=True, pinned=True),
        Item("object", "b", "b", 20, 1.0, pinned=True),
        Item("partial", "c", "c", 10, 1.0, busy=True),
    ]
    text = eviction.refusal("/cache", NEED, cache).text
    for part in ("30 bytes are needed", "80 are in use, 100 allowed (cache.max_bytes)",
                 "50 bytes are leased", "20 pinned", "10 being fetched", "only 0 may give way",
                 "End the jobs", "cache unpin", "raise cache.max_bytes"):  # fmt: skip
        assert part in text
    alone = eviction.refusal("/cache", replace(NEED, total=200), []).text
    assert "more than cache.max_bytes (100) in all" in alone
    free = eviction.refusal("/cache", replace(NEED, quota=None), []).text
    assert "lower cache.min_free_bytes" in free
    assert "jobs" not in free


def test_what_is_under_way_may_make_the_room_and_what_is_held_may_not() -> None:
    busy = Item("partial", "c", "c", 10, 1.0, busy=True)
    leased = Item("object", "a", "a", 70, 1.0, leased=True)
    assert eviction.refusal("/cache", NEED, [leased, busy]).may_pass
    assert not eviction.refusal("/cache", NEED, [leased, replace(busy, size=9)]).may_pass
    assert not eviction.refusal("/cache", NEED, [leased]).may_pass
