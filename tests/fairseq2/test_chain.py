"""The whole chain: what comes out of the client is what fairseq2 gives, type for type.

One daemon, one socket, one client for the module; its stores are the cards that fairseq2 ships,
taken from the environment that holds it, and a directory that the tests write to.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from resolverd_client import AssetNotFoundError, RequestError

from resolverd.cards.parse import parse_file
from tests.daemon.running import daemon
from tests.fairseq2 import compare, hard_yaml
from tests.fairseq2.exact import tree

pytestmark = pytest.mark.fairseq2

ALL_TYPES = r"""
name: all types
none: ~
bools: [true, false]
ints: [0, -1, 9223372036854775807, 18446744073709551616, -0x123456789abcdef0123456789abcdef]
floats: [0.0, -0.0, 1e5, .inf, -.inf, .nan, 1.5e-320]
texts: ["", é, "\U0001f600", "\ud800", "\0", 12:30:45, on, 0777x]
dates: [2001-12-14, 0001-01-01, 9999-12-31]
times: [2001-12-14 21:59:43, 2001-12-14 21:59:43.123456789, 2001-12-14T21:59:43Z,
  2001-12-14 21:59:43 -5, 2001-12-14 21:59:43.5+05:30, 2001-12-14T21:59:43+00:00]
bytes: !!binary AAECf//+
set: !!set {a, 1, 2001-12-14, [x, y]}
pairs: !!pairs [a: 1, a: [2]]
ordered: !!omap [z: 1, a: !!omap [b: 2], m: ~]
order: {z: 1, y: 2, a: 3, 1: one, 1.5: float, ~: none, false: bool, 2001-12-14: date, [t, 1]: tuple}
empty: {map: {}, list: [], set: !!set {}, omap: !!omap []}
deep: [[[[[[[[[[{a: [{b: [[]]}]}]]]]]]]]]]
alias: [&a {b: 1}, *a, *a]
"""


def through_the_daemon(examples):
    # A failure waits for its deadline: too slow to be made small. test_files.py does that.
    return settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.fixture(scope="module")
def node(fairseq2, tmp_path_factory):
    own = tmp_path_factory.mktemp("own")
    shipped = f"package:fairseq2.assets.cards@{fairseq2.site_dir}"
    with daemon(stores=[shipped, str(own)]) as running:
        running.own = own
        yield running


@pytest.fixture(scope="module")
def client(node):
    with node.client() as client:
        yield client


@pytest.fixture(scope="module")
def put(node):
    """Replace the directory's content by these files in one step; return their paths."""
    steps = itertools.count()

    def put(contents):
        for name in os.listdir(node.own):
            os.rename(node.own / name, node.folder / f"old-{name}")
        batch = f"batch{next(steps)}"
        made = node.folder / batch
        made.mkdir()
        for name, data in contents.items():
            (made / name).write_bytes(data)
        made.rename(node.own / batch)
        return [node.own / batch / name for name in contents]

    return put


def settled(differences):
    """Wait until nothing differs, or fail with what still does."""
    end = time.monotonic() + 10
    while (found := differences()) and time.monotonic() < end:
        time.sleep(0.01)
    assert found == []


def test_every_card_that_fairseq2_ships_comes_through_alike(fairseq2, client):
    answer = fairseq2.ask("package", name="fairseq2.assets.cards")
    assert len(answer["metadata"]) == 88
    assert set(answer["metadata"]) <= client.asset_names
    for name, metadata in answer["metadata"].items():
        assert tree(client.maybe_get_metadata(name)) == metadata


def test_no_other_card_comes_out_of_the_package(fairseq2, client, put):
    put({})
    answer = fairseq2.ask("package", name="fairseq2.assets.cards")
    settled(lambda: sorted(client.asset_names ^ set(answer["metadata"])))


@pytest.mark.parametrize("env", [None, "prod", " dev ", "elsewhere"])
def test_every_shipped_asset_is_retrieved_alike_in_any_environment(fairseq2, client, put, env):
    overrides = b"""
name: llama3_8b@user
model_config: {dropout_p: 0.1}
---
name: llama3@prod
checkpoint: other/llama3.pt
---
name: llama3@dev
base: ~
---
name: llama3_70b@prod
base: llama3_8b
---
name: llama3_70b@dev
tokenizer: ../t.json
"""
    (path,) = put({"overrides.yaml": overrides})
    answers = fairseq2.ask("cards", paths=[str(path.parent)], env=env)
    assert len(answers) == 88
    settled(lambda: [name for name in answers if not retrieved_alike(client, answers, name, env)])


