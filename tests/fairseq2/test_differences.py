"""Where resolverd must not do as fairseq2 does: what each of the two does, side by side.

Each test is a row of the table in resolverd/README.md.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from resolverd_client import RequestError, protocol

from resolverd.cards import parse, parse_document, parse_ruamel, parse_weight
from resolverd.cards.parse import parse_file
from resolverd.stores.wellknown import default_stores
from tests.daemon.running import daemon, eventually
from tests.fairseq2.exact import tree

pytestmark = pytest.mark.fairseq2


@pytest.fixture
def read(fairseq2, tmp_path):
    """Both readings of one file: fairseq2's answer, and resolverd's cards and codes of problems."""

    def read(data):
        path = tmp_path / "x.yaml"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        [theirs] = fairseq2.ask("files", paths=[str(path)])
        ours = parse_file(path.read_bytes(), str(path), "path:x")
        return theirs, [card.name for card in ours.cards], [each.code for each in ours.problems]

    return read


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("a: [1", "bad-yaml"),
        ("a: 'x", "bad-yaml"),
        ("a: *nowhere", "bad-yaml"),
        ("a: !unknown 1", "bad-yaml"),
        ("a: 1\na: 2", "duplicate-key"),
        ("a: \x07", "bad-character"),
        ("a: 2001-02-30", "bad-value"),
        ("name: 5", "name-type"),
        ("name: a@b@c", "name-invalid"),
        ("a: 1", "no-name"),
        ("- 1", "not-a-mapping"),
        ("", "not-a-mapping"),
        ("name: x\nbase: 5", "base-type"),
        ("name: x\nbase: a@b", "base-invalid"),
    ],
)
def test_a_bad_document_costs_only_itself(read, document, code):
    theirs, names, codes = read(f"name: before\n---\n{document}\n---\nname: after\n")
    assert "refused" in theirs
    assert names == ["before@", "after@"]
    assert codes == [code]


def test_bytes_that_are_not_utf_8_cost_only_their_document(read):
    theirs, names, codes = read(b"name: before\n---\nname: caf\xe9\n---\nname: after\n")
    assert theirs["refused"][0][0] == "UnicodeDecodeError"
    assert names == ["before@", "after@"]
    assert codes == ["encoding"]


def test_a_value_that_python_cannot_make_does_not_end_the_process(read):
    theirs, names, codes = read("name: x\na: 2001-02-30\n")
    assert theirs["refused"][0][0] == "ValueError"
    assert (names, codes) == ([], ["bad-value"])


def test_a_directive_does_not_reach_later_files(fairseq2, tmp_path):
    (tmp_path / "a.yaml").write_text("%YAML 1.1\n---\nname: one\nx: on\n")
    (tmp_path / "later").mkdir()
    later = tmp_path / "later" / "b.yaml"
    later.write_text("name: two\nx: on\n")
    theirs = fairseq2.ask("directory", path=str(tmp_path))["metadata"]["two@"]
    assert theirs[1] == [["str", "x"], ["bool", True]]
    [card] = parse_file(later.read_bytes(), str(later), "path:x").cards
    assert card.fields["x"] == "on"


def test_collections_nested_too_deep_are_refused_while_the_process_lives(read):
    def nested(depth):
        return f"name: x\na: {'[' * depth}{']' * depth}\n---\nname: y\n"

    theirs, names, codes = read(nested(parse_document.MAX_DEPTH - 1))
    assert ([name for name, _ in theirs], codes) == (names, [])
    theirs, names, codes = read(nested(parse_document.MAX_DEPTH + 10))
    assert [name for name, _ in theirs] == ["x@", "y@"]
    assert (names, codes) == (["y@"], ["too-deep"])
    theirs, names, codes = read(nested(3000))
    assert theirs["refused"][0][0] == "RecursionError"
    assert (names, codes) == (["y@"], ["too-deep"])


def test_a_collection_that_holds_itself_is_refused(read):
    theirs, names, codes = read("name: x\na: &a [*a]\n---\nname: y\n")
    assert [name for name, _ in theirs] == ["x@", "y@"]
    assert (names, codes) == (["y@"], ["recursive-alias"])


def test_aliases_that_expand_too_far_are_refused(read, monkeypatch):
    monkeypatch.setattr(parse_weight, "MAX_NODES", 1000)
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 4)]
    theirs, names, codes = read(f"name: x\na0: &a0 lol\n{''.join(lines)}---\nname: y\n")
    assert [name for name, _ in theirs] == ["x@", "y@"]
    assert (names, codes) == (["y@"], ["alias-bomb"])


def test_aliases_become_equal_copies(fairseq2, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: x\na: &a [1]\nb: *a\n")
    [card] = parse_file(path.read_bytes(), str(path), "path:x").cards
    assert card.fields["a"] is card.fields["b"]  # as fairseq2 has it
    fields = protocol.unpack(protocol.pack(card.fields))
    assert fields["a"] == fields["b"]
    assert fields["a"] is not fields["b"]


def test_an_ordered_map_is_pythons_own(fairseq2, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: x\na: !!omap [a: 1]\n")
    [[(_, theirs)]] = fairseq2.ask("files", paths=[str(path)])
    [card] = parse_file(path.read_bytes(), str(path), "path:x").cards
    ours = protocol.unpack(protocol.pack(card.fields))
    assert tree(ours) == theirs
    assert type(ours["a"]).__module__ == "collections"


def test_a_file_that_is_too_large_is_refused(read, monkeypatch):
    monkeypatch.setattr(parse, "MAX_BYTES", 1000)
    theirs, names, codes = read(b"name: x\na: " + b"x" * 1000)
    assert [name for name, _ in theirs] == ["x@"]
    assert (names, codes) == ([], ["too-large"])


def test_a_long_document_outside_the_fast_subset_is_refused(read, monkeypatch):
    monkeypatch.setattr(parse_ruamel, "MAX_CHARACTERS", 1000)
    theirs, names, codes = read(f"name: x\na: !!str {'x' * 1000}\n---\nname: y\n")
    assert [name for name, _ in theirs] == ["x@", "y@"]
    assert (names, codes) == (["y@"], ["too-large"])


def test_a_chain_that_never_ends_is_named(fairseq2, tmp_path):
    (tmp_path / "x.yaml").write_text("name: a\nbase: b\n---\nname: b\nbase: a\n")
    theirs = fairseq2.ask("cards", paths=[str(tmp_path)], names=["a"], only_paths=True)["a"]
    assert "RecursionError" in [kind for kind, _ in theirs["refused"]]
    with daemon(stores=[str(tmp_path)]) as node, node.client() as client:
        with pytest.raises(RequestError, match="never ends: a -> b -> a"):
            client.resolve("a")
        problems = client.status()["problems"]
    assert [(each["code"], each["name"]) for each in problems] == [
        ("base-cycle", "a@"),
        ("base-cycle", "b@"),
    ]


def test_of_one_name_in_two_stores_the_earlier_wins(fairseq2, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.yaml").write_text(f"name: x\nfrom: {name}\n")
    paths = [str(tmp_path / name) for name in ("one", "two")]
    theirs = fairseq2.ask("cards", paths=paths, only_paths=True)
    assert "exists in both" in theirs["refused"][0][1]
    with daemon(stores=paths) as node, node.client() as client:
        assert client.maybe_get_metadata("x")["from"] == "one"
        [problem] = client.status()["problems"]
    assert (problem["code"], problem["store"]) == ("duplicate-name", f"path:{paths[1]}")


def test_a_broken_edit_keeps_the_last_good_card(fairseq2, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: x\na: 1\n")
    with daemon(stores=[str(tmp_path)]) as node, node.client() as client:
        assert client.maybe_get_metadata("x")["a"] == 1
        path.write_text("name: x\na: [2\n")
        [card] = eventually(lambda: [c for c in client.list() if c["state"] == "stale"])
        assert client.maybe_get_metadata("x")["a"] == 1
    assert card["name"] == "x@"
    assert "refused" in fairseq2.ask("directory", path=str(tmp_path))


def test_a_file_that_cannot_be_opened_costs_only_itself(fairseq2, tmp_path):
    (tmp_path / "x.yaml").write_text("name: x\n")
    (tmp_path / "deep.yaml").symlink_to("deep.yaml")  # a loop: can't be opened
    assert fairseq2.ask("directory", path=str(tmp_path))["refused"][0][0] == "OSError"
    with daemon(stores=[str(tmp_path)]) as node, node.client() as client:
        assert client.asset_names == {"x@"}
        assert [each["code"] for each in client.status()["problems"]] == ["unreadable"]


def test_an_empty_variable_counts_as_unset(fairseq2, tmp_path):
    environ = {"HOME": str(tmp_path), "FAIRSEQ2_ASSET_DIR": ""}
    theirs = fairseq2.ask("directories", environ=environ)
    assert theirs[0] == os.getcwd()
    ours = default_stores(environ, str(tmp_path))
    assert "/etc/fairseq2/assets" in [store.location for store in ours]


def test_one_directory_named_twice_is_read_once(fairseq2, tmp_path):
    place = str(tmp_path / "cards")
    Path(place).mkdir()
    (tmp_path / "cards" / "x.yaml").write_text("name: x\n")
    variables = {"FAIRSEQ2_ASSET_DIR": place, "FAIRSEQ2_USER_ASSET_DIR": place}
    theirs = fairseq2.ask("cards", environ={"HOME": str(tmp_path), **variables})
    assert "exists in both" in theirs["refused"][0][1]
    ours = [store for store in default_stores(variables, str(tmp_path)) if not store.is_package]
    assert [store.location for store in ours] == [place]
