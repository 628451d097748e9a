"""Checking cards without a daemon."""

from __future__ import annotations

from pathlib import Path

from resolverd.lint import lint


def put(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder


def test_good_cards_have_no_problems(tmp_path: Path) -> None:
    put(
        tmp_path,
        "a.yaml",
        "name: a\nmodel_family: f\ncheckpoint: https://x/y\n---\nname: b\nbase: a\n",
    )
    report = lint([tmp_path])
    assert (report.files, report.cards, report.problems) == (1, 2, ())


def test_a_problem_names_file_line_document_and_field(tmp_path: Path) -> None:
    put(tmp_path, "a.yaml", "name: a\n---\nname: b\nbase: 3\n")
    (problem,) = lint([tmp_path]).problems
    assert (problem.path, problem.document, problem.field) == (str(tmp_path / "a.yaml"), 1, "base")
    assert problem.line in {3, 4}
    assert problem.severity == "error"
    assert problem.remedy


def test_a_model_without_checkpoint_in_its_whole_chain_is_a_warning(tmp_path: Path) -> None:
    put(tmp_path, "a.yaml", "name: a\nmodel_family: f\n---\nname: b\nbase: a\ncheckpoint: /x\n")
    (problem,) = lint([tmp_path]).problems
    assert (problem.code, problem.name, problem.severity) == ("no-checkpoint", "a@", "warning")


def test_a_card_may_be_based_on_one_of_another_path(tmp_path: Path) -> None:
    one = put(tmp_path / "one", "a.yaml", "name: a\ntokenizer_family: f\n")
    two = put(tmp_path / "two", "b.yaml", "name: b\nbase: a\n")
    assert lint([two]).problems
    assert lint([two, one]).problems == ()


def test_a_single_file_can_be_checked(tmp_path: Path) -> None:
    put(tmp_path, "a.yaml", "name: a@b@c\n")
    (problem,) = lint([tmp_path / "a.yaml"]).problems
    assert problem.severity == "error"
