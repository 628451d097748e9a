from __future__ import annotations

from resolverd.cards.catalogue import apply
from resolverd.cards.file import StoreChange
from resolverd.cards.index import build
from resolverd.cards.snapshot import Diff, Snapshot, diff, publish
from tests.cards.making import CODEC, SOURCE, change_files, make_cards

CARDS = make_cards({"a.yaml": "name: a\nx: 1\n", "b.yaml": "name: b\n"})
FIRST = publish(None, build([CARDS]))


def after(files: dict[str, str], removed: tuple[str, ...] = ()) -> Snapshot:
    return publish(FIRST, build([change_files(CARDS, files, removed)]))


def test_the_first_generation_is_one():
    assert FIRST.generation == 1


def test_a_change_of_content_makes_the_next_generation():
    new = after({"a.yaml": "name: a\nx: 2\n", "c.yaml": "name: c\n"}, ("b.yaml",))
    assert new.generation == 2
    assert diff(FIRST, new) == Diff(added=("c@",), changed=("a@",), removed=("b@",))


def test_the_same_content_is_the_same_generation():
    assert after({}) is FIRST
    assert after({"a.yaml": "name: a\nx: 1\n"}) is FIRST


def test_a_comment_or_a_problem_elsewhere_makes_no_generation():
    assert after({"a.yaml": "# new\nname: a\nx: 1  # new\n", "z.yaml": "- broken"}) is FIRST


def test_a_value_of_another_type_is_another_content():
    for value in ("1.0", "true", "'1'"):
        assert diff(FIRST, after({"a.yaml": f"name: a\nx: {value}\n"})).changed == ("a@",)


def test_a_card_that_becomes_stale_is_told_as_stale_and_its_repair_as_a_change():
    broken = change_files(CARDS, {"a.yaml": "name: ["})
    stale = publish(FIRST, build([broken]))
    assert (stale.generation, diff(FIRST, stale)) == (2, Diff(stale=("a@",)))
    again = publish(stale, build([change_files(broken, {"a.yaml": "name: {"})]))
    assert again is stale
    mended = publish(stale, build([change_files(broken, {"a.yaml": "name: a\nx: 1\n"})]))
    assert (mended.generation, diff(stale, mended)) == (3, Diff(changed=("a@",)))


def test_a_lost_root_makes_all_cards_stale():
    lost = apply(CARDS, StoreChange(SOURCE, "missing", "gone"), CODEC)
    assert diff(FIRST, publish(FIRST, build([lost]))) == Diff(stale=("a@", "b@"))


def test_the_same_card_from_another_store_is_a_change():
    copy = make_cards({"a.yaml": "name: a\nx: 1\n"}, "/other", 1)
    before = publish(None, build([CARDS, copy]))
    now = publish(before, build([change_files(CARDS, {}, ["a.yaml"]), copy]))
    assert diff(before, now) == Diff(changed=("a@",))


def test_no_difference_is_false():
    assert not diff(FIRST, FIRST)
    assert Diff(stale=("a@",))
