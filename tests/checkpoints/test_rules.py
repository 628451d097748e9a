from __future__ import annotations

import pytest

from resolverd.checkpoints.access.rules import Rule, Token, first, routes
from resolverd.checkpoints.faults import Denied


def allowed(uri: str, *rules: Rule) -> bool | None:
    return first(rules, uri, lambda rule: rule.allow)


@pytest.mark.parametrize(
    ("prefix", "uri"),
    [
        ("https://h", "https://h/a"),
        ("https://h/", "https://h"),
        ("https://h/a", "https://h/a/b?c"),
        ("https://h/a/", "https://h/a"),
        ("https://h/a", "https://h/x/../a/b"),
        ("https://h/a", "https://h/%61/b"),
        ("https://h/a b", "https://h/a%20b/c"),
        ("https://h", "https://H.:443/a"),
        ("https://h", "https://user:word@h/a"),
        ("https://h:8443", "https://h:8443/a"),
        ("https://*.h", "https://a.b.h/c"),
        ("https://", "https://anything/at/all"),
        ("hg://org/", "hg://org/repo@main"),
        ("hg://org/repo", "hg://org/repo@main"),
        ("hg://Org/Repo", "hg://oRG/rEPO"),
        ("https://h/a", "https://h//a//b"),
        ("s3://bucket/a", "s3://bucket/a/b"),
        ("file:///data/", "file:///data/a"),
    ],
)
def test_a_uri_begins_with_a_prefix(prefix: str, uri: str) -> None:
    assert allowed(uri, Rule(prefix, allow=True)) is True


@pytest.mark.parametrize(
    ("prefix", "uri"),
    [
        ("https://h", "https://h.evil/a"),
        ("https://h", "https://evil/h"),
        ("https://h", "https://h@evil/a"),
        ("https://h", "http://h/a"),
        ("https://h", "https://h:8443/a"),
        ("https://h/a", "https://h/ab"),
        ("https://h/a", "https://h?/a/b"),
        ("https://h/a", "https://h#/a/b"),
        ("https://h", "https://h\t.evil/a"),
        ("https://h", "https://h:x/a"),
        ("https://h/a", "https://h/a/../b"),
        ("https://h/a", "https://h/a/%2e%2e/b"),
        ("https://*.h", "https://h/a"),
        ("https://*.h", "https://evilh/a"),
        ("s3://bucket", "s3://bucket2/a"),
        ("s3://bucket/a", "s3://bucket/A"),
        ("hg://org/repo", "hg://org/repository"),
        ("file:///data", "file:///database"),
    ],
)
def test_a_uri_that_only_looks_like_it_does_not(prefix: str, uri: str) -> None:
    assert allowed(uri, Rule(prefix, allow=True)) is None


def test_the_most_specific_rule_that_says_something_counts() -> None:
    rules = (
        Rule("https://h/a/b/", proxy="http://p"),
        Rule("https://", allow=False, proxy="http://q"),
        Rule("https://*.h/", allow=False),
        Rule("https://h/a/", allow=True),
        Rule("https://x.h/", allow=True),
    )
    assert allowed("https://h/a/b/c", *rules) is True
    assert allowed("https://h/x", *rules) is False
    assert allowed("https://x.h/very/long", *rules) is True
    assert allowed("https://y.h/", *rules) is False
    assert first(rules, "https://h/a/b/c", lambda rule: rule.proxy) == "http://p"
    assert first(rules, "https://h/a/c", lambda rule: rule.proxy) == "http://q"


@pytest.mark.parametrize(
    ("prefix", "to", "uri", "route"),
    [
        ("https://h/a/", "https://m/x/", "https://h/a/b%20c?d=e", "https://m/x/b%20c?d=e"),
        ("https://h", "https://m", "https://h/a", "https://m/a"),
        ("https://h/", "file:///mnt/", "https://h/a%20b?c", "file:///mnt/a b"),
        ("s3://b/", "https://m/", "s3://b/a b", "https://m/a%20b"),
        ("s3://b/", "s3://c/d/", "s3://b/a%20b", "s3://c/d/a%20b"),
        ("https://h/a", "https://m/b", "https://h/a", "https://m/b"),
    ],
)
def test_a_mirror_takes_the_prefixs_place(prefix: str, to: str, uri: str, route: str) -> None:
    assert routes([Rule(prefix, to=(to,))], uri, uri) == ((to, route),)


@pytest.mark.parametrize(
    "uri", ["https://h/a/../a/x", "https://h/a/%2e%2e/a/x", "https://h/a/b/./c", "https://h/%61/x"]
)
def test_no_uri_leads_out_of_a_mirror(uri: str) -> None:
    with pytest.raises(Denied):
        routes([Rule("https://h/a/", to=("file:///mnt/",))], uri, uri)


def test_a_secret_is_not_in_what_a_rule_looks_like() -> None:
    assert "hush" not in repr(Rule("https://h/", token=Token("text", "hush")))
