"""Files of cards, byte for byte: what fairseq2's file loader gives and what resolverd parses."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from resolverd.cards.parse import parse_file
from tests.fairseq2 import compare, hard_yaml
from tests.fairseq2.structures import STRUCTURES

pytestmark = pytest.mark.fairseq2


def thorough(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.fixture(scope="module")
def read(fairseq2, tmp_path_factory):
    """Write each text to a file of its own; return both readings of each."""
    folder = tmp_path_factory.mktemp("cards")

    def read(contents):
        contents = list(contents)
        paths = [folder / f"{index}.yaml" for index in range(len(contents))]
        for path, data in zip(paths, contents, strict=True):
            path.write_bytes(data)
        theirs = fairseq2.ask("files", paths=[str(path) for path in paths])
        ours = [
            parse_file(data, str(path), f"path:{folder}")
            for path, data in zip(paths, contents, strict=True)
        ]
        return list(zip(contents, theirs, ours, strict=True))

    return read


def check(data, theirs, ours):
    """Both accept and give the same cards, or both refuse for the same fault."""
    codes = [problem.code for problem in ours.problems]
    if "recursive-alias" in codes:
        assert compare.holds_itself(data)
    elif isinstance(theirs, list):
        assert codes == []
        assert compare.cards_of(ours) == theirs
    else:
        check_refusal(theirs["refused"], ours.problems)


def check_refusal(refusal, problems):
    """The fault that fairseq2 dies of is among the problems; of the text's, with its words."""
    code, index = compare.code_of(refusal), compare.index_of(refusal)
    same = [problem for problem in problems if problem.code == code]
    assert same, (refusal, problems)
    if code not in compare.TEXT_FAULTS:
        # The text is sound, so the documents were looked at in order.
        assert problems[0].code == code
        assert problems[0].document == index
    elif len(problems) == 1 and code != "encoding":
        assert compare.line_of(refusal) in (None, problems[0].line)
        for words in compare.words_of(refusal):
            assert words[:200] in compare.cut_off(problems[0].reason)


def value_files(values):
    return [f"name: card\nkey: {value}\n".encode() for value in values]


def test_every_disputed_scalar_has_fairseq2s_value_and_type(read):
    for result in read(value_files(hard_yaml.DISPUTED)):
        check(*result)


def test_every_disputed_scalar_is_fairseq2s_key(read):
    keys = [f"name: card\n{key}: value\n".encode() for key in hard_yaml.DISPUTED]
    for result in read(keys):
        check(*result)


def test_every_disputed_scalar_is_fairseq2s_in_flow_collections(read):
    for data, theirs, ours in read(
        value_files(f"[{each}, {{k: {each}}}]" for each in hard_yaml.DISPUTED)
    ):
        check(data, theirs, ours)


def test_every_disputed_scalar_is_fairseq2s_under_yaml_1_1(read):
    texts = [f"%YAML 1.1\n---\nname: card\nkey: {each}\n".encode() for each in hard_yaml.DISPUTED]
    for result in read(texts):
        check(*result)


def test_every_disputed_scalar_is_fairseq2s_name_and_base(read):
    texts = [f"name: {each}\nbase: {each}\n".encode() for each in hard_yaml.DISPUTED]
    for result in read(texts):
        check(*result)


def test_every_construct_in_dispute_is_read_as_fairseq2_reads_it(read):
    named = [
        text.replace("---\n", "---\nname: card\n", 1)
        if text.startswith("%")
        else f"name: card\n{text.rstrip()}\nz: 1\n"
        for text in STRUCTURES
    ]
    for result in read(text.encode() for text in named):
        check(*result)


def test_every_construct_in_dispute_is_read_alike_below_others(read):
    inner = [text.rstrip().replace("\n", "\n  ") for text in STRUCTURES]
    for result in read(f"name: card\nk:\n  {text}\nz: 1\n".encode() for text in inner):
        check(*result)


@thorough(examples=400)
@given(data=hard_yaml.files())
@example(data=b"")
@example(data=b"# nothing\n")
@example(data=b"---\n")
@example(data=b"name: card\n---\n")
@example(data=b"\xef\xbb\xbfname: card\n")
@example(data="name: card\n".encode("utf-16"))
@example(data=b"name: caf\xe9\n")
@example(data=b"!!set {name: card}\n")
@example(data=b"!!omap [name: card]\n")
def test_any_file_gives_fairseq2s_cards_or_its_refusal(read, data):
    [result] = read([data])
    check(*result)


@thorough(examples=60)
@given(text=hard_yaml.texts(), seed=st.integers(0, 2**32))
def test_any_damage_to_a_file_gives_fairseq2s_cards_or_its_refusal(read, text, seed):
    versions = [hard_yaml.damaged(text, seed + n).encode("utf-8", "replace") for n in range(5)]
    for result in read(versions):
        check(*result)


@thorough(examples=100)
@given(value=hard_yaml.after_key)
def test_any_value_of_a_field_has_fairseq2s_value_and_types(read, value):
    [result] = read([f"name: card\nkey:{value}".encode("utf-8", "replace")])
    check(*result)
