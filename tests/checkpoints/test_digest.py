from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.digest import Digest
from resolverd.errors import SourceError

SHA256 = hashlib.sha256(b"x").hexdigest()
SHA1 = hashlib.sha1(b"x").hexdigest()
WIRE = base64.b64encode(hashlib.sha256(b"x").digest()).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"sha256:{SHA256}", Digest("sha256", SHA256)),
        (f"SHA-256:{SHA256.upper()}", Digest("sha256", SHA256)),
        (f"sha1:{SHA1}", Digest("sha1", SHA1)),
        (SHA256, Digest("sha256", SHA256)),
        (f" {SHA1} ", Digest("sha1", SHA1)),
        ("a" * 128, Digest("sha512", "a" * 128)),
    ],
)
def test_a_card_may_name_the_algorithm_or_leave_it_to_the_length(
    text: str, expected: Digest
) -> None:
    assert digest.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        f"sha256:{SHA1}",
        "md5:" + "a" * 32,
        "a" * 32,
        "z" * 64,
        7,
        None,
        f"x:{SHA256}",
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(text: object) -> None:
    with pytest.raises(SourceError, match="sha256:<64 hex digits>"):
        digest.parse(text)


def test_a_map_gives_each_file_its_digest() -> None:
    assert digest.parse_card({"a": SHA256, "b": SHA1}) == {
        "a": Digest("sha256", SHA256),
        "b": Digest("sha1", SHA1),
    }


@pytest.mark.parametrize(
    "headers",
    [
        {"repr-digest": f"sha-256=:{WIRE}:"},
        {"digest": f"SHA-256={WIRE}"},
        {"digest": f"crc32c=AAAA, sha-256={WIRE}"},
        {"content-digest": f"sha-256=:{WIRE}:"},
    ],
)
def test_origins_state_digests_in_three_headers(headers: dict[str, str]) -> None:
    assert digest.from_headers(headers, whole=True) == (Digest("sha256", SHA256),)


def test_the_digest_of_a_part_says_nothing_of_the_file() -> None:
    assert digest.from_headers({"content-digest": f"sha-256=:{WIRE}:"}, whole=False) == ()


def test_the_strongest_digest_comes_first() -> None:
    sha1 = base64.b64encode(hashlib.sha1(b"x").digest()).decode()
    headers = {"digest": f"sha={sha1}, sha-256={WIRE}"}
    assert [found.algorithm for found in digest.from_headers(headers, whole=True)] == [
        "sha256",
        "sha1",
    ]


@given(st.text(max_size=80))
def test_no_header_breaks_the_engine(text: str) -> None:
    digest.from_headers({"digest": text, "repr-digest": text}, whole=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (SHA256, True),
        (f"{SHA256}  model.pt\n", True),
        (f"{'0' * 64}  other.pt\n{SHA256} *dir/model.pt\n", True),
        (f"{'0' * 64}  other.pt\n{'1' * 64}  another.pt\n", False),
        ("<html>no such file</html>", False),
        ("", False),
    ],
)
def test_a_sums_file_is_searched_for_the_name(text: str, found: bool) -> None:
    expected = Digest("sha256", SHA256) if found else None
    assert digest.from_sums_file(text, "model.pt") == expected
