"""Which directories and which files in them hold cards: fairseq2's choice and resolverd's."""

from __future__ import annotations

import os

import pytest

from resolverd.stores.wellknown import default_stores

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
