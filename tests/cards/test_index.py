from __future__ import annotations

from dataclasses import replace

import pytest

from resolverd.cards.index import Index, build
from tests.cards.making import change_files, make_cards


def problems(index: Index) -> list[tuple[str, str | None]]:
    return [(problem.code, problem.name) for problem in index.problems]


def test_the_index_names_every_card():
    index = build([make_cards({"a.yaml": "name: a\n---\nname: a@e\n", "b.yml": "name: b\n"})])
    assert index.cards.keys() == {"a@", "a@e", "b@"}
    assert index.problems == ()


def test_the_store_of_the_lowest_precedence_number_wins_in_whatever_order_they_come():
    user = make_cards({"z.yaml": "name: a\n"}, "/user", 0)
    system = make_cards({"a.yaml": "name: a\n"}, "/system", 1)
    for stores in ([user, system], [system, user]):
        index = build(stores)
        assert index.cards["a@"].path == "/user/z.yaml"
        (problem,) = index.problems
        assert (problem.code, problem.path, problem.line) == ("duplicate-name", "/system/a.yaml", 1)
        assert "/user/z.yaml:1 is served instead" in problem.reason


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.yaml", "b.yaml"),
        ("a/z.yaml", "b.yaml"),
        ("a/z.yaml", "a-b.yaml"),  # compared by components: '/' sorts before all else
        ("a/b/c.yaml", "a/c.yaml"),
        ("A.yaml", "a.yaml"),
    ],
)
def test_inside_a_store_the_first_path_wins(first, second):
    for files in ([first, second], [second, first]):
        index = build([make_cards(dict.fromkeys(files, "name: a\n"))])
        assert index.cards["a@"].path == f"/cards/{first}"
        assert [problem.path for problem in index.problems] == [f"/cards/{second}"]


def test_inside_a_file_the_first_document_wins():
    index = build([make_cards({"a.yaml": "name: a\n---\nname: a\n---\nname: a\n"})])
    assert index.cards["a@"].document == 0
    assert [problem.document for problem in index.problems] == [1, 2]


def test_what_a_file_says_now_wins_over_what_another_once_said():
    cards = make_cards({"a.yaml": "name: a\n", "b.yaml": "name: b\n"})
    cards = change_files(cards, {"a.yaml": "name: [", "b.yaml": "name: a\n"})
    index = build([cards])
    assert index.cards["a@"].path == "/cards/b.yaml"
    assert index.cards["a@"].stale is None


def test_a_missing_base_is_a_problem_of_the_card_that_names_it():
    index = build([make_cards({"a.yaml": "name: a\nbase: b\n---\nname: c\nbase: a\n"})])
    assert problems(index) == [("missing-base", "a@")]
    assert index.problems[0].reason == "b base asset of the a asset card does not exist."


def test_a_base_may_lie_in_another_store():
    stores = [
        make_cards({"a.yaml": "name: a\nbase: b\n"}, "/user", 0),
        make_cards({"b.yaml": "name: b\n"}, "/system", 1),
    ]
    assert build(stores).problems == ()


def test_every_card_whose_chain_never_ends_is_told_with_the_cycle():
    text = "name: a\nbase: b\n---\nname: b\nbase: c\n---\nname: c\nbase: b\n---\nname: d\n"
    index = build([make_cards({"a.yaml": text})])
    assert problems(index) == [("base-cycle", "a@"), ("base-cycle", "b@"), ("base-cycle", "c@")]
    assert all("b -> c -> b" in problem.reason for problem in index.problems)


def test_a_card_that_is_its_own_base_is_told():
    index = build([make_cards({"a.yaml": "name: a\nbase: a\n"})])
    assert problems(index) == [("base-cycle", "a@")]


def test_a_cycle_that_only_an_environment_closes_is_told_with_the_environment():
    text = "name: a\nbase: b\n---\nname: b\n---\nname: b@e\nbase: a\n"
    index = build([make_cards({"a.yaml": text})])
    assert {problem.name for problem in index.problems} == {"a@", "b@e"}
    assert all("in the environment e" in problem.reason for problem in index.problems)


def test_an_environment_may_break_a_cycle():
    text = "name: a\nbase: b\n---\nname: b\nbase: a\n---\nname: b@e\nbase: ~\n"
    index = build([make_cards({"a.yaml": text})])
    assert {problem.name for problem in index.problems} == {"a@", "b@"}
    assert not any("environment" in problem.reason for problem in index.problems)


def test_an_override_of_no_card_is_a_warning():
    index = build([make_cards({"a.yaml": "name: a@e\n"})])
    (problem,) = index.problems
    assert (problem.code, problem.severity) == ("no-plain-card", "warning")


def test_problems_of_files_and_stores_are_in_the_index():
    cards = replace(make_cards({"a.yaml": "- a\n"}), state="error", reason="it burns")
    assert problems(build([cards])) == [("store-error", None), ("not-a-mapping", None)]


def test_a_chain_of_ten_thousand_cards_is_checked_without_recursion():
    count = 10_000
    documents = [f"name: a{number}\nbase: a{number + 1}\n" for number in range(count)]
    index = build([make_cards({"a.yaml": "---\n".join(documents)})])
    assert problems(index) == [("missing-base", f"a{count - 1}@")]
