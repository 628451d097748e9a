from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolverd.cards import persist
from resolverd.cards.catalogue import StoreCards, apply
from resolverd.cards.file import StoreChange
from resolverd.cards.index import build
from resolverd.cards.persist import dump, load
from tests.cards.making import CODEC, SOURCE, change_files, make_cards, make_read, make_store
from tests.cards.test_index_properties import broken_files, final, good_files, steps, take


def sample() -> StoreCards:
    text = "name: a\nbase: b\nmodel_family: x\nprefetch: true\n---\nname: b\nwhen: 2024-05-06\n"
    cards = make_cards({"a.yaml": text, "d/b.yaml": "name: é\n", "bad.yaml": "- a\n"})
    cards = change_files(cards, {"a.yaml": "name: ["})
    read = make_read("/cards/c.yaml", None, error="Permission denied")
    return apply(cards, StoreChange(SOURCE, reads=(read,), unreadable={"/cards/d": "no"}), CODEC)


SAMPLE = dump([sample()], CODEC)


def test_what_is_kept_comes_back_whole():
    stores = [
        sample(),
        make_cards({"a.yaml": "name: z\n"}, "/other", 3),
        StoreCards(make_store("/x")),
    ]
    back = load(dump(stores, CODEC), CODEC)
    assert back == {cards.store.source: cards for cards in stores}
    assert build(back.values()) == build(stores)


def test_nothing_comes_back_as_nothing():
    assert load(dump([], CODEC), CODEC) == {}


@settings(max_examples=60, deadline=None)
@given(steps, st.dictionaries(st.sampled_from(["a.yaml", "n.yaml"]), broken_files | good_files))
def test_a_restart_makes_no_difference(steps, last):
    cards = make_cards({})
    for step in steps:
        cards = take(cards, step)
    cards = take(cards, last)
    back = load(dump([cards], CODEC), CODEC)
    assert back == {SOURCE: cards}
    repaired = dict.fromkeys(last, "name: a\n")
    assert build([take(back[SOURCE], repaired)]) == build([make_cards(final([*steps, repaired]))])


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
def test_any_flipped_byte_makes_it_worthless(at, flip):
    damaged = bytearray(SAMPLE)
    damaged[at] ^= flip
    assert load(bytes(damaged), CODEC) is None


@pytest.mark.parametrize("length", [0, 1, 8, 12, 43, 44, 45, len(SAMPLE) // 2, len(SAMPLE) - 1])
def test_a_truncated_snapshot_is_worthless(length):
    assert load(SAMPLE[:length], CODEC) is None


def test_a_snapshot_with_something_behind_it_is_worthless():
    assert load(SAMPLE + b"\0", CODEC) is None


@given(st.binary(max_size=100))
def test_anything_else_is_worthless(data):
    assert load(data, CODEC) is None


def test_a_snapshot_of_another_parser_is_worthless(monkeypatch):
    monkeypatch.setattr(persist, "REVISION", persist.REVISION + 1)
    assert load(SAMPLE, CODEC) is None


def test_a_snapshot_of_another_format_is_worthless(monkeypatch):
    monkeypatch.setattr(persist, "_FORMAT", persist._FORMAT + 1)
    assert load(SAMPLE, CODEC) is None


def test_equal_stores_are_written_alike():
    assert dump([sample()], CODEC) == dump([sample()], CODEC)
