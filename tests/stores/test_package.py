"""Packages are found as Python finds them, without importing anything."""

from __future__ import annotations

import importlib
import importlib.resources
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from resolverd.cards.store import Store
from resolverd.errors import StoreError
from resolverd.stores.package import roots
from resolverd.stores.settings import WatchSettings
from resolverd.stores.tracked import TrackedStore
from resolverd.stores.wellknown import parse_spec

if TYPE_CHECKING:
    from tests.stores.conftest import Watching

BOOM = "raise RuntimeError('imported')\n"


def make(site: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    return site


def package(site: Path, name: str = "fs.assets.cards") -> Store:
    return parse_spec(f"package:{name}@{site}")


def test_a_package_is_found_without_importing_its_parents(tmp_path: Path) -> None:
    site = make(
        tmp_path,
        {"fs/__init__.py": BOOM, "fs/assets/__init__.py": BOOM, "fs/assets/cards/a.yaml": ""},
    )
    assert roots(package(site)) == [str(site / "fs/assets/cards")]


def test_a_package_of_this_environment_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, {"rsvtest_boom/__init__.py": BOOM, "rsvtest_boom/cards/a.yaml": ""})
    monkeypatch.syspath_prepend(str(tmp_path))
    assert roots(parse_spec("package:rsvtest_boom.cards")) == [str(tmp_path / "rsvtest_boom/cards")]
    assert "rsvtest_boom" not in sys.modules


def test_the_portions_of_a_namespace_package_add_up(tmp_path: Path) -> None:
    one = make(tmp_path / "one", {"ns/cards/a.yaml": ""})
    two = make(tmp_path / "two", {"ns/cards/b.yaml": ""})
    (one / "extra.pth").write_text(f"# a comment\nimport os\n\n{two}\nmissing\n")
    assert roots(package(one, "ns.cards")) == [str(one / "ns/cards"), str(two / "ns/cards")]


def test_a_regular_package_hides_namespace_portions(tmp_path: Path) -> None:
    one = make(tmp_path / "one", {"ns/cards/a.yaml": ""})
    two = make(tmp_path / "two", {"ns/__init__.py": "", "ns/cards/b.yaml": ""})
    (one / "extra.pth").write_text(str(two))
    assert roots(package(one, "ns.cards")) == [str(two / "ns/cards")]


def test_an_editable_install_is_followed_through_its_mapping(tmp_path: Path) -> None:
    source = make(tmp_path / "src", {"fs/__init__.py": BOOM, "fs/cards/a.yaml": ""})
    finder = f"{BOOM}MAPPING: dict[str, str] = {{'fs': '{source}/fs'}}\n"
    site = make(
        tmp_path / "site",
        {
            "__editable___fs_finder.py": finder,
            "__editable__.fs.pth": "import __editable___fs_finder\n",
        },
    )
    assert roots(package(site, "fs.cards")) == [str(source / "fs/cards")]


@pytest.mark.parametrize("name", ["absent", "fs.absent", "fs.module.cards", "fs.module"])
def test_what_is_no_package_is_not_found(tmp_path: Path, name: str) -> None:
    make(tmp_path, {"fs/__init__.py": "", "fs/module.py": ""})
    with pytest.raises(StoreError, match="not found"):
        roots(package(tmp_path, name))


def files_of(store: Store) -> set[str]:
    change = TrackedStore(store, WatchSettings(), {}).scan()
    assert change is not None
    return {read.path for read in change.reads}


def test_the_files_are_those_that_importlib_resources_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = make(tmp_path / "elsewhere", {"linked.yaml": "l", "deep/x.yml": "x"})
    site = make(
        tmp_path / "site",
        {
            "rsvtest_list/__init__.py": "",
            "rsvtest_list/cards/a.yaml": "a",
            "rsvtest_list/cards/.hidden.yml": "h",
            "rsvtest_list/cards/note.txt": "n",
            "rsvtest_list/cards/.yaml": "no suffix",
            "rsvtest_list/cards/models/b.yaml": "b",
        },
    )
    (site / "rsvtest_list/cards/elsewhere").symlink_to(elsewhere)
    (site / "rsvtest_list/cards/broken.yaml").symlink_to("nowhere")
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()

    def collect(place: Any) -> set[str]:
        if place.is_file():
            return {str(place)} if Path(str(place)).suffix in (".yaml", ".yml") else set()
        if place.is_dir():
            return {path for entry in place.iterdir() for path in collect(entry)}
        return set()

    listed = collect(importlib.resources.files("rsvtest_list.cards"))
    assert len(listed) == 5
    assert files_of(parse_spec(f"package:rsvtest_list.cards@{site}")) == listed
    sys.modules.pop("rsvtest_list", None)


def test_a_link_back_to_its_own_directory_ends(tmp_path: Path) -> None:
    site = make(tmp_path, {"p/__init__.py": "", "p/a.yaml": "a", "p/sub/b.yaml": "b"})
    (site / "p/sub/again").symlink_to("..")
    assert files_of(package(site, "p")) == {str(site / "p/a.yaml"), str(site / "p/sub/b.yaml")}


def test_of_one_file_in_two_portions_the_first_counts(tmp_path: Path) -> None:
    one = make(tmp_path / "one", {"ns/cards/a.yaml": "1", "ns/cards/b.yaml": "1"})
    two = make(tmp_path / "two", {"ns/cards/a.yaml": "2", "ns/cards/c.yaml": "2"})
    (one / "two.pth").write_text(str(two))
    names = {f"{one}/ns/cards/a.yaml", f"{one}/ns/cards/b.yaml", f"{two}/ns/cards/c.yaml"}
    assert files_of(package(one, "ns.cards")) == names


async def test_a_package_is_watched_also_behind_links_and_when_reinstalled(
    tmp_path: Path, watching: Watching
) -> None:
    elsewhere = make(tmp_path / "elsewhere", {"l.yaml": "one"})
    site = make(tmp_path / "site", {"p/__init__.py": "", "p/cards/a.yaml": "a"})
    (site / "p/cards/linked").symlink_to(elsewhere)
    async with watching(package(site, "p.cards")) as seen:
        (elsewhere / "l.yaml").write_bytes(b"two")
        await seen.has(site / "p/cards/linked/l.yaml", b"two")
        (site / "p/cards").rename(site / "old")
        await seen.until(lambda: seen.state == "missing")
        make(site, {"p/cards/new.yaml": "new"})
        await seen.has(site / "p/cards/new.yaml", b"new")
        assert len(seen.files) == 1


async def test_a_change_in_any_portion_of_a_namespace_is_seen(
    tmp_path: Path, watching: Watching
) -> None:
    one = make(tmp_path / "one", {"ns/cards/a.yaml": "1"})
    two = make(tmp_path / "two", {"ns/cards/a.yaml": "2"})
    (one / "two.pth").write_text(str(two))
    async with watching(package(one, "ns.cards")) as seen:
        (one / "ns/cards/a.yaml").unlink()
        await seen.has(two / "ns/cards/a.yaml", b"2")
        await seen.lacks(one / "ns/cards/a.yaml")
