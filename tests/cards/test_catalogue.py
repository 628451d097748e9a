from __future__ import annotations

import pytest

from resolverd.cards.catalogue import StoreCards, apply, problems, served
from resolverd.cards.file import StoreChange
from tests.cards.making import CODEC, ROOT, SOURCE, change_files, make_cards, make_read, make_store

A = f"{ROOT}/a.yaml"


def names(cards: StoreCards) -> dict[str, str | None]:
    return {card.name: card.stale for card in served(cards)}


def fields(cards: StoreCards, name: str) -> object:
    return next(CODEC.unpack(card.packed) for card in served(cards) if card.name == name)


def codes(cards: StoreCards) -> list[str]:
    return [problem.code for problem in problems(cards)]


def test_a_card_carries_the_facts_that_lists_need():
    text = "name: a\nbase: b\nmodel_family: x\ntokenizer_family: y\nprefetch: true\n"
    (card,) = served(make_cards({"a.yaml": text}))
    assert (card.name, card.base, card.path, card.store) == ("a@", "b", A, SOURCE)
    assert card.kinds == {"model", "tokenizer"}
    assert card.prefetch
    assert not card.baseless
    assert card.stale is None


@pytest.mark.parametrize(("value", "asks"), [("true", True), ("yes", False), ("1", False)])
def test_only_a_true_prefetch_asks_for_it(value, asks):
    (card,) = served(make_cards({"a.yaml": f"name: a\nprefetch: {value}\n"}))
    assert card.prefetch is asks


def test_a_card_with_a_null_base_says_so():
    (card,) = served(make_cards({"a.yaml": "name: a\nbase: ~\n"}))
    assert card.baseless


def test_a_changed_file_gives_its_new_cards_and_leaves_the_old_store_alone():
    old = make_cards({"a.yaml": "name: a\nx: 1\n", "b.yaml": "name: b\n"})
    new = change_files(old, {"a.yaml": "name: a\nx: 2\n"})
    assert fields(old, "a@")["x"] == 1
    assert fields(new, "a@")["x"] == 2
    assert names(new) == {"a@": None, "b@": None}


def test_a_deleted_file_is_gone_at_once():
    cards = change_files(make_cards({"a.yaml": "name: a\n", "b.yaml": "name: b\n"}), {}, ["a.yaml"])
    assert names(cards) == {"b@": None}


def test_a_broken_edit_keeps_the_last_good_card_marked_stale():
    cards = change_files(make_cards({"a.yaml": "name: a\nx: 1\n"}), {"a.yaml": "name: [a\n"})
    assert "cannot be loaded as YAML" in names(cards)["a@"]
    assert fields(cards, "a@")["x"] == 1
    assert cards.files[A].stale
    assert codes(cards) == ["bad-yaml"]


def test_a_second_broken_edit_keeps_it_too_and_the_repair_ends_it():
    cards = change_files(make_cards({"a.yaml": "name: a\nx: 1\n"}), {"a.yaml": "name: [a\n"})
    cards = change_files(cards, {"a.yaml": "- name: a\n"})
    assert "expected to be of type `dict`" in names(cards)["a@"]
    cards = change_files(cards, {"a.yaml": "name: a\nx: 2\n"})
    assert names(cards) == {"a@": None}
    assert codes(cards) == []


def test_a_broken_document_keeps_its_own_card_and_not_its_neighbours():
    cards = make_cards({"a.yaml": "name: a\n---\nname: b\n---\nname: c\n"})
    cards = change_files(cards, {"a.yaml": "name: a\n---\nname: b\nbase: 5\n"})
    stale = names(cards)
    assert stale.keys() == {"a@", "b@"}
    assert stale["a@"] is None
    assert "Base name" in stale["b@"]


def test_a_nameless_broken_document_keeps_whatever_it_may_have_held():
    cards = make_cards({"a.yaml": "name: a\n---\nname: b\n"})
    stale = names(change_files(cards, {"a.yaml": "name: a\n---\nname: 'b\n"}))
    assert stale.keys() == {"a@", "b@"}
    assert stale["a@"] is None
    assert stale["b@"]


