"""Environments, base chains and relative paths: fairseq2's asset store and resolverd's index."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resolverd_client import protocol

from resolverd.cards import index, resolve
from resolverd.cards.catalogue import StoreCards, apply
from resolverd.cards.file import FileRead, StoreChange
from resolverd.cards.store import Store
from resolverd.errors import CardError
from tests.fairseq2.exact import tree

pytestmark = pytest.mark.fairseq2

STEMS = ["a", "b", "c", "d"]
NAMES = [
    *STEMS, "e", "a@", "a@user", "a@prod", " b ", "b@ prod ", "c@nowhere", "d@dev", "a@x@y",
    "@", "", "@prod", " @user",
]  # fmt: skip
URIS = [
    "a.pt", "dir/a.pt", "./a.pt", "../a.pt", "/abs/a.pt", "", ".", "..", "~/a.pt", "a b", "é",
    "C:/a", "c:a", "x:y", "?q", "#f", "%41", "http://[bad", "http://h/a#f?q", "FILE:/x",
    " /x", "file:///x/../y", "hg://o/r", "hg://o/r@main", "s3://b/k;gated=true",
    "data:,x", "http://h:80/a b", "HTTP://H/%7Ea", "///a", "a//b/", "a\0b", "\ud800",
]  # fmt: skip
if sys.version_info < (3, 12):  # later Pythons word it otherwise than the environment's 3.11
    URIS.append("//host/p")
if sys.version_info < (3, 13):
    URIS.append("file:rel")

_bases = st.sampled_from([None] * 4 + ["a", "b", "c", "d", " a ", "missing"])
_fields = st.dictionaries(
    st.sampled_from(["checkpoint", "tokenizer", "x", "__source__", "__base_path__", "name_of"]),
    st.one_of(st.sampled_from(URIS), st.integers(0, 9), st.none()),
    max_size=3,
)
_cards = st.fixed_dictionaries({"base": _bases, "null_base": st.booleans(), "fields": _fields})
_stores = st.dictionaries(
    st.tuples(st.sampled_from(STEMS), st.sampled_from(["", "@", "@user", "@prod", "@dev"])),
    st.tuples(st.sampled_from(["x.yaml", "sub/y.yml", "sub/deep/.z.yaml"]), _cards),
    min_size=1,
    max_size=7,
)


def word(name, card):
    """One card as YAML text."""
    fields = {"name": name, **card["fields"]}
    if card["base"] is not None:
        fields["base"] = card["base"]
    elif card["null_base"]:
        fields["base"] = None
    lines = [f"{key}: {'null' if v is None else quoted(v)}\n" for key, v in fields.items()]
    return "---\n" + "".join(lines)


def quoted(value):
    if isinstance(value, int):
        return str(value)
    hexed = "".join(f"\\U{ord(c):08x}" for c in value)
    return f'"{hexed}"'


def write(root, cards):
    """Write the store; of ``a`` and ``a@``, which are one name, only the first."""
    shutil.rmtree(root, ignore_errors=True)
    seen = set()
    for (stem, env), (place, card) in cards.items():
        if (stem, env.strip("@")) not in seen:
            seen.add((stem, env.strip("@")))
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            with (root / place).open("a") as file:
                file.write(word(stem + env, card))


def read(root):
    """The index of one store, without the daemon."""
    store = Store(f"path:{root}", str(root))
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    reads = tuple(FileRead(str(path), None, path.read_bytes()) for path in files)
    change = StoreChange(store.source, root=str(root), reads=reads, complete=True)
    return index.build([apply(StoreCards(store), change, protocol)])


def attempt(do, *arguments):
    try:
        return do(*arguments)
    except (CardError, ValueError):
        return "refused"


def merged(answer):
    """The fields of fairseq2's chain, of one name the nearest, but for what its store adds."""
    return {str(key): value for key, value, _ in answer["fields"] if key != ["str", "__source__"]}


def check(theirs, cards, name, env):
    """The same card, the same absence or the same refusal."""
    envs = resolve.environments(env)
    if theirs is not None and "refused" in theirs:
        with pytest.raises(CardError) as refusal:
            resolve.resolve(cards, name, envs, protocol)
        check_refusal(theirs["refused"], str(refusal.value))
        return
    ours = resolve.resolve(cards, name, envs, protocol)
    assert (ours is None) == (theirs is None)
    if ours is not None:
        check_fields(theirs, ours)


def check_refusal(refusal, ours):
    if "RecursionError" in [kind for kind, _ in refusal]:
        assert "never ends" in ours
    else:
        assert refusal == [["AssetCardError", ours]]


def check_fields(theirs, ours):
    fields = {str(tree(k)): tree(v) for k, v in ours.fields.items() if k != "__source__"}
    assert fields == merged(theirs)
    if len(theirs["chain"]) == 1:
        ((_, leaf),) = theirs["chain"]
        order = [key for key, _ in leaf[1:] if key != ["str", "__source__"]]
        assert [tree(key) for key in ours.fields if key != "__source__"] == order
    for key, _, uri in theirs["fields"]:
        if uri is not None and key != ["str", "__source__"]:
            expected = "refused" if isinstance(uri, dict) else uri
            assert attempt(resolve.source_uri, ours, key[1]) == expected


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cards=_stores, env=st.sampled_from([None, "prod", " prod ", "dev", "", "user"]))
def test_any_chain_in_any_environment_gives_fairseq2s_fields(
    fairseq2, tmp_path_factory, cards, env
):
    root = Path(tmp_path_factory.getbasetemp()) / "chains"
    write(root, cards)
    answers = fairseq2.ask("cards", paths=[str(root)], env=env, names=NAMES, only_paths=True)
    ours = read(root)
    for name in NAMES:
        check(answers[name], ours, name, env)


def test_every_form_of_a_location_gives_fairseq2s_uri(fairseq2, tmp_path):
    card = {"base": "b", "null_base": False, "fields": {}}
    base = {"base": None, "null_base": False, "fields": {f"f{n}": v for n, v in enumerate(URIS)}}
    write(tmp_path / "s", {("a", ""): ("sub/y.yml", card), ("b", ""): ("x.yaml", base)})
    answers = fairseq2.ask(
        "cards", paths=[str(tmp_path / "s")], env=None, names=["a", "b"], only_paths=True
    )
    for name in ("a", "b"):
        assert len(answers[name]["fields"]) >= len(URIS)
        check(answers[name], read(tmp_path / "s"), name, None)


def test_a_name_that_two_files_share_is_refused_by_fairseq2_and_reported_here(fairseq2, tmp_path):
    (tmp_path / "x.yaml").write_text("name: a\nx: 1\n")
    (tmp_path / "y.yaml").write_text("name: a@\nx: 2\n")
    refused = fairseq2.ask("directory", path=str(tmp_path))["refused"]
    assert "have the same name a@" in refused[0][1]
    ours = read(tmp_path)
    assert [(p.code, p.name) for p in ours.problems] == [("duplicate-name", "a@")]
    assert "have the same name a@" in ours.problems[0].reason
