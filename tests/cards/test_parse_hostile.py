"""Whatever a file holds, parsing it ends soon, with cards or with problems, and never raises."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolverd.cards.parse import parse_file
from tests.cards.making import SOURCE

NAME = "name: a\n"
SECONDS = 15.0  # the bound is on the order of growth: none takes 3 s on a quiet machine


def bomb(first: str, step: str) -> str:
    lines = [f"k0: &a0 {first}\n"]
    for number in range(1, 12):
        aliases = ", ".join([f"*a{number - 1}"] * 10)
        lines.append(f"k{number}: &a{number} {step.format(aliases)}\n")
    return "".join(lines)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x: " + "[" * 3000 + "]" * 3000, "too-deep"),
        ("x: " + "[" * 400_000, "too-deep"),
        ("x: " + "{a: " * 100_000, "too-deep"),
        ("- " * 200_000, "too-deep"),
        ("? " * 200_000, "too-deep"),
        ("".join(f"{' ' * depth}k:\n" for depth in range(900)), "too-deep"),
        ("x: &a " + "[" * 100 + "]" * 100 + "\ny: " + "[" * 100 + "*a" + "]" * 100, "too-deep"),
        (bomb("[x, x, x, x, x, x, x, x, x, x]", "[{}]"), "alias-bomb"),
        (bomb("{x: 1}", "{{<<: [{}]}}"), "alias-bomb"),
        (bomb("[x]", "[{}]") + "z: {k: *a11, k: *a11}\n", "alias-bomb"),
        (f"x: &x {'y' * 100_000}\nz: [{'*x,' * 1000}]\n", "alias-bomb"),
        ("x: &x [*x]\n", "recursive-alias"),
        ("x: &x {<<: *x}\n", "recursive-alias"),
        ("x: &x\n  y: [1, {z: *x}]\n", "recursive-alias"),
        ("x: &x\n  ? *x\n  : 1\n", "recursive-alias"),
        ("[" * (1 << 20), "too-large"),
        ("x: !!str " + "y" * (1 << 19), "too-large"),
        ("---\n" * (1 << 20), "too-large"),
        (f"x: {'9' * 400_000}\n", "bad-value"),
        ("a:" * 200_000, "bad-yaml"),
        ("\n" * 300_000 + "\tx", "bad-yaml"),
    ],
)
def test_a_hostile_document_is_a_problem_soon(text, code):
    begun = time.monotonic()
    parsed = parse_file(text.encode(), "/cards/a.yaml", SOURCE)
    assert time.monotonic() - begun < SECONDS
    assert parsed.cards == ()
    assert [problem.code for problem in parsed.problems] == [code]


def test_a_hostile_document_leaves_its_neighbours_alone():
    text = f"name: a\n---\n{bomb('[x]', '[{}]')}---\nx: {'[' * 5000}\n---\nname: b\n"
    parsed = parse_file(text.encode(), "/cards/a.yaml", SOURCE)
    assert [card.name for card in parsed.cards] == ["a@", "b@"]
    assert [problem.code for problem in parsed.problems] == ["alias-bomb", "too-deep"]


def test_a_file_beyond_the_limit_is_a_problem():
    parsed = parse_file(b" " * (16 << 20) + b"\n", "/cards/a.yaml", SOURCE)
    assert [problem.code for problem in parsed.problems] == ["too-large"]


def test_a_big_plain_file_is_read():
    text = "name: a\nx:\n" + "- y\n" * 300_000
    (card,) = parse_file(text.encode(), "/cards/a.yaml", SOURCE).cards
    assert card.fields["x"] == ["y"] * 300_000


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=60) | st.text("a:-[]{}&*!|>'\"\n ?,#%@`\t~<=", max_size=60).map(str.encode)
)
def test_no_bytes_make_it_raise(data):
    parsed = parse_file(b"name: a\n---\n" + data, "/cards/a.yaml", SOURCE)
    assert parsed.cards
    assert parsed.cards[0].name == "a@" or parsed.problems
