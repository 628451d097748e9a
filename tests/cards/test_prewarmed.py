from __future__ import annotations

from collections.abc import Sequence

from resolverd.cards.index import build
from resolverd.cards.prewarmed import prewarmed
from tests.cards.making import make_cards

FILES = {
    "a.yaml": "name: llama3_8b\n---\nname: llama3_70b\n---\nname: qwen\n",
    "b.yaml": "name: marked\nprefetch: true\n---\nname: heir\nbase: marked\n",
    "c.yaml": "name: here\n---\nname: here@cluster\nprefetch: true\n",
    "d.yaml": "name: worded\nprefetch: 'true'\nnote: prefetch\n",
    "e.yaml": "name: lone@env\nprefetch: true\n",
}


def chosen(patterns: Sequence[str] = (), asked: Sequence[str] = ()) -> list[str]:
    return prewarmed(build([make_cards(FILES)]), patterns, asked)


def test_a_card_of_its_own_or_for_an_environment_marks_itself() -> None:
    assert chosen() == ["here", "marked"]


def test_patterns_choose_stems() -> None:
    assert chosen(["llama3_*", "q?en", "nothing"]) == [
        "here", "llama3_70b", "llama3_8b", "marked", "qwen",
    ]  # fmt: skip


def test_names_that_were_asked_for_count_while_they_exist() -> None:
    assert chosen(asked=["qwen", "worded@", "gone"]) == ["here", "marked", "qwen", "worded"]
