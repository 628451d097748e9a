"""Where credentials, region and endpoint come from, and who else may read them."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from resolverd.checkpoints.access import private
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.sources.s3 import credentials, profile
from resolverd.checkpoints.sources.s3.access import Access
from resolverd.checkpoints.sources.s3.settings import S3Settings
from resolverd.checkpoints.sources.s3.signing import Credentials
from resolverd.checkpoints.sources.s3.source import S3Source
from resolverd.errors import SourceError
from tests.checkpoints.bucket import S3Server

FILES = {
    "credentials": "[default]\naws_access_key_id=A\naws_secret_access_key=hush\n"
    "[other]\naws_access_key_id=O\naws_secret_access_key=hush\naws_session_token=t\n",
    "config": "[default]\nregion=eu-west-1\n[profile other]\nregion=eu-north-1\n"
    "endpoint_url=http://h:9000\n[profile sso]\nsso_start_url=x\n",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / ".aws"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    return tmp_path


def who(environ: Mapping[str, str], **settings: object) -> Credentials | None:
    chosen = S3Settings(**settings)  # type: ignore[arg-type]
    return credentials.found(chosen, environ, profile.read(chosen.profile, environ))


def test_the_environment_comes_first(home: Path) -> None:
    environ = {
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": "E",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t",
    }
    assert who(environ) == Credentials("E", "s", "t")
    assert who(environ, profile="other") == Credentials("O", "hush", "t")
    assert who(environ, anonymous=True) is None


def test_amazons_files_are_read_as_amazons_tools_do(home: Path) -> None:
    environ = {"HOME": str(home)}
    assert who(environ) == Credentials("A", "hush")
    assert who({**environ, "AWS_PROFILE": "other"}) == Credentials("O", "hush", "t")
    moved = home / "elsewhere"
    (home / ".aws" / "credentials").rename(moved)
    assert who(environ) is None
    assert who({**environ, "AWS_SHARED_CREDENTIALS_FILE": str(moved)}) == Credentials("A", "hush")


def test_region_and_endpoint_come_from_settings_environment_and_profile(home: Path) -> None:
    environ = {"HOME": str(home), "AWS_PROFILE": "other"}
    by_profile = Access("x", S3Settings(), environ).endpoint
    assert (by_profile.url, by_profile.region) == ("http://h:9000", "eu-north-1")
    environ |= {"AWS_ENDPOINT_URL": "http://e", "AWS_REGION": "r-1"}
    by_environment = Access("x", S3Settings(), environ).endpoint
    assert (by_environment.url, by_environment.region) == ("http://e", "r-1")
    environ |= {"AWS_ENDPOINT_URL_S3": "http://f"}
    assert Access("x", S3Settings(), environ).endpoint.url == "http://f"
    by_settings = Access("x", S3Settings(endpoint="http://s", region="s-1"), environ).endpoint
    assert (by_settings.url, by_settings.region) == ("http://s", "s-1")


def test_an_endpoint_or_region_that_is_none_is_named(home: Path) -> None:
    with pytest.raises(SourceError, match=r"s3\.endpoint"):
        Access("x", S3Settings(), {"HOME": str(home), "AWS_ENDPOINT_URL": "minio:9000"})
    with pytest.raises(SourceError, match=r"s3\.region"):
        Access("x", S3Settings(), {"HOME": str(home), "AWS_REGION": "evil.com/"})


def test_a_profile_that_does_not_exist_is_named(home: Path) -> None:
    with pytest.raises(SourceError, match="no profile 'nobody'"):
        who({"HOME": str(home)}, profile="nobody")


def test_a_profile_that_needs_more_says_what_helps(home: Path) -> None:
    with pytest.raises(SourceError, match="credential_process"):
        who({"HOME": str(home)}, profile="sso")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_secret_that_others_can_read_is_refused_with_the_remedy(home: Path, mode: int) -> None:
    (home / ".aws" / "credentials").chmod(mode)
    with pytest.raises(SourceError, match="chmod 600") as caught:
        who({"HOME": str(home)})
    assert "hush" not in str(caught.value)


def test_a_config_file_without_a_secret_may_be_everyones(home: Path) -> None:
    (home / ".aws" / "config").chmod(0o644)
    assert who({"HOME": str(home)}) is not None


def test_a_file_that_is_none_of_amazons_is_named_without_its_text(home: Path) -> None:
    (home / ".aws" / "credentials").write_text("hush = hush\n")
    with pytest.raises(SourceError, match=r"\.aws/credentials: can't be read") as caught:
        who({"HOME": str(home)})
    assert "hush" not in str(caught.value)


def test_a_systemd_credential_stands_for_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / "credentials"
    folder.mkdir()
    (folder / "aws-credentials").write_text(FILES["credentials"])
    (folder / "aws-credentials").chmod(0o440)  # systemd's access list, seen as group bits
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    environ = {"HOME": "/nonexistent", "CREDENTIALS_DIRECTORY": str(folder)}
    assert who(environ) == Credentials("A", "hush")


def process(home: Path, code: str) -> dict[str, str]:
    script = home / "give.py"
    script.write_text(code)
    text = f"[default]\ncredential_process = {sys.executable} {script}\n"
    (home / ".aws" / "config").write_text(text)
    (home / ".aws" / "credentials").unlink(missing_ok=True)
    return {"HOME": str(home)}


def test_a_program_may_give_the_credentials(home: Path) -> None:
    said = {
        "AccessKeyId": "P",
        "SecretAccessKey": "s",
        "SessionToken": "t",
        "Expiration": "2030-01-01T00:00:00Z",
    }
    environ = process(home, f"print({json.dumps(said)!r})")
    assert who(environ) == Credentials("P", "s", "t", 1893456000.0)


@pytest.mark.parametrize("code", ["print('hush')", "print('{}')", "raise SystemExit('hush')"])
def test_a_program_that_fails_is_named_without_what_it_printed(home: Path, code: str) -> None:
    with pytest.raises(SourceError, match="credential_process") as caught:
        who(process(home, code))
    assert "hush" not in str(caught.value)


@contextmanager
def cloud() -> Iterator[str]:
    """EC2's metadata service, version 2: who comes without its token is refused."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_PUT(self) -> None:
            self.answer(200, "the-token")

        def do_GET(self) -> None:
            role = "/latest/meta-data/iam/security-credentials/"
            said = {"AccessKeyId": "I", "SecretAccessKey": "s", "Token": "t"}
            pages = {role: "node\n", f"{role}node": json.dumps(said), "/task": json.dumps(said)}
            proof = self.headers.get("X-aws-ec2-metadata-token") or self.headers["Authorization"]
            known = proof in {"the-token", "task-token"} and self.path in pages
            self.answer(200 if known else 401, pages[self.path] if known else "")

        def answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_the_nodes_role_signs_only_where_it_is_allowed() -> None:
    with cloud() as url:
        environ = {"HOME": "/nonexistent", "AWS_EC2_METADATA_SERVICE_ENDPOINT": url}
        assert who(environ) is None
        assert who(environ, instance_role=True) == Credentials("I", "s", "t")
        task = {
            "HOME": "/nonexistent",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/task",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "task-token",
        }
        assert who(task) is None
        assert who(task, instance_role=True) == Credentials("I", "s", "t")
        with pytest.raises(SourceError, match=r"s3\.instance_role"):
            who({**task, "AWS_CONTAINER_AUTHORIZATION_TOKEN": ""}, instance_role=True)


