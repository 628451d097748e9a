from __future__ import annotations

from pathlib import Path

import pytest

from resolverd.cards.index import Index, build
from resolverd.cards.resolve import Resolution, environments, resolve, source_uri
from resolverd.errors import CardError
from tests.cards.making import CODEC, make_cards


def index_of(*documents: str) -> Index:
    return build([make_cards({f"{n}/a.yaml": text for n, text in enumerate(documents)})])


def found(index: Index, name: str, *envs: str) -> Resolution:
    resolution = resolve(index, name, envs, CODEC)
    assert resolution is not None
    return resolution


def test_the_user_environment_comes_before_the_configured_one():
    assert environments(None) == environments("") == environments("  ") == ("user",)
    assert environments(" e ") == ("user", "e")


def test_a_field_comes_from_the_nearest_card_of_the_chain():
    index = index_of(
        "name: a\nbase: b\nx: 1", "name: b\nbase: c\nx: 2\ny: 2", "name: c\ny: 3\nz: 3"
    )
    resolution = found(index, "a")
    assert resolution.fields == {
        "base": "b", "x": 1, "y": 2, "z": 3, "__base_path__": Path("/cards/0"),
    }  # fmt: skip
    assert [layer.card.name for layer in resolution.layers] == ["a@", "b@", "c@"]
    assert resolution.provenance["y"].card.name == "b@"
    assert resolution.provenance["__base_path__"].card.name == "a@"


def test_the_first_environment_that_has_an_override_wins():
    index = index_of("name: a\nx: 1\ny: 1", "name: a@user\nx: 2", "name: a@e\nx: 3\ny: 3")
    assert found(index, "a", "user", "e").fields["x"] == 2
    assert found(index, "a", "user", "e").fields["y"] == 1
    assert found(index, "a", "e").fields["y"] == 3
    assert found(index, "a").fields["x"] == 1
    assert [layer.env for layer in found(index, "a", "e").layers] == ["e", ""]


def test_a_name_with_an_environment_asks_for_that_one_only():
    index = index_of("name: a\nx: 1", "name: a@user\nx: 2", "name: a@e\nx: 3")
    assert found(index, " a @ e ", "user").fields["x"] == 3
    assert found(index, "a@", "user", "e").fields["x"] == 1
    assert found(index, "a@f", "user", "e").fields["x"] == 1


def test_the_base_is_looked_up_in_the_same_environments():
    index = index_of("name: a\nbase: b", "name: b\nx: 1", "name: b@e\nx: 2", "name: b@user\nx: 3")
    assert found(index, "a", "e").fields["x"] == 2
    assert found(index, "a@e", "user").fields["x"] == 2
    assert found(index, "a@", "user").fields["x"] == 1


def test_an_override_may_change_or_remove_the_base():
    overrides = ["name: a@e\nbase: c", "name: a@f\nbase: ~"]
    index = index_of("name: a\nbase: b", "name: b\nx: 1", "name: c\nx: 2", *overrides)
    assert found(index, "a", "e").fields["x"] == 2
    assert "x" not in found(index, "a", "f").fields


def test_an_override_alone_is_no_card():
    index = index_of("name: a@e\nx: 1")
    assert resolve(index, "a@e", (), CODEC) is None


@pytest.mark.parametrize("name", ["", " ", "@", "@e", "b", "b@e", "a@b@c@d x"])
def test_an_unknown_name_gives_none(name):
    index = index_of("name: b1\n")
    assert resolve(index, name, ("user",), CODEC) is None


def test_a_missing_base_is_an_error_that_names_both():
    index = index_of("name: a\nbase: b", "name: b\nbase: c")
    with pytest.raises(CardError, match="c base asset of the a asset card does not exist"):
        resolve(index, "a", (), CODEC)


def test_a_cycle_is_an_error_that_shows_it():
    index = index_of("name: a\nbase: b", "name: b\nbase: a")
    with pytest.raises(CardError, match="never ends: a -> b -> a"):
        resolve(index, "a", (), CODEC)


def test_every_resolution_is_fresh():
    index = index_of("name: a\nx: [1]")
    found(index, "a").fields["x"].append(2)
    assert found(index, "a").fields["x"] == [1]


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        ("hg://org/repo@main", "hg://org/repo@main"),
        ("HTTPS://Host/x?a=b#c", "https://Host/x?a=b#c"),
        ("http://h/x;gated=true", "http://h/x;gated=true"),
        ("/abs/a b.pt", "file:///abs/a%20b.pt"),
        ("rel/x.pt", "file:///cards/0/rel/x.pt"),
        ("../x.pt", "file:///cards/0/../x.pt"),
        ("", "file:///cards/0"),
        ("http://[bad", "file:///cards/0/http%3A/%5Bbad"),
        ("file:///x", "file:///x"),
    ],
)
def test_a_source_is_a_uri_or_a_path_from_the_directory_of_the_leaf(value, uri):
    index = index_of("name: a\nbase: b", f"name: b\ncheckpoint: '{value}'")
    assert source_uri(found(index, "a"), "checkpoint") == uri


def test_the_directory_is_that_of_the_override_where_there_is_one():
    index = index_of("name: a\ncheckpoint: x", "name: a@e\ny: 1")
    assert source_uri(found(index, "a", "e"), "checkpoint") == "file:///cards/1/x"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("name: a", "a asset card does not have a field named checkpoint"),
        (
            "name: a\ncheckpoint: 5",
            "checkpoint field of the a asset card is expected to be of type",
        ),
        ("name: a\ncheckpoint: ~", "but is of type `NoneType`"),
        ("name: a\ncheckpoint: x\n__base_path__: y", None),
    ],
)
def test_a_field_that_is_no_source_is_an_error(document, words):
    resolution = found(index_of(document), "a")
    if words is None:
        assert source_uri(resolution, "checkpoint") == "file:///cards/0/x"
        return
    with pytest.raises(CardError, match=words):
        source_uri(resolution, "checkpoint")
