"""What a report makes of the served state."""

from __future__ import annotations

import pickle

from resolverd.cards.file import FileRead, Stamp, StoreChange
from resolverd.cards.published import absorb, begin
from resolverd.cards.store import Store

STORE = Store("path:/s", "/s")


class Pickle:
    """A codec that needs no wire."""

    @staticmethod
    def pack(value: object) -> bytes:
        return pickle.dumps(value)

    @staticmethod
    def unpack(data: bytes) -> object:
        return pickle.loads(data)


def read(text: str, size: int = 1) -> FileRead:
    return FileRead("/s/a.yaml", Stamp(1, 1, size, 1), text.encode())


def test_content_that_changed_makes_the_next_generation() -> None:
    first = absorb(begin([STORE], {}), [StoreChange("path:/s", reads=(read("name: a"),))], Pickle)
    second = absorb(first, [StoreChange("path:/s", reads=(read("name: b", 2),))], Pickle)
    assert second.snapshot.generation == first.snapshot.generation + 1
    assert list(second.snapshot.index.cards) == ["b@"]


def test_a_report_of_nothing_new_keeps_the_very_state() -> None:
    first = absorb(begin([STORE], {}), [StoreChange("path:/s", reads=(read("name: a"),))], Pickle)
    same = StoreChange("path:/s", complete=True, kept=frozenset({"/s/a.yaml"}))
    assert absorb(first, [same], Pickle) is first


def test_a_new_problem_alone_makes_no_generation_but_is_told() -> None:
    first = absorb(begin([STORE], {}), [StoreChange("path:/s", reads=(read("name: a"),))], Pickle)
    other = FileRead("/s/b.yaml", Stamp(1, 1, 1, 2), b"name: [")
    second = absorb(first, [StoreChange("path:/s", reads=(other,))], Pickle)
    assert second.snapshot is first.snapshot
    assert len(second.index.problems) == 1


def test_what_was_kept_is_taken_over_only_for_the_same_place() -> None:
    kept = absorb(begin([STORE], {}), [StoreChange("path:/s", reads=(read("name: a"),))], Pickle)
    again = begin([Store("path:/s", "/s", precedence=3)], kept.stores)
    assert list(again.snapshot.index.cards) == ["a@"]
    assert again.stores["path:/s"].store.precedence == 3
    assert begin([Store("path:/s", "/elsewhere")], kept.stores).snapshot.index.cards == {}


def test_the_first_report_makes_the_first_generation_even_if_all_is_as_it_was_kept() -> None:
    kept = absorb(begin([STORE], {}), [StoreChange("path:/s", reads=(read("name: a"),))], Pickle)
    again = begin([STORE], kept.stores)
    same = StoreChange("path:/s", complete=True, kept=frozenset({"/s/a.yaml"}))
    assert again.snapshot.generation == 0
    assert absorb(again, [same], Pickle).snapshot.generation == 1


def test_a_report_of_a_store_that_is_not_served_is_passed_over() -> None:
    state = absorb(begin([STORE], {}), [], Pickle)
    assert absorb(state, [StoreChange("path:/other", reads=(read("name: a"),))], Pickle) is state
