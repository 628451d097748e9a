"""What one store alone would serve, beside all that the stores serve together."""

from __future__ import annotations

from dataclasses import replace

from resolverd.cards import persist
from resolverd.cards.index import build
from resolverd.cards.refusals import refusals
from resolverd.cards.snapshot import publish
from tests.cards.making import CODEC, change_files, make_cards

USER = make_cards({"a.yaml": "name: a\nx: 1\n", "b.yaml": "name: b\n"}, "/user", 0)
SYSTEM = make_cards({"a.yaml": "name: a\nx: 2\n", "c.yaml": "name: c\n"}, "/system", 1)


def test_a_store_keeps_the_card_that_another_store_has_beaten():
    index = build([USER, SYSTEM])
    beaten, winner = index.of_store("path:/system", "a@"), index.of_store("path:/user", "a@")
    assert winner is index.cards["a@"]
    assert beaten is not None
    assert beaten.path == "/system/a.yaml"
    assert index.of_store("path:/system", "b@") is None
    assert index.names_of("path:/user") == ["a@", "b@"]
    assert index.names_of("path:/system") == ["a@", "c@"]
    assert index.names_of("path:/elsewhere") == []


def test_of_one_name_twice_in_a_beaten_store_the_first_path_is_kept():
    system = make_cards({"b.yaml": "name: a\nx: 3\n", "a.yaml": "name: a\nx: 2\n"}, "/system", 1)
    index = build([USER, system])
    beaten = index.of_store("path:/system", "a@")
    assert beaten is not None
    assert beaten.path == "/system/a.yaml"
    assert [problem.path for problem in index.problems] == ["/system/a.yaml", "/system/b.yaml"]


def test_a_change_of_a_beaten_card_makes_a_generation():
    first = publish(None, build([USER, SYSTEM]))
    changed = change_files(SYSTEM, {"a.yaml": "name: a\nx: 4\n"})
    second = publish(first, build([USER, changed]))
    assert second.generation == 2
    assert publish(second, build([USER, changed])) is second


def test_a_card_that_is_beaten_no_more_is_hidden_no_more():
    first = publish(None, build([USER, SYSTEM]))
    gone = change_files(USER, {}, ["a.yaml"])
    second = publish(first, build([gone, SYSTEM]))
    assert second.generation == 2
    assert second.index.hidden == {}


def test_a_sound_store_is_whole_and_refused_by_nobody():
    found = refusals(USER)
    assert (found.whole, found.count, found.first) == (True, 0, ())


def test_bad_and_duplicate_cards_are_counted_and_worded():
    files = {"a.yaml": "name: a\n---\nx: 1\n", "b.yaml": "name: a\n", "c.yaml": "name: [\n"}
    found = refusals(make_cards(files))
    assert (found.whole, found.count) == (True, 3)
    assert "/cards/a.yaml" in found.first[0]
    assert any("the name a@ is also in /cards/a.yaml:1" in line for line in found.first)


def test_a_store_with_files_that_only_the_daemon_can_not_read_is_not_whole():
    deep = "name: a\nx: " + "[" * 200 + "]" * 200 + "\n"
    assert not refusals(make_cards({"a.yaml": deep})).whole
    assert not refusals(change_files(USER, {"z.yaml": None})).whole  # type: ignore[dict-item]
    assert not refusals(replace(USER, state="error")).whole
    assert not refusals(replace(USER, unreadable={"/user/x": "denied"})).whole


def test_roots_come_back_after_a_restart():
    kept = replace(USER, roots=(("/user", 7, 9),))
    back = persist.load(persist.dump([kept], CODEC), CODEC)
    assert back is not None
    assert back["path:/user"].roots == (("/user", 7, 9),)
