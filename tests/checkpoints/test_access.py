"""Rules at work: mirrors, proxies, tokens, and what is forbidden, over real connections."""

from __future__ import annotations

import base64
import hashlib
import io
import ipaddress
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from resolverd.checkpoints.access import private
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.access.rules import Rule, Token
from resolverd.checkpoints.faults import Denied
from resolverd.checkpoints.sources.s3.settings import S3Settings
from resolverd.errors import SourceError
from tests.checkpoints.conftest import PART, Bench, limits
from tests.checkpoints.origin import Origin

DATA = os.urandom(PART * 6)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def mirror() -> Iterator[Origin]:
    with Origin() as running:
        yield running


def mirrored(origin: Origin, *mirrors: Origin) -> Policy:
    to = tuple(each.url("/m/") for each in mirrors)
    return Policy(rules=(Rule(origin.url("/"), to=to),))


def test_a_mirror_is_asked_in_place_of_the_origin(
    bench: Bench, origin: Origin, mirror: Origin
) -> None:
    mirror.put("/m/a.bin", DATA)
    origin.put("/a.bin", DATA)
    bench.policy = mirrored(origin, mirror)
    manifest = bench.fetch(origin.url("/a.bin"))
    assert bench.content(manifest) == DATA
    assert manifest.uri == origin.url("/a.bin")
    assert not origin.resources["/a.bin"].requests


def test_the_next_mirror_is_asked_when_one_has_nothing(
    bench: Bench, origin: Origin, mirror: Origin
) -> None:
    mirror.put("/m/a.bin", DATA)
    bench.policy = mirrored(origin, origin, mirror)
    assert bench.content(bench.fetch(origin.url("/a.bin"))) == DATA


def test_when_no_mirror_has_it_each_says_why(bench: Bench, origin: Origin, mirror: Origin) -> None:
    bench.policy = mirrored(origin, origin, mirror)
    with pytest.raises(SourceError, match=r"no mirror gives it.*404.*404"):
        bench.fetch(origin.url("/a.bin"))


def breaking(origin: Origin, path: str, data: bytes, **more: object) -> None:
    """Serve half of the file, and nothing from then on."""
    resource = origin.put(path, data, **more)
    resource.faults.close_after = [PART * 3]
    resource.before = lambda it: (
        it.faults.statuses.append((503, {})) if len(it.requests) > 1 else None
    )


def test_a_partial_file_goes_on_at_the_next_mirror_when_the_card_knows_the_digest(
    bench: Bench, origin: Origin, mirror: Origin
) -> None:
    breaking(origin, "/m/a.bin", DATA, etag='"one"')
    mirror.put("/m/a.bin", DATA, etag='"another"')
    bench.limits = limits(connections=1, part_bytes=len(DATA))
    bench.policy = mirrored(origin, origin, mirror)
    assert bench.content(bench.fetch(origin.url("/a.bin"), SHA256)) == DATA
    assert mirror.resources["/m/a.bin"].sent < len(DATA)


def test_a_partial_file_goes_on_at_a_mirror_with_the_same_stamp(
    bench: Bench, origin: Origin, mirror: Origin
) -> None:
    breaking(origin, "/m/a.bin", DATA)
    mirror.put("/m/a.bin", DATA)
    bench.limits = limits(connections=1, part_bytes=len(DATA))
    bench.policy = mirrored(origin, origin, mirror)
    assert bench.content(bench.fetch(origin.url("/a.bin"))) == DATA
    assert mirror.resources["/m/a.bin"].sent < len(DATA)


def test_a_later_run_goes_on_at_another_mirror_when_the_card_knows_the_digest(
    bench: Bench, origin: Origin, mirror: Origin
) -> None:
    breaking(origin, "/m/a.bin", DATA, etag='"one"')
    bench.limits = limits(connections=1, part_bytes=len(DATA), attempts=1)
    bench.policy = mirrored(origin, origin, mirror)
    with pytest.raises(SourceError):
        bench.fetch(origin.url("/a.bin"), SHA256)
    mirror.put("/m/a.bin", DATA, etag=None)
    manifest = bench.fetch(origin.url("/a.bin"), SHA256)
    assert bench.content(manifest) == DATA
    assert mirror.resources["/m/a.bin"].sent < len(DATA)
    assert bench.fetch(origin.url("/a.bin"), SHA256, refresh=True) == manifest


def test_two_versions_are_never_mixed(bench: Bench, origin: Origin, mirror: Origin) -> None:
    breaking(origin, "/m/a.bin", DATA)
    mirror.put("/m/a.bin", DATA[::-1])
    bench.policy = mirrored(origin, origin, mirror)
    assert bench.content(bench.fetch(origin.url("/a.bin"))) == DATA[::-1]
    assert mirror.resources["/m/a.bin"].sent >= len(DATA)


