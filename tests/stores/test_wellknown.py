"""Stores as fairseq2 lists them and as operators name them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resolverd.errors import ConfigError
from resolverd.stores import wellknown
from resolverd.stores.wellknown import default_stores, parse_spec


def sources(environ: dict[str, str], home: Path) -> list[str]:
    return [store.source for store in default_stores(environ, str(home)) if not store.is_package]


def test_by_default_the_system_store_comes_before_the_users(tmp_path: Path) -> None:
    stores = default_stores({}, str(tmp_path))
    assert [store.source for store in stores if not store.is_package] == [
        f"path:{os.path.realpath('/etc/fairseq2/assets')}",
        f"path:{tmp_path}/.config/fairseq2/assets",
    ]
    precedences = [store.precedence for store in stores]
    assert precedences == sorted(precedences, reverse=True)


def test_the_package_comes_first_when_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rsvtest_fs" / "cards").mkdir(parents=True)
    monkeypatch.setattr(wellknown, "FAIRSEQ2_CARDS", "rsvtest_fs.cards")
    assert not any(store.is_package for store in default_stores({}, str(tmp_path)))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert default_stores({}, str(tmp_path))[0].source == "package:rsvtest_fs.cards"


def test_variables_name_existing_directories(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "u").mkdir()
    environ = {"FAIRSEQ2_ASSET_DIR": str(tmp_path / "s"), "FAIRSEQ2_USER_ASSET_DIR": "~/u"}
    assert sources(environ, tmp_path) == [f"path:{tmp_path}/s", f"path:{tmp_path}/u"]


def test_a_variable_that_names_nothing_counts_as_unset(tmp_path: Path) -> None:
    environ = {
        "FAIRSEQ2_ASSET_DIR": "/nowhere",
        "FAIRSEQ2_USER_ASSET_DIR": "/nowhere",
        "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
    }
    assert sources(environ, tmp_path) == [
        f"path:{os.path.realpath('/etc/fairseq2/assets')}",
        f"path:{tmp_path}/xdg/fairseq2/assets",
    ]


def test_a_directory_that_is_both_is_listed_once(tmp_path: Path) -> None:
    environ = {"FAIRSEQ2_ASSET_DIR": str(tmp_path), "FAIRSEQ2_USER_ASSET_DIR": str(tmp_path)}
    assert sources(environ, tmp_path) == [f"path:{tmp_path}"]


def test_the_source_is_resolved_but_the_link_is_watched(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    environ = {"FAIRSEQ2_ASSET_DIR": str(tmp_path / "link")}
    system = next(s for s in default_stores(environ, str(tmp_path)) if s.precedence == 1)
    assert system.source == f"path:{tmp_path}/real"
    assert system.location == f"{tmp_path}/link"


def test_a_path_is_made_absolute() -> None:
    store = parse_spec("some/dir", precedence=3, poll=True)
    assert store.source == f"path:{os.getcwd()}/some/dir"
    assert (store.precedence, store.poll, store.is_package) == (3, True, False)


def test_a_package_may_name_its_site() -> None:
    store = parse_spec("package:a.b@/opt/venv/site-packages")
    assert (store.source, store.location) == ("package:a.b", "a.b")
    assert store.site_dir == "/opt/venv/site-packages"


@pytest.mark.parametrize("spec", ["", "path:", "package:", "package:a-b", "package:a@", "a\0b"])
def test_what_names_no_store_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match="store"):
        parse_spec(spec)