def test_a_card_taken_out_of_a_file_is_gone():
    cards = make_cards({"a.yaml": "name: a\n---\nname: b\n"})
    assert names(change_files(cards, {"a.yaml": "name: a\n"})) == {"a@": None}


def test_an_unreadable_file_keeps_its_cards_marked_stale():
    cards = make_cards({"a.yaml": "name: a\n"})
    read = make_read(A, None, error="Permission denied")
    cards = apply(cards, StoreChange(SOURCE, reads=(read,)), CODEC)
    assert "Permission denied" in names(cards)["a@"]
    assert codes(cards) == ["unreadable"]


def test_a_file_that_was_never_readable_is_a_problem_only():
    read = make_read(A, None, error="Permission denied")
    cards = apply(StoreCards(make_store()), StoreChange(SOURCE, reads=(read,)), CODEC)
    assert names(cards) == {}
    assert codes(cards) == ["unreadable"]


@pytest.mark.parametrize("state", ["missing", "error", "empty-mount"])
def test_a_root_that_is_not_to_be_trusted_keeps_all_cards_marked_stale(state):
    cards = make_cards({"a.yaml": "name: a\n", "b.yaml": "name: b\n"})
    lost = apply(
        cards, StoreChange(SOURCE, state, "it is not there", removed=frozenset([A])), CODEC
    )
    assert {name: "it is not there" in why for name, why in names(lost).items()} == {
        "a@": True,
        "b@": True,
    }
    assert codes(lost) == [f"store-{state}"]
    assert (lost.root, lost.device) == (cards.root, cards.device)
    back = StoreChange(SOURCE, root=ROOT, device=1, complete=True, kept=frozenset(cards.files))
    assert apply(lost, back, CODEC) == cards


def test_a_missing_optional_store_is_no_problem():
    cards = StoreCards(make_store(optional=True))
    assert codes(apply(cards, StoreChange(SOURCE, "missing", "not there"), CODEC)) == []
    cards = StoreCards(make_store())
    assert codes(apply(cards, StoreChange(SOURCE, "missing", "not there"), CODEC)) == [
        "store-missing"
    ]


def test_a_complete_report_drops_what_it_does_not_name():
    cards = make_cards({"a.yaml": "name: a\n", "b.yaml": "name: b\n"})
    change = StoreChange(SOURCE, root=ROOT, complete=True, kept=frozenset([A]))
    assert names(apply(cards, change, CODEC)) == {"a@": None}


def test_a_directory_that_can_not_be_listed_keeps_its_cards_marked_stale():
    cards = make_cards({"a.yaml": "name: a\n", "d/b.yaml": "name: b\n", "dd.yaml": "name: c\n"})
    kept = frozenset([A, f"{ROOT}/dd.yaml"])
    denied = {f"{ROOT}/d": "Permission denied"}
    lost = apply(cards, StoreChange(SOURCE, complete=True, kept=kept, unreadable=denied), CODEC)
    assert {name for name, stale in names(lost).items() if stale} == {"b@"}
    assert codes(lost) == ["unreadable"]
    read = make_read(f"{ROOT}/d/b.yaml", "name: b\n")
    assert names(apply(lost, StoreChange(SOURCE, reads=(read,)), CODEC)) == dict.fromkeys(
        ["a@", "b@", "c@"]
    )


def test_a_value_that_can_not_be_sent_costs_its_card_only():
    class Picky:
        def pack(self, value):
            if isinstance(value, dict) and "x" in value:
                raise TypeError("no form for it")
            return CODEC.pack(value)

        def unpack(self, data):
            return CODEC.unpack(data)

    read = make_read(A, "name: a\n---\nname: b\nx: 1\n")
    cards = apply(StoreCards(make_store()), StoreChange(SOURCE, reads=(read,)), Picky())
    assert names(cards) == {"a@": None}
    (problem,) = problems(cards)
    assert (problem.code, problem.name, problem.document) == ("unsendable", "b@", 1)