def test_a_folder_can_be_a_mirror_and_nothing_outside_of_it(
    bench: Bench, origin: Origin, tmp_path: Path
) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "a b.bin").write_bytes(DATA)
    (tmp_path / "secret").write_bytes(DATA)
    (tmp_path / "mirror" / "link").symlink_to(tmp_path / "secret")
    bench.policy = Policy(rules=(Rule(origin.url("/"), to=(f"file://{tmp_path}/mirror/",)),))
    assert bench.content(bench.fetch(origin.url("/a%20b.bin"))) == DATA
    for path in ("/../secret", "/%2e%2e/secret", "/link", "/x%2f..%2f..%2fsecret"):
        with pytest.raises(Denied):
            bench.fetch(origin.url(path))


def test_a_mirror_needs_no_rule_that_allows_it(
    bench: Bench, origin: Origin, mirror: Origin
) -> None:
    mirror.put("/m/a.bin", DATA)
    rules = mirrored(origin, mirror).rules
    closed = (Rule("http://", allow=False), Rule(origin.url("/"), allow=True))
    bench.policy = Policy(rules=(*rules, *closed))
    assert bench.content(bench.fetch(origin.url("/a.bin"))) == DATA
    with pytest.raises(Denied, match=r"fetch\.rules"):
        bench.fetch(mirror.url("/m/a.bin"))


def test_what_a_rule_forbids_is_not_reached_by_a_redirect_either(
    bench: Bench, origin: Origin, mirror: Origin
) -> None:
    mirror.put("/a.bin", DATA)
    origin.put("/a.bin", b"", redirect=mirror.url("/a.bin"))
    bench.policy = Policy(rules=(Rule(mirror.url("/"), allow=False),))
    with pytest.raises(Denied, match=r"fetch\.rules"):
        bench.fetch(origin.url("/a.bin"))
    assert not mirror.resources["/a.bin"].requests


@pytest.mark.parametrize("target", ["http://169.254.169.254/x", "http://[fe80::1]/x"])
def test_metadata_addresses_are_refused_behind_mirrors_and_proxies_too(
    bench: Bench, origin: Origin, mirror: Origin, target: str
) -> None:
    mirror.put("/m/a.bin", b"", redirect=target)
    for rule in (
        Rule(origin.url("/"), to=(mirror.url("/m/"),)),
        Rule(origin.url("/"), to=("http://169.254.169.254/",)),
        Rule("http://", proxy=mirror.url("")),
    ):
        bench.policy = Policy(rules=(rule,))
        with pytest.raises(Denied, match="metadata"):
            bench.fetch(target if rule.proxy else origin.url("/a.bin"))


