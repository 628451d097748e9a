"""However changes arrive, the index is that of the files as they are in the end."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from resolverd.cards.amend import amended
from resolverd.cards.catalogue import StoreCards, apply
from resolverd.cards.file import StoreChange
from resolverd.cards.index import build
from tests.cards.making import CODEC, ROOT, SOURCE, change_files, make_cards, make_read, make_store

PATHS = ["a.yaml", "b.yaml", "d/a.yaml", "d/e/a.yaml", "d-.yaml"]
names = st.sampled_from(["a", "b", "c", "a@e", "b@e", "a@user"])
bases = st.sampled_from(["", "base: a\n", "base: b\n", "base: c\n", "base: zz\n", "base: ~\n"])
documents = st.builds(
    lambda name, base, x: f"name: {name}\n{base}x: {x}\n", names, bases, st.integers(0, 3)
)
good_files = st.lists(documents, max_size=3).map("---\n".join)
broken_files = st.sampled_from(
    ["name: [", "- a\n", "name: a\n---\nname: 5\n", "name: a\nx: 1\nx: 2\n"]
)
contents = st.none() | good_files
steps = st.lists(st.dictionaries(st.sampled_from(PATHS), contents, max_size=3), max_size=8)


def take(cards: StoreCards, step: dict[str, str | None]) -> StoreCards:
    written = {path: text for path, text in step.items() if text is not None}
    return change_files(cards, written, [path for path in step if step[path] is None])


def final(steps: list[dict[str, str | None]]) -> dict[str, str]:
    files: dict[str, str | None] = {}
    for step in steps:
        files |= step
    return {path: text for path, text in files.items() if text is not None}


@settings(max_examples=200, deadline=None)
@given(steps)
def test_any_sequence_of_changes_ends_in_the_index_of_the_final_files(steps):
    cards = make_cards({})
    for step in steps:
        cards = take(cards, step)
    assert build([cards]) == build([make_cards(final(steps))])


@settings(max_examples=150, deadline=None)
@given(steps, steps, st.sampled_from(["missing", "error", "empty-mount"]))
def test_a_root_that_was_lost_for_a_while_leaves_no_trace(before, after, state):
    cards = make_cards({})
    for step in before:
        cards = take(cards, step)
    cards = apply(cards, StoreChange(SOURCE, state, "gone"), CODEC)
    assert all(card.stale for card in build([cards]).cards.values())
    for step in [{}, *after]:
        cards = take(cards, step)
    assert build([cards]) == build([make_cards(final([*before, *after]))])


@settings(max_examples=150, deadline=None)
@given(steps, st.dictionaries(st.sampled_from(PATHS), broken_files, max_size=3), good_files)
def test_once_repaired_a_broken_file_leaves_no_trace(steps, broken, repair):
    cards = make_cards({})
    for step in steps:
        cards = take(cards, step)
    cards = take(take(cards, broken), dict.fromkeys(broken, repair))
    expected = final([*steps, dict.fromkeys(broken, repair)])
    assert build([cards]) == build([make_cards(expected)])


@settings(max_examples=100, deadline=None)
@given(steps, st.dictionaries(st.sampled_from(PATHS), broken_files, min_size=1, max_size=3))
def test_a_broken_edit_loses_no_name(steps, broken):
    cards = make_cards({})
    for step in steps:
        cards = take(cards, step)
    assert build([take(cards, broken)]).cards.keys() >= build([cards]).cards.keys()


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(PATHS), good_files), st.randoms(use_true_random=False))
def test_the_order_in_which_files_arrive_does_not_matter(files, source: random.Random):
    reads = [make_read(f"{ROOT}/{path}", text) for path, text in files.items()]
    source.shuffle(reads)
    cards = StoreCards(make_store())
    for read in reads:
        change = StoreChange(SOURCE, root=ROOT, device=1, reads=(read,))
        cards = apply(cards, change, CODEC)
    assert build([cards]) == build([make_cards(files)])


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(PATHS), good_files), st.sets(st.sampled_from(PATHS)))
def test_a_complete_report_means_the_same_as_a_fresh_start(files, kept):
    before = make_cards(files)
    kept = kept & files.keys()
    reads = [make_read(f"{ROOT}/{path}", text) for path, text in files.items() if path not in kept]
    change = StoreChange(
        SOURCE,
        root=ROOT,
        device=1,
        reads=tuple(reads),
        complete=True,
        kept=frozenset(f"{ROOT}/{path}" for path in kept),
    )
    assert build([apply(before, change, CODEC)]) == build([before])


@settings(max_examples=300, deadline=None)
@given(steps, st.dictionaries(st.sampled_from(PATHS), good_files | broken_files, max_size=2), steps)
def test_an_amended_index_is_that_of_a_build(before, change, other):
    """The other store has the same names, and comes first."""
    lower, cards = make_cards({}, "/other", -1), make_cards({})
    for step in other:
        lower = take(lower, step)
    for step in before:
        cards = take(cards, step)
    index = build([lower, cards])
    reads = tuple(make_read(f"{ROOT}/{path}", text) for path, text in change.items())
    told = StoreChange(SOURCE, root=ROOT, device=1, reads=reads)
    after = apply(cards, told, CODEC)
    found = amended(index, {SOURCE: cards}, {SOURCE: after}, [told])
    assert found is None or found == build([lower, after])


def test_a_changed_value_needs_no_build():
    cards = make_cards({"a.yaml": "name: a\nx: 1\n", "b.yaml": "name: b\nbase: a\n"})
    told = StoreChange(SOURCE, root=ROOT, device=1, reads=(make_read(f"{ROOT}/a.yaml", "name: a"),))
    after = apply(cards, told, CODEC)
    assert amended(build([cards]), {SOURCE: cards}, {SOURCE: after}, [told]) == build([after])
