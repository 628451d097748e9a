"""Answers about single stores, as they are packed."""

from __future__ import annotations

from typing import Any

import pytest
from resolverd_client import AssetNotFoundError, RequestError, protocol

from resolverd.cards.index import build
from resolverd.serving import store_lookups
from resolverd.serving.store_lookups import StoreLookups
from tests.cards.making import make_cards

ONE = {
    "leaf.yaml": "name: leaf\nbase: mid\n",
    "mid.yaml": "name: mid\nbase: top\n---\nname: mid@cluster\nx: 1\n",
    "env.yaml": "name: leaf@user\n---\nname: other\n",
}
TWO = {"top.yaml": "name: top\n---\nname: leaf\nshadowed: true\n"}
SOURCES = ["path:/one", "path:/two"]


@pytest.fixture
def lookups() -> StoreLookups:
    index = build([make_cards(ONE, "/one", 0), make_cards(TWO, "/two", 1)])
    return StoreLookups(5, index, SOURCES)


def family(packed: bytes) -> dict[str, list[tuple[int, str]]]:
    generation, stems = protocol.unpack(packed)
    assert generation == 5
    return {stem: [(place, name) for place, name, _ in cards] for stem, cards in stems}


def test_one_answer_holds_environments_bases_and_what_each_store_has(lookups: StoreLookups):
    assert family(lookups.family(SOURCES, "leaf")) == {
        "leaf": [(0, "leaf@"), (1, "leaf@"), (0, "leaf@user")],
        "mid": [(0, "mid@"), (0, "mid@cluster")],
        "top": [(1, "top@")],
    }


def test_only_the_stores_asked_for_are_looked_in(lookups: StoreLookups):
    assert family(lookups.family(["path:/two"], "leaf")) == {"leaf": [(0, "leaf@")]}


def test_a_card_comes_packed_as_get_gives_it(lookups: StoreLookups):
    _, [[_, [[_, _, packed], *_]], *_] = protocol.unpack(lookups.family(SOURCES, "leaf"))
    card: dict[str, Any] = protocol.unpack(packed)
    assert card.pop("__base_path__").as_posix() == "/one"
    assert card == {"base": "mid"}


def test_what_no_store_has_is_answered_as_such(lookups: StoreLookups):
    assert family(lookups.family(SOURCES, "nothing")) == {"nothing": []}


def test_a_base_cycle_ends(lookups: StoreLookups):
    cards = make_cards({"a.yaml": "name: a\nbase: b\n---\nname: b\nbase: a\n"}, "/one")
    cycle = StoreLookups(5, build([cards]), SOURCES)
    assert family(cycle.family(SOURCES, "a")).keys() == {"a", "b"}


def test_a_long_chain_is_cut(lookups: StoreLookups):
    chain = "---\n".join(f"name: c{i}\nbase: c{i + 1}\n" for i in range(200))
    long = StoreLookups(5, build([make_cards({"a.yaml": chain}, "/one")]), SOURCES)
    assert len(family(long.family(SOURCES, "c0"))) == store_lookups.MOST_STEMS


def test_no_client_gets_a_card_many_times_in_one_answer(lookups: StoreLookups):
    with pytest.raises(RequestError, match="named twice"):
        lookups.family(["path:/one"] * 2, "leaf")


def test_what_is_too_large_for_an_answer_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_lookups, "TOO_LARGE", 20)
    large = StoreLookups(5, build([make_cards(ONE, "/one")]), SOURCES)
    with pytest.raises(RequestError) as caught:
        large.family(SOURCES, "leaf")
    assert caught.value.code == "too-large"


def test_names_are_those_of_one_store_and_packed_once(lookups: StoreLookups):
    packed = lookups.names("path:/two")
    assert protocol.unpack(packed) == [5, ["leaf@", "top@"]]
    assert lookups.names("path:/two") is packed


def test_a_store_that_is_not_there_is_named(lookups: StoreLookups):
    for ask in (lambda: lookups.names("path:/x"), lambda: lookups.family(["path:/x"], "a")):
        with pytest.raises(AssetNotFoundError, match="path:/x") as caught:
            ask()
        assert caught.value.details == {"store": "path:/x"}
