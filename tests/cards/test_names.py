import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolverd.cards.names import canonicalize, lookup_name, sanitize_base, split


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("a", "a@"),
        (" a ", "a@"),
        ("a@", "a@"),
        ("a@b", "a@b"),
        (" a @ b ", "a@b"),
        ("a@ ", "a@"),
        ("a b", "a b@"),
        ("\u00a0a\u2003", "a@"),
        ("é/ß", "é/ß@"),
        ("a@b@c", None),
        ("a@@", None),
        ("@", None),
        ("@b", None),
        ("  @b", None),
        ("", None),
        ("  ", None),
    ],
)
def test_a_name_has_one_canonical_form(written, canonical):
    assert canonicalize(written) == canonical


@pytest.mark.parametrize(
    ("written", "base"),
    [("a", "a"), (" a ", "a"), ("a@", None), ("a@b", None), ("@", None), ("", None), (" ", None)],
)
def test_a_base_is_a_stem(written, base):
    assert sanitize_base(written) == base


@given(st.text(alphabet="ab@ \t\u00a0", max_size=8))
def test_a_canonical_name_is_its_own_canonical_form_and_splits_in_two(written):
    name = canonicalize(written)
    if name is None:
        assert written.count("@") > 1 or not written.split("@")[0].strip()
        return
    assert canonicalize(name) == name
    stem, env = split(name)
    assert f"{stem}@{env}" == name
    assert stem
    assert (stem, env) == (stem.strip(), env.strip())


@given(st.text(alphabet="ab@ ", max_size=8))
def test_a_base_is_what_the_name_of_a_plain_card_begins_with(written):
    base = sanitize_base(written)
    if base is not None:
        assert canonicalize(written) == lookup_name(base) == f"{base}@"


def test_a_lookup_takes_a_stem_for_its_plain_card_and_all_else_literally():
    assert [lookup_name(name) for name in ("x", "x@", "x@e", " x@")] == ["x@", "x@", "x@e", " x@"]
