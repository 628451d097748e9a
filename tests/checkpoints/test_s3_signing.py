"""Signatures and URLs are those that Amazon's own library makes."""

from __future__ import annotations

import calendar
import datetime
from dataclasses import replace

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from resolverd.checkpoints.access.rules import Rule, first
from resolverd.checkpoints.sources.s3.location import Endpoint, Location, located
from resolverd.checkpoints.sources.s3.signing import Credentials, signed
from resolverd.errors import SourceError

KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


def theirs(url: str, headers: dict[str, str], who: Credentials, region: str) -> str:
    request = AWSRequest("GET", url, headers=dict(headers))
    request.context["payload_signing_enabled"] = True
    request.context["timestamp"] = headers["x-amz-date"]
    del request.headers["Authorization"]
    auth = S3SigV4Auth(TheirCredentials(who.key, who.secret, who.token), "s3", region)
    auth.credentials = TheirCredentials(who.key, who.secret, who.token)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return str(auth.signature(text, request))


URLS = st.builds(
    lambda port, key, query: Endpoint(f"https://h.example{port}", "r", False).url_of(
        "b", key, query
    ),
    st.sampled_from(["", ":9000", ":443"]),
    KEYS,
    st.dictionaries(WORDS, WORDS, max_size=4),
)


@settings(max_examples=50)
@given(
    url=URLS,
    extra=st.dictionaries(st.sampled_from(["x-amz-checksum-mode", "x-amz-foo"]), WORDS),
    token=st.none() | WORDS,
    now=st.integers(0, 4_000_000_000),
)
def test_a_signature_is_amazons_own(
    url: str, extra: dict[str, str], token: str | None, now: int
) -> None:
    who = Credentials("AKID", "secret/+=", token)
    sent = signed(("GET", url, {"Range": "bytes=0-9", **extra}), who, "eu-west-1", now)
    stamp = datetime.datetime.strptime(sent["x-amz-date"], "%Y%m%dT%H%M%SZ")
    assert calendar.timegm(stamp.timetuple()) == now
    given_signature = sent["Authorization"].rpartition("Signature=")[2]
    names = sent["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    shown = {name: value for name, value in sent.items() if name.lower() in names}
    assert given_signature == theirs(url, shown, who, "eu-west-1")
    assert {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names)


def test_a_secret_is_not_in_what_credentials_look_like() -> None:
    assert "hidden" not in repr(Credentials("AKID", "hidden", "hidden too"))


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("s3://bucket/a/b.bin", Location("bucket", "a/b.bin", None, folder=False)),
        ("s3://bucket/a/", Location("bucket", "a", None, folder=True)),
        ("s3://bucket", Location("bucket", "", None, folder=True)),
        ("s3://bucket/", Location("bucket", "", None, folder=True)),
        ("s3://bucket/a%20b?c#d", Location("bucket", "a%20b?c#d", None, folder=False)),
        ("s3://bucket/a?versionId=x.Y_z-1", Location("bucket", "a", "x.Y_z-1", folder=False)),
    ],
)
def test_a_uri_names_bucket_and_key_literally(uri: str, place: Location) -> None:
    assert located(uri) == place


@pytest.mark.parametrize(
    "uri", ["s3://", "s3:///key", "s3://b@host/key", "s3://a:9/k", "s3://b/a/../c", "s3://b/./c"]
)
def test_a_uri_that_leads_elsewhere_is_refused(uri: str) -> None:
    with pytest.raises(SourceError):
        located(uri)


@pytest.mark.parametrize(
    ("endpoint", "realm"),
    [
        (Endpoint(None, "eu-west-1", True), "https://*.amazonaws.com/"),
        (Endpoint(None, "cn-north-1", True), "https://*.amazonaws.com.cn/"),
        (Endpoint("http://h:9000/x/", "r", False), "http://h:9000/x/"),
        (Endpoint("https://h:9000", "r", True), "https://*.h:9000/"),
    ],
)
@pytest.mark.parametrize("region", ["eu-west-1", "cn-north-1"])
def test_a_server_keeps_to_its_realm(endpoint: Endpoint, realm: str, region: str) -> None:
    assert endpoint.realm == realm
    if endpoint.url or region[:2] == endpoint.region[:2]:
        url = replace(endpoint, region=region).url_of("bucket", "key")
        assert first([Rule(realm, allow=True)], url, lambda rule: rule.allow)


@pytest.mark.parametrize(
    ("endpoint", "bucket", "url"),
    [
        (Endpoint(None, "eu-west-1", True), "b-1", "https://b-1.s3.eu-west-1.amazonaws.com/k"),
        (Endpoint(None, "eu-west-1", True), "b.1", "https://s3.eu-west-1.amazonaws.com/b.1/k"),
        (Endpoint(None, "cn-north-1", True), "b-1", "https://b-1.s3.cn-north-1.amazonaws.com.cn/k"),
        (Endpoint("http://h:9000/x/", "r", False), "b-1", "http://h:9000/x/b-1/k"),
        (Endpoint("https://h:9000", "r", True), "b-1", "https://b-1.h:9000/k"),
    ],
)
def test_a_bucket_is_in_the_host_where_its_name_fits(
    endpoint: Endpoint, bucket: str, url: str
) -> None:
    assert endpoint.url_of(bucket, "k") == url
