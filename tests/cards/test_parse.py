from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from resolverd.cards import parse_fast
from resolverd.cards.parse import MAX_PROBLEMS, ParsedFile, parse_file
from tests.cards.making import SOURCE, exact


def parse(text: str | bytes) -> ParsedFile:
    data = text.encode() if isinstance(text, str) else text
    return parse_file(data, "/cards/sub/a.yaml", SOURCE)


def codes(parsed: ParsedFile) -> list[tuple[str, int | None, int | None, str | None]]:
    return [(each.code, each.document, each.line, each.name) for each in parsed.problems]


def test_a_card_has_the_fields_that_fairseq2_gives_it():
    (card,) = parse("name: ' a @ e '\nbase: ' b '\nx: 010\nwhen: 2024-05-06\n").cards
    assert (card.name, card.base, card.document, card.line) == ("a@e", "b", 0, 1)
    expected = {"base": "b", "x": 10, "when": date(2024, 5, 6), "__base_path__": Path("/cards/sub")}
    assert exact(card.fields) == exact(expected)


def test_a_file_may_hold_many_cards_each_with_its_line():
    cards = parse("# first\nname: a\n---\n\nname: b\n---\n# third\nname: c\n").cards
    assert [(card.name, card.document, card.line) for card in cards] == [
        ("a@", 0, 2),
        ("b@", 1, 5),
        ("c@", 2, 8),
    ]


def test_cards_that_need_the_thorough_parser_have_the_same_places():
    cards = parse("# first\nname: a\n---\n\nname: !!str b\n---\n# third\nname: c\n").cards
    assert [(card.document, card.line) for card in cards] == [(0, 2), (1, 5), (2, 8)]


def test_an_empty_file_holds_no_card_and_no_problem():
    assert parse("") == parse("\n# only a comment\n") == ParsedFile((), ())


@pytest.mark.parametrize(
    ("document", "code", "name", "words"),
    [
        ("a: b", "no-name", None, "does not have a name"),
        ("name: ''", "no-name", None, "does not have a name"),
        ("name: 0", "no-name", None, "does not have a name"),
        ("name: ~", "no-name", None, "does not have a name"),
        ("name: 5", "name-type", None, "expected to be of type `str`, but is of type `int`"),
        ("name: [a]", "name-type", None, "expected to be of type `str`, but is of type `list`"),
        ("name: 2024-05-06", "name-type", None, "of type `date`"),
        ("name: a@b@c", "name-invalid", None, "does not have a valid name"),
        ("name: '@b'", "name-invalid", None, "does not have a valid name"),
        ("name: '  '", "name-invalid", None, "does not have a valid name"),
        ("name: a\nbase: 5", "base-type", "a@", "Base name of the asset at index 0 is expected"),
        ("name: a\nbase: false", "base-type", "a@", "but is of type `bool`"),
        ("name: a\nbase: b@c", "base-invalid", "a@", "does not have a valid base name"),
        ("name: a\nbase: ''", "base-invalid", "a@", "does not have a valid base name"),
        (
            "- name: a",
            "not-a-mapping",
            None,
            "of type `dict`, but is of type `list`",
        ),
        ("a", "not-a-mapping", None, "but is of type `str`"),
        ("---", "not-a-mapping", None, "but is of type `NoneType`"),
        ("a: b: c", "bad-yaml", None, "mapping values are not allowed here"),
        ("a: [b", "bad-yaml", None, "flow sequence"),
        ("a: !foo b", "bad-yaml", None, "could not determine a constructor for the tag '!foo'"),
        ("a: *b", "bad-yaml", None, "undefined alias"),
        ("a: =", "bad-yaml", None, "could not determine a constructor"),
        ("a: b\na: c", "duplicate-key", None, 'duplicate key "a"'),
        ("a: 2024-13-01", "bad-value", None, "month must be in 1..12"),
        ("a: \x07", "bad-character", None, "special characters are not allowed"),
        ("a: &x [*x]", "recursive-alias", None, "itself"),
    ],
)
def test_a_document_that_fairseq2_refuses_is_a_problem_in_its_words(document, code, name, words):
    parsed = parse(document)
    assert parsed.cards == ()
    (problem,) = parsed.problems
    assert (problem.code, problem.document, problem.name) == (code, 0, name)
    assert words in problem.reason
    assert problem.remedy
    assert (problem.store, problem.path, problem.severity) == (SOURCE, "/cards/sub/a.yaml", "error")


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ("x: 'never closed", 3),
        ("x: [1, 2", 3),
        ("x: {a: ", 3),
        ("name: b\n x: y", 4),
        ("\tname: b", 3),
        ("name: b\nname: c", 4),
        ("name: &x [*x]", 3),
        ("x: \x07", 3),
        ("", 3),
    ],
)
def test_one_bad_document_costs_itself_only(document, line):
    parsed = parse(f"name: a\n---\n{document}\n---\nname: c\n")
    assert [(card.name, card.document) for card in parsed.cards] == [("a@", 0), ("c@", 2)]
    (problem,) = parsed.problems
    assert problem.document == 1
    assert problem.line in (line, line + 1)


def test_bytes_that_are_not_utf_8_cost_their_document_only():
    parsed = parse(b"name: a\n---\nname: b\nx: \xe9\n---\nname: \xc3\xa9\n")
    assert [card.name for card in parsed.cards] == ["a@", "é@"]
    assert codes(parsed) == [("encoding", 1, 4, None)]
    assert "0xe9" in parsed.problems[0].reason


def test_documents_after_a_directive_are_not_guessed_at():
    parsed = parse("name: z\n---\nname: a\n...\n%YAML 1.1\n---\nname: b\nx: [\n---\nname: c\n")
    assert [card.name for card in parsed.cards] == ["z@", "a@"]
    assert [each.code for each in parsed.problems] == ["bad-yaml"]


def test_a_directive_does_not_leak_into_the_next_file():
    (first,) = parse("%YAML 1.1\n---\nname: a\nx: yes\ny: !!str 1\n").cards
    (second,) = parse("name: a\nx: yes\ny: !!str 1\n").cards
    assert (first.fields["x"], second.fields["x"]) == (True, "yes")


def test_a_name_that_occurs_twice_is_given_twice():
    assert [card.name for card in parse("name: a\n---\nname: 'a@ '\n").cards] == ["a@", "a@"]


def test_the_problems_of_one_file_are_bounded():
    parsed = parse("---\nx: y\n" * (MAX_PROBLEMS + 5))
    assert len(parsed.problems) == MAX_PROBLEMS + 1
    assert "5 more" in parsed.problems[-1].reason


def test_the_directory_is_that_of_the_file_whatever_its_characters():
    path = os.fsdecode(b"/cards/\xff/a.yaml")
    (card,) = parse_file(b"name: a\n", path, SOURCE).cards
    assert os.fsencode(card.fields["__base_path__"]) == b"/cards/\xff"


def test_without_the_c_parser_the_cards_are_the_same(monkeypatch):
    text = "name: a\nx: [1, 0o7]\n---\nname: b\nbase: a\n---\nx: [\n---\nname: c\n"
    fast = parse(text)
    monkeypatch.setattr(parse_fast, "_Parser", None)
    assert parse(text) == fast
