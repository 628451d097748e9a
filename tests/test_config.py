"""Settings: layers, and every problem named at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from resolverd.config import default_cache_dir, load
from resolverd.errors import ConfigError


def config(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return file


def complaints(file: Path | None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file, environ or {})
    return str(caught.value).splitlines()


def test_defaults_need_no_file() -> None:
    settings = load(None, {})
    assert settings.stores.paths == ()
    assert settings.cache.min_free_bytes == 1 << 30


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = config(tmp_path, 'daemon.log_level = "error"\n[stores]\npoll = "always"\npaths = ["/a"]')
    environ = {"RESOLVERD_DAEMON__LOG_LEVEL": "warning", "RESOLVERD_STORES__PATHS": '["/b", "/c"]'}
    settings = load(file, environ, {"daemon": {"log_level": "debug"}})
    assert settings.daemon.log_level == "debug"
    assert settings.stores.paths == ("/b", "/c")
    assert settings.stores.poll == "always"


def test_one_store_in_the_environment_needs_no_brackets() -> None:
    assert load(None, {"RESOLVERD_STORES__PATHS": "package:x.y"}).stores.paths == ("package:x.y",)


def test_sizes_may_be_worded() -> None:
    assert load(None, {"RESOLVERD_CACHE__MIN_FREE_BYTES": "2 GiB"}).cache.min_free_bytes == 2 << 30


def test_variables_of_the_client_are_no_settings() -> None:
    load(None, {"RESOLVERD_SOCKET": "/x", "RESOLVERD_LOCALISE": "1"})


def test_every_problem_is_named_with_key_value_and_what_is_allowed(tmp_path: Path) -> None:
    file = config(
        tmp_path,
        '[daemon]\nlog_level = "loud"\nsokcet = 1\n[fetch]\nconcurrency = 0\n[foo]\nbar = 1\n',
    )
    lines = complaints(file, {"RESOLVERD_STORES__ENVIRONMENT": "a@b"})
    assert len(lines) == 5
    assert sum(line.startswith(f"{file}: ") for line in lines) == 4
    assert any("daemon.log_level: 'loud'" in line and "warning" in line for line in lines)
    assert any("daemon.sokcet" in line and "socket" in line for line in lines)
    assert any("fetch.concurrency: 0" in line and "from 1 to 64" in line for line in lines)
    assert any("foo: there is no such table" in line for line in lines)
    assert any("RESOLVERD_STORES__ENVIRONMENT: 'a@b'" in line for line in lines)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("listen", "0.0.0.0:9464"),
        ("listen", "127.0.0.1:0"),
        ("listen", "127.0.0.1:65536"),
        ("listen", "127.0.0.256:80"),
        ("listen", "metrics.sock"),
        ("listen", "9464"),
        ("textfile", "/etc/passwd"),
        ("textfile", "resolverd.prom"),
        ("textfile_interval", "0"),
    ],
)
def test_metrics_are_shown_on_this_node_alone_and_overwrite_nothing_else(
    key: str, value: str
) -> None:
    (line,) = complaints(None, {f"RESOLVERD_METRICS__{key.upper()}": value})
    assert f"RESOLVERD_METRICS__{key.upper()}" in line


@pytest.mark.parametrize(
    "address", ["127.0.0.1:9464", "127.1.2.3:1", "localhost:65535", "[::1]:80", "/run/m.sock"]
)
def test_metrics_take_any_loopback_address_and_sockets(address: str) -> None:
    assert load(None, {"RESOLVERD_METRICS__LISTEN": address}).metrics.listen == address


def test_a_file_that_is_no_toml_is_named_with_its_line(tmp_path: Path) -> None:
    file = config(tmp_path, "[daemon]\nsocket = \n")
    (line,) = complaints(file)
    assert str(file) in line
    assert "line 2" in line


def test_a_file_that_is_missing_or_not_text_is_named(tmp_path: Path) -> None:
    assert "No such file" in complaints(tmp_path / "none.toml")[0]
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'x = "\xe9"')
    assert "UTF-8" in complaints(latin)[0]


def test_a_table_given_as_a_value_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    assert (
        "daemon"
        in complaints(config(tmp_path, "daemon = 3"), {"RESOLVERD_DAEMON__SOCKET": "/x"})[0]
    )


def test_the_cache_is_where_systemd_or_the_user_keeps_caches() -> None:
    assert default_cache_dir(system=True, environ={"CACHE_DIRECTORY": "/c"}) == Path("/c")
    assert default_cache_dir(system=True, environ={}) == Path("/var/cache/resolverd")
    mine = default_cache_dir(system=False, environ={"XDG_CACHE_HOME": "/home/me/c"})
    assert mine == Path("/home/me/c/resolverd")
