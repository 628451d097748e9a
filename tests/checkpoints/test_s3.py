"""S3 against a real server: who may read, what is below a key, what vouches for the bytes."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from email.utils import formatdate
from urllib.parse import urlsplit

import pytest
from urllib3 import HTTPResponse

from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.access.rules import Rule
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.faults import Transient
from resolverd.checkpoints.sources.base import Listing
from resolverd.checkpoints.sources.s3 import answers, errors
from resolverd.checkpoints.sources.s3.errors import Elsewhere, Expired
from resolverd.checkpoints.sources.s3.settings import S3Settings
from resolverd.checkpoints.sources.s3.source import S3Source
from resolverd.errors import SourceError
from tests.checkpoints.bucket import Bucket, Relay, S3Server, signatures_checked
from tests.checkpoints.conftest import PART, Bench, limits
from tests.checkpoints.origin import Origin

DATA = os.urandom(5000)


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    for name in tuple(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", os.fspath(tmp_path))


Reading = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def reading(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Reading:
    """Have credentials that the server knows, while in the block; nobody else may do anything."""

    @contextmanager
    def block() -> Iterator[None]:
        with signatures_checked(s3_server) as (key, secret):
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
            yield

    return block


def resolved(bucket: Bucket, key: str) -> Listing:
    rules = Policy(s3=S3Settings(endpoint=bucket.endpoint))
    source = S3Source(Wanted("model", bucket.uri(key)), limits(), rules)
    try:
        listing = source.resolve()
    finally:
        source.close()
    assert listing is not None
    return listing


def names(listing: Listing) -> list[str]:
    return [file.name for file in listing.files]


@pytest.mark.parametrize("key", ["a.bin", "a b/ü+&=?%20.bin", "a//b", "x" * 200])
def test_a_private_object_is_read_with_a_signature(
    bucket: Bucket, bench: Bench, reading: Reading, key: str
) -> None:
    bucket.put(key, DATA, ACL="private")
    bench.policy = Policy(s3=S3Settings(endpoint=bucket.endpoint))
    with reading():
        manifest = bench.fetch(bucket.uri(key))
    assert bench.content(manifest) == DATA
    assert manifest.trust == "origin"


def test_a_wrong_secret_is_refused_and_not_told(
    bucket: Bucket, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a", DATA, ACL="private")
    with reading():
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-one")
        with pytest.raises(SourceError, match="SignatureDoesNotMatch") as caught:
            resolved(bucket, "a")
        assert "a-wrong-one" not in str(caught.value)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAAAAAAAAAAAAAAAAA")
        with pytest.raises(SourceError, match="does not know the access key"):
            resolved(bucket, "a")


def test_without_credentials_a_private_object_is_refused_with_the_remedy(bucket: Bucket) -> None:
    bucket.put("a", DATA, ACL="private")
    with pytest.raises(SourceError, match=r"AccessDenied.*AWS_ACCESS_KEY_ID"):
        resolved(bucket, "a")


def test_what_does_not_exist_is_named(bucket: Bucket) -> None:
    with pytest.raises(SourceError, match="no such object"):
        resolved(bucket, "nowhere")
    with pytest.raises(SourceError, match="nothing is below it"):
        resolved(bucket, "nowhere/")
    with pytest.raises(SourceError, match="no such bucket"):
        resolved(Bucket("nowhere", bucket.endpoint, None), "a")


def test_all_that_is_below_a_key_is_one_object(bucket: Bucket, bench: Bench) -> None:
    for key in ("m/", "m/a.bin", "m/sub/b.bin", "mm/other"):
        bucket.put(key, key.encode())
    bench.policy = Policy(s3=S3Settings(endpoint=bucket.endpoint))
    assert names(resolved(bucket, "m")) == names(resolved(bucket, "m/")) == ["a.bin", "sub/b.bin"]
    manifest = bench.fetch(bucket.uri("m"))
    assert bench.fetch(bucket.uri("m"), refresh=True) == manifest
    folder = bench.layout.object(manifest.key)
    with open(f"{folder}/sub/b.bin", "rb") as file:
        assert file.read() == b"m/sub/b.bin"


def test_an_object_wins_over_what_is_below_its_key(bucket: Bucket) -> None:
    bucket.put("m", DATA)
    bucket.put("m/a", DATA)
    assert names(resolved(bucket, "m")) == ["m"]


def test_a_listing_of_several_pages_is_read_to_its_end(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for number in range(5):
        bucket.put(f"m/{number} +&%20ü", DATA)
    assert names(resolved(bucket, "m")) == [f"{number} +&%20ü" for number in range(5)]


PAGE = "<ListBucketResult>{}<Contents><Key>{}</Key><Size>3</Size></Contents></ListBucketResult>"


@pytest.mark.parametrize(
    ("said", "key", "read"),
    [
        ("<EncodingType>url</EncodingType>", "a%0A+%2B", "a\n +"),
        ("", "a%0A+%2B", "a%0A+%2B"),
    ],
)
def test_a_key_is_decoded_where_the_server_says_that_it_is_encoded(
    said: str, key: str, read: str
) -> None:
    assert answers.page(PAGE.format(said, key).encode(), "x").entries[0].key == read


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html/>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>x</Size></Contents></ListBucketResult>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><ListBucketResult/>",
        PAGE.format("", "a").encode()[:-9],
    ],
)
def test_a_listing_that_is_none_is_a_clear_error(body: bytes) -> None:
    with pytest.raises(SourceError, match="x: the server's listing"):
        answers.page(body, "x")


@pytest.mark.parametrize("keys", [["m/../x"], ["m//x"], ["m/a", "m/a/b"], ["m/" + "x" * 250]])
def test_keys_that_no_folder_can_hold_are_refused(bucket: Bucket, keys: list[str]) -> None:
    for key in keys:
        bucket.put(key, DATA)
    with pytest.raises(SourceError, match=r"no name|a folder of others"):
        resolved(bucket, "m/")


def test_a_rule_of_the_bucket_names_server_and_proxy(origin: Origin, bench: Bench) -> None:
    origin.put("/bucket/a", DATA)
    rule = Rule("s3://bucket/", endpoint="http://elsewhere.invalid", proxy=origin.url(""))
    closed = Rule("http://", allow=False)
    bench.policy = Policy(rules=(rule, closed), s3=S3Settings(anonymous=True))
    assert bench.content(bench.fetch("s3://bucket/a")) == DATA
    asked = {request["host"] for request in origin.resources["/bucket/a"].requests}
    assert asked == {"elsewhere.invalid"}


def test_an_older_version_can_be_named(bucket: Bucket, bench: Bench) -> None:
    bucket.client.put_bucket_versioning(
        Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"}
    )
    bucket.put("a.bin", DATA)
    old = bucket.client.head_object(Bucket=bucket.name, Key="a.bin")["VersionId"]
    bucket.put("a.bin", DATA[::-1])
    bucket.client.put_object_acl(Bucket=bucket.name, Key="a.bin", VersionId=old, ACL="public-read")
    bench.policy = Policy(s3=S3Settings(endpoint=bucket.endpoint))
    assert bench.content(bench.fetch(bucket.uri(f"a.bin?versionId={old}"))) == DATA
    assert bench.content(bench.fetch(bucket.uri("a.bin"))) == DATA[::-1]


def test_the_checksum_of_a_large_object_is_asked_for(bucket: Bucket) -> None:
    data = os.urandom(PART + 1)
    bucket.put("a", data, ChecksumAlgorithm="SHA256")
    (file,) = resolved(bucket, "a").files
    assert file.digests[0] == Digest("sha256", hashlib.sha256(data).hexdigest())


def test_an_object_of_several_parts_is_trusted_on_first_use(bucket: Bucket, bench: Bench) -> None:
    part = os.urandom(5 << 20)
    begun = bucket.client.create_multipart_upload(
        Bucket=bucket.name, Key="a", ChecksumAlgorithm="SHA256", ACL="public-read"
    )
    where = {"Bucket": bucket.name, "Key": "a", "UploadId": begun["UploadId"]}
    parts = []
    for number in (1, 2):
        done = bucket.client.upload_part(
            **where, PartNumber=number, Body=part, ChecksumAlgorithm="SHA256"
        )
        parts.append(
            {
                "PartNumber": number,
                "ETag": done["ETag"],
                "ChecksumSHA256": done["ChecksumSHA256"],
            }
        )
    bucket.client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    bench.policy = Policy(s3=S3Settings(endpoint=bucket.endpoint))
    manifest = bench.fetch(bucket.uri("a"))
    assert manifest.trust == "first-use"
    assert manifest.digest == f"sha256:{hashlib.sha256(part * 2).hexdigest()}"


def test_a_download_that_breaks_goes_on_where_it_was(bucket: Bucket, bench: Bench) -> None:
    data = os.urandom(PART * 8)
    bucket.put("a", data)
    with Relay(urlsplit(bucket.endpoint).port or 0) as relay:
        bench.policy = Policy(s3=S3Settings(endpoint=relay.url))
        relay.cuts = [PART // 2] * 6
        assert bench.content(bench.fetch(bucket.uri("a"))) == data
        assert not relay.cuts
        assert relay.sent < len(data) + 6 * PART


MD5 = hashlib.md5(DATA).hexdigest()
SHA = base64.b64encode(hashlib.sha256(DATA).digest()).decode()


@pytest.mark.parametrize(
    ("headers", "algorithms"),
    [
        ({"etag": f'"{MD5}"'}, ["md5"]),
        ({"etag": f'"{MD5}-2"'}, []),
        ({"etag": f'"{MD5}"', "x-amz-server-side-encryption": "AES256"}, ["md5"]),
        ({"etag": f'"{MD5}"', "x-amz-server-side-encryption": "aws:kms"}, []),
        ({"etag": f'"{MD5}"', "x-amz-server-side-encryption": "aws:kms:dsse"}, []),
        (
            {"etag": f'"{MD5}"', "x-amz-server-side-encryption-customer-algorithm": "AES256"},
            [],
        ),
        ({"x-amz-checksum-sha256": SHA}, ["sha256"]),
        ({"x-amz-checksum-sha256": SHA, "x-amz-checksum-type": "FULL_OBJECT"}, ["sha256"]),
        ({"x-amz-checksum-sha256": SHA, "x-amz-checksum-type": "COMPOSITE"}, []),
        ({"x-amz-checksum-sha256": f"{SHA}-2"}, []),
        ({"x-amz-checksum-sha256": "rubbish"}, []),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, []),
        ({"etag": f'"{MD5}"', "x-amz-checksum-sha256": SHA}, ["sha256", "md5"]),
    ],
)
def test_only_a_digest_of_the_whole_object_is_taken_for_one(
    headers: Mapping[str, str], algorithms: list[str]
) -> None:
    assert [said.algorithm for said in answers.digests(headers)] == algorithms


def answer(status: int, body: bytes = b"", **headers: str) -> HTTPResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTPResponse(io.BytesIO(body), headers=named, status=status, preload_content=False)


def document(code: str, more: str = "") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code>{more}</Error>".encode()


@pytest.mark.parametrize(
    ("given_answer", "kind", "text"),
    [
        (answer(503, document("SlowDown"), Retry_After="7"), Transient, "Try again"),
        (answer(500, b"garbage"), Transient, "500"),
        (answer(403), SourceError, "s3:GetObject"),
        (answer(403, document("ExpiredToken")), Expired, "have expired"),
        (answer(400, document("InvalidToken")), SourceError, "renew"),
        (
            answer(403, document("RequestTimeTooSkewed"), Date=formatdate(time.time() - 5000)),
            SourceError,
            r"clock \(5\d\d\d s ahead\).*synchronise",
        ),
        (answer(403, document("InvalidObjectState")), SourceError, "restore it"),
        (
            answer(301, document("PermanentRedirect"), x_amz_bucket_region="eu-west-1"),
            Elsewhere,
            "region eu-west-1",
        ),
        (
            answer(400, document("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")),
            Elsewhere,
            "region eu-west-1",
        ),
        (answer(301, document("PermanentRedirect")), SourceError, "the endpoint and the region"),
        (answer(403, b"<!DOCTYPE x [<!ENTITY a 'b'>]><Error><Code>X</Code></Error>"),
         SourceError, "AccessDenied"),
    ],
)  # fmt: skip
def test_each_of_the_servers_errors_has_its_remedy(
    given_answer: HTTPResponse, kind: type[Exception], text: str
) -> None:
    with pytest.raises(SourceError, match=text) as caught:
        errors.refuse(given_answer, "s3://b/k", signed=True)
    assert type(caught.value) is kind