def test_credentials_that_were_renewed_in_their_file_are_found(home: Path) -> None:
    access = Access("x", S3Settings(), {"HOME": str(home)})
    url = "http://h/b/k"
    before = access.sign("GET", url, {})["Authorization"]
    text = FILES["credentials"].replace("aws_access_key_id=A", "aws_access_key_id=NEW")
    (home / ".aws" / "credentials").write_text(text)
    assert "Credential=A/" in before
    assert "Credential=A/" in access.sign("GET", url, {})["Authorization"]
    access.forget()
    assert "Credential=NEW/" in access.sign("GET", url, {})["Authorization"]


def test_what_was_signed_with_is_struck_from_what_the_process_says() -> None:
    environ = {
        "HOME": "/nonexistent",
        "AWS_ACCESS_KEY_ID": "K",
        "AWS_SECRET_ACCESS_KEY": "a-secret-key-0",
        "AWS_SESSION_TOKEN": "a-session-token-0",
    }
    Access("x", S3Settings(), environ).sign("GET", "http://h/b/k", {})
    assert private.struck(b"a-secret-key-0 a-session-token-0").strip(b"* ") == b""


def test_credentials_are_renewed_before_they_expire(home: Path) -> None:
    def said(seconds: float) -> str:
        ends = datetime.fromtimestamp(time.time() + seconds, timezone.utc).isoformat()
        return repr(json.dumps({"AccessKeyId": "P", "SecretAccessKey": "s", "Expiration": ends}))

    count = home / "count"
    code = f"open({str(count)!r}, 'a').write('x'); print({{}})"
    for seconds, runs in ((3600, 1), (100, 3)):
        count.write_text("")
        access = Access("x", S3Settings(), process(home, code.format(said(seconds))))
        for _ in range(3):
            assert access.signs
        assert len(count.read_text()) == runs


def test_a_web_identity_becomes_its_role(s3_server: S3Server, home: Path) -> None:
    (home / "identity").write_text("a-web-identity-token\n")
    environ = {
        "HOME": str(home),
        "AWS_ENDPOINT_URL_STS": s3_server.endpoint,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(home / "identity"),
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/reader",
    }
    found = who(environ)
    assert found is not None
    assert found.key.startswith("ASIA")
    assert found.token
    assert found.expires is not None
    assert found.expires > time.time()
    with pytest.raises(SourceError, match="AWS_ROLE_ARN"):
        who({**environ, "AWS_WEB_IDENTITY_TOKEN_FILE": str(home / "nowhere")})


def test_a_bucket_of_another_region_is_found_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            scope = self.headers["Authorization"].partition("Credential=")[2].split("/")
            asked.append(scope[2])
            here = scope[2] == "eu-west-1"
            self.send_response(200 if here else 301)
            self.send_header("x-amz-bucket-region", "eu-west-1")
            self.send_header("ETag", '"x-1"')
            self.send_header("Content-Length", "3" if here else "0")
            self.end_headers()
            self.wfile.write(b"abc" if here and self.command == "GET" else b"")

        def do_HEAD(self) -> None:
            self.do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    for name in tuple(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    url = f"http://127.0.0.1:{server.server_port}"
    source = S3Source(
        Wanted("model", "s3://bucket/k"), Limits(), Policy(s3=S3Settings(endpoint=url))
    )
    listing = source.resolve()
    source.close()
    server.shutdown()
    server.server_close()
    assert listing is not None
    assert asked[:2] == ["us-east-1", "eu-west-1"]
