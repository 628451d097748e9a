"""``[[fetch.rules]]``: every problem named, and no secret told."""

from __future__ import annotations

from pathlib import Path

import pytest

from resolverd.access import policy
from resolverd.checkpoints.access.rules import EVERYONE, Token
from resolverd.config import Settings, load
from resolverd.errors import ConfigError


def written(folder: Path, text: str, mode: int = 0o644) -> Path:
    file = folder / "config.toml"
    file.write_text(text)
    file.chmod(mode)
    return file


def complaint(folder: Path, text: str, mode: int = 0o644) -> str:
    with pytest.raises(ConfigError) as caught:
        load(written(folder, text, mode), {})
    return str(caught.value)


def test_rules_are_read_as_the_engine_takes_them(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hush")
    (tmp_path / "token").chmod(0o600)
    settings = load(
        written(
            tmp_path,
            f"""
            [[fetch.rules]]
            from = "https://models.example.com/"
            to = ["https://mirror.example.com/models/", "https://models.example.com/"]
            proxy = "http://user:word@proxy:3128"
            read_groups = ["root", "*"]
            token_file = "{tmp_path}/token"
            [[fetch.rules]]
            from = "https://"
            allow = false
            [[fetch.rules]]
            from = "s3://bucket"
            endpoint = "http://[::1]:9000"
            region = "r-1"
            read_groups = "root"
            """,
        ),
        {},
    )
    mirror, none, bucket = policy(settings, None, ()).rules
    assert mirror.to == ("https://mirror.example.com/models/", "https://models.example.com/")
    assert mirror.readers == (0, EVERYONE)
    assert mirror.token == Token("file", f"{tmp_path}/token")
    assert (none.allow, none.token, none.readers) == (False, None, None)
    assert (bucket.endpoint, bucket.readers) == ("http://[::1]:9000", (0,))


def test_rules_can_come_from_the_environment() -> None:
    text = '[{from = "https://h/", allow = false}]'
    assert load(None, {"RESOLVERD_FETCH__RULES": text}).fetch.rules[0].allow is False
    with pytest.raises(ConfigError, match=r"RESOLVERD_FETCH__RULES.*ftp"):
        load(None, {"RESOLVERD_FETCH__RULES": '[{from = "ftp://h/"}]'})


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("allow = true", r"rules\[1\]\.from: is missing"),
        ('from = "example.com"', r"rules\[1\]\.from: 'example.com'.*://"),
        ('from = "gopher://h/"', r"from: 'gopher://h/'"),
        ('from = "https:///path"', r"from: 'https:///path'"),
        ('from = "https://h:x/"', "'h:x' is no host"),
        ('from = "https://me@h/"', "'me@h' is no host"),
        ('from = "https://h/"\nto = ["https://h?/a/"]', r"'h\?' is no host"),
        ('from = "https://h/"\nallow = "perhaps"', r"allow: 'perhaps'.*true or false"),
        ('from = "https://h/"\nalow = true', r"alow: there is no such key; allowed: from, to"),
        ('from = "https://h/"\nto = ["mirror"]', r"to: 'mirror'"),
        ('from = "https://h/a"\nto = ["https://m/b/"]', "both end with a slash"),
        ('from = "https://h/"\nto = ["hg://org/"]', "only an hg:// repository"),
        ('from = "https://*.h/"\nto = ["https://m/"]', r"without '\*'"),
        ('from = "https://h/"\nproxy = "socks5://p"', r"proxy: .*http\(s\) URL"),
        ('from = "https://h/"\nread_groups = ["no-such-group"]', "no group 'no-such-group'"),
        ('from = "https://h/"\ntoken_env = "A"\ntoken_credential = "c"', "has one token"),
        ('from = "https://h/"\ntoken_file = "token"', "absolute path"),
        ('from = "https://h/"\ntoken_file = "/nowhere/token"', "No such file"),
        ('from = "https://h/"\ntoken_file = "/etc/passwd"', "others can read it: chmod 600"),
        ('from = "https://"\ntoken_env = "A"', "every host would be shown it"),
        ('from = "s3://b/"\ntoken_env = "A"', "s3 knows no tokens"),
        ('from = "https://h/"\nregion = "r"', "only a rule from 's3://'"),
        ('from = "https://h/"\n[[fetch.rules]]\nfrom = "https://h/"', "two rules are from"),
    ],
)
def test_every_problem_of_a_rule_is_named(tmp_path: Path, rule: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        load(written(tmp_path, f"[[fetch.rules]]\n{rule}\n"), {})


def test_all_problems_of_all_rules_are_named_at_once(tmp_path: Path) -> None:
    lines = complaint(tmp_path, "[[fetch.rules]]\nfrom = 1\nto = 2\n[[fetch.rules]]\nx = 1\n")
    assert len(lines.splitlines()) == 4


def test_rules_that_are_no_tables_are_named(tmp_path: Path) -> None:
    assert "[[fetch.rules]]" in complaint(tmp_path, "[fetch]\nrules = 3\n")
    assert "a rule is a table" in complaint(tmp_path, "[fetch]\nrules = [3]\n")


def test_a_token_in_a_file_that_others_can_read_is_refused_and_not_told(tmp_path: Path) -> None:
    text = '[[fetch.rules]]\nfrom = "https://h/"\ntoken = "hush-hush"\n'
    assert "chmod 600" in complaint(tmp_path, text)
    assert isinstance(load(written(tmp_path, text, 0o600), {}), Settings)
    for wrong in (text + "alow = 1\n", text.replace('"hush-hush"', '["hush-hush"]')):
        assert "hush-hush" not in complaint(tmp_path, wrong, 0o600)


def test_a_proxys_password_is_not_told(tmp_path: Path) -> None:
    text = '[[fetch.rules]]\nfrom = "https://h/"\nproxy = "socks5://u:hush-hush@p"\n'
    assert "hush-hush" not in complaint(tmp_path, text)
