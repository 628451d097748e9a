"""Which directories and which files in them hold cards: fairseq2's choice and resolverd's."""

from __future__ import annotations

import os

import pytest

from resolverd.stores.wellknown import default_stores
from tests.daemon.running import daemon
from tests.fairseq2.exact import tree

pytestmark = pytest.mark.fairseq2

ENVIRONMENTS = [
    {},
    {"FAIRSEQ2_ASSET_DIR": "{there}"},
    {"FAIRSEQ2_ASSET_DIR": "{missing}"},
    {"FAIRSEQ2_ASSET_DIR": "{link}"},
    {"FAIRSEQ2_ASSET_DIR": "~/there"},
    {"FAIRSEQ2_ASSET_DIR": "{there}/../there/"},
    {"FAIRSEQ2_USER_ASSET_DIR": "{there}"},
    {"FAIRSEQ2_USER_ASSET_DIR": "{missing}"},
    {"FAIRSEQ2_USER_ASSET_DIR": "{missing}", "XDG_CONFIG_HOME": "{config}"},
    {"FAIRSEQ2_USER_ASSET_DIR": "~", "XDG_CONFIG_HOME": "{config}"},
    {"XDG_CONFIG_HOME": "{config}"},
    {"XDG_CONFIG_HOME": "{missing}"},
    {"XDG_CONFIG_HOME": "~/config"},
    {"FAIRSEQ2_ASSET_DIR": "{there}", "FAIRSEQ2_USER_ASSET_DIR": "{config}"},
]


@pytest.fixture
def home(tmp_path):
    for folder in ("there", "config/fairseq2/assets", ".config/fairseq2/assets"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "link").symlink_to("there")
    return tmp_path


@pytest.mark.parametrize("variables", ENVIRONMENTS, ids=str)
def test_the_well_known_directories_are_those_that_fairseq2_reads(fairseq2, home, variables):
    names = ("there", "missing", "link", "config")
    places = {name: str(home / name) for name in names}
    environ = {"HOME": str(home)} | {k: v.format(**places) for k, v in variables.items()}
    theirs = fairseq2.ask("directories", environ=environ)
    ours = [store for store in default_stores(environ, str(home)) if not store.is_package]
    found = [os.path.realpath(store.location) for store in ours]
    assert [path if os.path.exists(path) else None for path in found] == theirs
    # The later one wins, and is read first here.
    assert ours[0].precedence > ours[1].precedence


def plant(root, files):
    """Write files of one card each, its name the file's own; ``->`` makes a symbolic link."""
    for file in files:
        name, arrow, target = file.partition(" -> ")
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            path.symlink_to(target)
        else:
            path.write_text(f"name: '{root.name}/{name}'\ncheckpoint: a.pt\n")


TREE = [
    "a.yaml", "b.yml", "c.YAML", "d.yaml~", "e.json", "f.yaml.bak", "g", ".h.yaml", ".i/j.yaml",
    "k k/é.yml", ".yaml", ".yml", "l/m/n/o/p.yaml", "q.yaml/r.yaml", "x..yaml", "y.yaml.yml",
    "link.yaml -> elsewhere.txt", "elsewhere.txt", "gone.yaml -> nowhere", "linked -> k k",
    "l/up -> ..", "z.\n.yaml",
]  # fmt: skip


def theirs_and_ours(answers, *specs):
    """The metadata of all names: fairseq2's, and what a daemon with the same stores serves."""
    expected = {name: found for each in answers for name, found in each["metadata"].items()}
    with daemon(stores=[str(spec) for spec in specs]) as running, running.client() as client:
        served = {name: tree(client.maybe_get_metadata(name)) for name in client.get_names()}
        stores = [store["source"] for store in client.status()["stores"]]
    assert stores == [each["source"] for each in answers]
    return expected, served


def test_the_files_of_a_directory_are_those_that_fairseq2_reads(fairseq2, tmp_path):
    roots = [tmp_path / "tree", tmp_path / "linked root", tmp_path / "single.txt"]
    plant(roots[0], TREE)
    plant(tmp_path / "real", ["s.yaml", "t/u.yaml"])
    roots[1].symlink_to("real")
    roots[2].write_text("name: single\n")
    answers = [fairseq2.ask("directory", path=str(root)) for root in roots]
    theirs, ours = theirs_and_ours(answers, *roots)
    assert len(theirs) > 12
    assert ours == theirs


def test_the_files_of_a_package_are_those_that_fairseq2_reads(fairseq2, tmp_path):
    plant(tmp_path / "outside", ["o.yaml", "p/q.yaml"])
    plant(tmp_path / "regular_cards", ["__init__.py", *TREE[:16], "linked -> ../outside"])
    plant(tmp_path / "space" / "cards", ["a.yaml", "deep/b.yml", ".c.yaml", "data/__init__.py"])
    for init in tmp_path.rglob("__init__.py"):
        init.write_text("")
    names = ["regular_cards", "space.cards"]
    answers = [fairseq2.ask("package", name=name, site_dirs=[str(tmp_path)]) for name in names]
    theirs, ours = theirs_and_ours(answers, *(f"package:{n}@{tmp_path}" for n in names))
    assert len(theirs) > 12
    assert ours == theirs