def test_a_name_that_leads_to_a_forbidden_address_gets_no_request(
    bench: Bench, origin: Origin, mirror: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    loopback = {ipaddress.ip_address(text) for text in ("127.0.0.1", "::1")}
    monkeypatch.setattr("resolverd.checkpoints.access.policy._METADATA", frozenset(loopback))
    mirror.put("/a.bin", DATA)
    named = f"http://localhost:{mirror.port}"
    for policy, uri in (
        (Policy(), f"{named}/a.bin"),
        (Policy(rules=(Rule("http://h/", to=(f"{named}/",)),)), "http://h/a.bin"),
        (Policy(s3=S3Settings(endpoint=named, anonymous=True)), "s3://bucket/a.bin"),
    ):
        bench.policy = policy
        with pytest.raises(Denied, match=r"127\.0\.0\.1|::1"):
            bench.fetch(uri)
    assert not mirror.resources["/a.bin"].requests


def test_a_rules_proxy_is_used_with_its_password(
    bench: Bench, mirror: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.put("/a.bin", DATA)
    address = mirror.url("").partition("://")[2]
    bench.policy = Policy(
        rules=(
            Rule("http://", proxy=f"http://me:hush-hush@{address}"),
            Rule(mirror.url("/"), proxy="direct"),
        )
    )
    assert bench.content(bench.fetch("http://nowhere.invalid/a.bin")) == DATA
    sent = mirror.resources["/a.bin"].requests[0]["proxy-authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")) == b"me:hush-hush"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert bench.content(bench.fetch(mirror.url("/a.bin"))) == DATA


def shown(origin: Origin, path: str) -> list[str | None]:
    """What each request for a path had to show."""
    return [request.get("authorization") for request in origin.resources[path].requests]


def gated(origin: Origin, token: Token, path: str = "/gated/") -> Policy:
    return Policy(rules=(Rule(origin.url(path), token=token),))


def test_a_token_is_shown_to_what_its_rule_is_of_alone(bench: Bench, origin: Origin) -> None:
    for path in ("/gated/a.bin", "/open/a.bin"):
        origin.put(path, DATA)
    bench.policy = gated(origin, Token("text", "hush-hush"))
    for path in ("/gated/a.bin", "/open/a.bin"):
        bench.fetch(origin.url(path))
    assert set(shown(origin, "/gated/a.bin")) == {"Bearer hush-hush"}
    assert set(shown(origin, "/open/a.bin")) == {None}


def test_a_token_does_not_follow_a_redirect_to_another_host_port_or_path(
    bench: Bench, origin: Origin, mirror: Origin
) -> None:
    mirror.put("/a.bin", DATA)
    origin.put("/open/a.bin", DATA)
    origin.put("/gated/b.bin", DATA)
    bench.policy = gated(origin, Token("text", "hush-hush"))
    for number, target in enumerate((mirror.url("/a.bin"), origin.url("/open/a.bin"))):
        origin.put(f"/gated/{number}", b"", redirect=target)
        bench.fetch(origin.url(f"/gated/{number}"))
    assert set(shown(mirror, "/a.bin")) == set(shown(origin, "/open/a.bin")) == {None}
    origin.put("/gated/c.bin", b"", redirect="/gated/b.bin")
    bench.fetch(origin.url("/gated/c.bin"))
    assert set(shown(origin, "/gated/b.bin")) == {"Bearer hush-hush"}


def test_no_redirect_borrows_the_token_of_where_it_leads(bench: Bench, origin: Origin) -> None:
    origin.put("/gated/a.bin", DATA)
    origin.put("/open/a.bin", b"", redirect="/gated/a.bin")
    bench.policy = gated(origin, Token("text", "hush-hush"))
    bench.fetch(origin.url("/open/a.bin"))
    assert set(shown(origin, "/gated/a.bin")) == {None}


def test_a_mirrors_own_token_is_shown_to_it(bench: Bench, origin: Origin, mirror: Origin) -> None:
    mirror.put("/m/a.bin", DATA)
    bench.policy = Policy(
        rules=(
            Rule(origin.url("/"), to=(mirror.url("/m/"),), token=Token("text", "origins-token")),
            Rule(mirror.url("/m/"), token=Token("text", "Basic mirrors-token")),
        )
    )
    bench.fetch(origin.url("/a.bin"))
    assert set(shown(mirror, "/m/a.bin")) == {"Basic mirrors-token"}


def test_tokens_come_from_environment_files_and_systemd(
    bench: Bench, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "given").mkdir()
    for place, name, mode in (("token", "from-file", 0o600), ("given/t", "from-systemd", 0o440)):
        (tmp_path / place).write_text(name + "\n")
        (tmp_path / place).chmod(mode)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "given"))
    monkeypatch.setenv("MY_TOKEN", "from-environment")
    for kind, value, token in (
        ("env", "MY_TOKEN", "from-environment"),
        ("file", str(tmp_path / "token"), "from-file"),
        ("credential", "t", "from-systemd"),
    ):
        origin.put(f"/gated/{kind}", DATA)
        bench.policy = gated(origin, Token(kind, value))  # type: ignore[arg-type]
        bench.fetch(origin.url(f"/gated/{kind}"))
        assert set(shown(origin, f"/gated/{kind}")) == {f"Bearer {token}"}


@pytest.mark.parametrize(
    ("text", "mode", "fault"),
    [
        ("hush-hush", 0o640, "others can read this secret: chmod 600"),
        ("hush-hush\nX: y", 0o600, "one line of ASCII"),
        ("", 0o600, "holds no token"),
    ],
)
def test_a_file_whose_token_can_not_be_used_is_named_and_not_told(
    tmp_path: Path, text: str, mode: int, fault: str
) -> None:
    (tmp_path / "token").write_text(text)
    (tmp_path / "token").chmod(mode)
    with pytest.raises(SourceError, match=fault) as caught:
        private.read(Token("file", str(tmp_path / "token")), {})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("token", "fault"),
    [
        (Token("env", "NO_SUCH_TOKEN"), "NO_SUCH_TOKEN: holds no token"),
        (Token("credential", "t"), "LoadCredential=t:PATH"),
        (Token("file", "/nowhere"), "No such file"),
    ],
)
def test_a_token_that_is_missing_is_named(token: Token, fault: str) -> None:
    with pytest.raises(SourceError, match=fault):
        private.read(token, {})


def test_what_leaves_the_process_holds_no_secret_that_was_read() -> None:
    private.read(Token("text", "a-very-secret-token"), {})
    said = b"401 a-very-secret-token is not valid: a-very-secret-token"
    struck = private.struck(said)
    assert b"secret" not in struck
    assert len(struck) == len(said)


def test_what_is_logged_holds_no_secret_though_a_traceback_does() -> None:
    private.remember("another-secret-token")
    log, out = logging.getLogger(), io.StringIO()
    before, log.handlers = log.handlers, [logging.StreamHandler(out)]
    try:
        private.discreet_logging()
        try:
            int("another-secret-token")
        except ValueError:
            log.exception("%s broke", "another-secret-token")
    finally:
        log.handlers = before
    assert "Traceback" in out.getvalue()
    assert "another-secret-token" not in out.getvalue()
