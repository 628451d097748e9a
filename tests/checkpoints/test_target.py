from __future__ import annotations

import hashlib

import pytest

from resolverd.checkpoints.asset.target import Wanted, file_name, is_sharded, shard, shown
from resolverd.errors import SourceError


def test_an_asset_has_the_name_that_fairseq2_gives_it() -> None:
    uri = "https://example.org/a.pt"
    assert Wanted("model", uri).asset == hashlib.sha1(uri.encode()).hexdigest()[:24]


def test_a_path_and_its_file_uri_are_one_asset() -> None:
    assert Wanted("model", "/a/b").asset == Wanted("model", "file:///a/b").asset


def test_requests_that_differ_in_kind_alone_share_a_download() -> None:
    assert Wanted("model", "http://h/a").identity == Wanted("dataset", "http://h/a").identity


def test_requests_with_other_checksums_do_not() -> None:
    assert (
        Wanted("model", "http://h/a").identity != Wanted("model", "http://h/a", "0" * 64).identity
    )


@pytest.mark.parametrize("uri", ["file://host/a", "file://a"])
def test_files_of_other_hosts_are_refused(uri: str) -> None:
    with pytest.raises(SourceError):
        _ = Wanted("model", uri).local_path


def test_secrets_are_not_shown() -> None:
    text = shown("https://user:hunter2@h/p?a=1&X-Amz-Signature=abc&access_token=def#frag")
    assert text == "https://h/p?a=1&X-Amz-Signature=***&access_token=***"


@pytest.mark.parametrize(
    ("url", "disposition", "name"),
    [
        ("http://h/a/model.pt?x=1", None, "model.pt"),
        ("http://h/a/b%20c.pt", None, "b c.pt"),
        ("http://h/", None, "asset"),
        ("http://h/a/..%2F..%2Fetc%2Fpasswd", None, "passwd"),
        ("http://h/x", 'attachment; filename="m.pt"', "m.pt"),
        ("http://h/x", "attachment; filename=m.pt; size=3", "m.pt"),
        ("http://h/x", 'attachment; filename="../../m.pt"', "m.pt"),
        ("http://h/x", 'attachment; filename=".."', "asset"),
        ("http://h/%2e%2e", None, "asset"),
        ("http://h/x", 'attachment; filename="a\x00b\\c.pt"', "c.pt"),
    ],
)
def test_the_file_is_named_as_fairseq2_does_but_safely(
    url: str, disposition: str | None, name: str
) -> None:
    assert file_name(url, disposition) == name


def test_a_name_that_no_file_system_takes_is_cut() -> None:
    assert len(file_name("http://h/" + "é" * 300 + ".pt").encode()) <= 240


@pytest.mark.parametrize(
    ("uri", "third"),
    [
        ("http://h/c.{shard_idx}.pth", "http://h/c.3.pth"),
        ("http://h/c.{shard_idx:02d}.pth", "http://h/c.03.pth"),
        ("http://h/c.{shard_idx:02}.pth", "http://h/c.03.pth"),
        ("file:///a/c.%7Bshard_idx:03d%7D.pth", "file:///a/c.003.pth"),
    ],
)
def test_a_shard_has_the_number_in_its_name(uri: str, third: str) -> None:
    assert is_sharded(uri)
    assert shard(uri, 3) == third


def test_what_is_no_template_is_not_sharded() -> None:
    assert not is_sharded("http://h/{shard_idx}/c.pth")
    assert not is_sharded("http://h/shard_idx.pth")