def retrieved_alike(client, answers, name, env):
    theirs = answers[name]
    try:
        ours = client.resolve(name, env)
    except RequestError as refusal:
        return theirs == {"refused": [["AssetCardError", str(refusal)]]}
    if "refused" in theirs:
        return False
    # What the store of fairseq2 adds.
    expected = {str(key): value for key, value, _ in theirs["fields"] if key[1] != "__source__"}
    return {str(tree(key)): tree(value) for key, value in ours.items()} == expected


def test_a_name_that_neither_knows(fairseq2, client):
    assert fairseq2.ask("cards", names=["nothing", "nothing@user", " ", "@x"]) == dict.fromkeys(
        ["nothing", "nothing@user", " ", "@x"]
    )
    for name in ("nothing", "nothing@user", " ", "@x"):
        assert client.maybe_get_metadata(name) is None
        with pytest.raises(AssetNotFoundError):
            client.resolve(name)


def test_every_type_of_value_comes_through_the_socket(fairseq2, client, put):
    [path] = put({"all.yaml": ALL_TYPES.encode()})
    [[(name, metadata)]] = fairseq2.ask("files", paths=[str(path)])
    settled(lambda: [] if client.maybe_get_metadata(name) else [name])
    assert tree(client.maybe_get_metadata(name)) == metadata
    older = client.get_metadata("all types")
    assert older.pop("name") == "all types"
    assert tree(older) == metadata


@through_the_daemon(examples=8)
@given(contents=st.lists(hard_yaml.files(), min_size=1, max_size=40))
def test_any_files_give_fairseq2s_cards_and_refusals_through_the_socket(
    fairseq2, client, put, contents
):
    named = {f"{n}.yaml": data.replace(b"card", b"card%d" % n) for n, data in enumerate(contents)}
    paths = put(named)
    answers = fairseq2.ask("files", paths=[str(path) for path in paths])
    served = Counter(names_of(paths, named.values()))
    shipped = set(fairseq2.ask("package", name="fairseq2.assets.cards")["metadata"])
    expected = shipped | set(served)
    accepted = [pair for theirs in answers if isinstance(theirs, list) for pair in theirs]
    once = {n: metadata for n, metadata in accepted if type(n) is str and served[n] == 1}
    faults = {
        str(path): compare.code_of(theirs["refused"])
        for path, data, theirs in zip(paths, named.values(), answers, strict=True)
        if isinstance(theirs, dict) and not compare.holds_itself(data)
    }

    def differences():
        problems = client.status()["problems"]
        reported = {(problem["path"], problem["code"]) for problem in problems}
        return [
            *sorted(client.asset_names ^ expected),
            *(name for name in once if tree(client.maybe_get_metadata(name)) != once[name]),
            *sorted(set(faults.items()) - reported),
        ]

    settled(differences)


# Faults between cards, which fairseq2 meets when it puts stores together or retrieves a card.
BETWEEN_CARDS = {"duplicate-name", "missing-base", "base-cycle"}


@through_the_daemon(examples=6)
@given(contents=st.lists(hard_yaml.files(), min_size=1, max_size=40))
def test_lint_finds_an_error_in_just_the_files_that_fairseq2_refuses(fairseq2, node, put, contents):
    paths = put({f"{n}.yaml": data for n, data in enumerate(contents)})
    answers = fairseq2.ask("files", paths=[str(path) for path in paths])
    refused = {
        str(path)
        for path, data, theirs in zip(paths, contents, answers, strict=True)
        if "refused" in theirs or compare.holds_itself(data)
    }
    linted = node.ctl("--json", "lint", str(paths[0].parent))
    problems = json.loads(linted.stdout)["problems"]
    errors = [each for each in problems if each["severity"] == "error"]
    assert linted.returncode == (1 if errors else 0)
    assert {e["path"] for e in errors if e["code"] not in BETWEEN_CARDS} == refused


def names_of(paths, contents):
    """All names that must be there: of a refused file, those of its sound documents."""
    for path, data in zip(paths, contents, strict=True):
        yield from (card.name for card in parse_file(data, str(path), "path:x").cards)
