"""With resolverd-client installed a job sees exactly what fairseq2 alone would have shown it."""

from __future__ import annotations

import random

import pytest

from tests.daemon.running import card, daemon, write

pytestmark = pytest.mark.fairseq2

SYSTEM = """\
name: a
model_family: llama
base: b
checkpoint: sub/a.pt
when: 2024-05-06 07:08:09.5+02:00
nested: {deep: [1, 2.5, {x: null}], true: 010}
---
name: a@user
mine: true
---
name: a@cluster
base: c
---
name: b
tokenizer: hg://org/tok
model_family: llama
"""
FILES = {
    "system/one.yaml": SYSTEM,
    "system/deep/er/two.yml": "name: c\nmodel_family: mistral\ntokenizer: file:///x\n",
    "user/mine.yaml": "name: u\nbase: a\n---\nname: b@cluster\nx: 1\n",
    "team/t.yaml": "name: t\nbase: u\n---\nname: no_base\nbase: nowhere\n",
    "private/p.yaml": "name: p\nbase: t\nmodel_family: llama\n---\nname: p@user\nbase: ' b '\n",
    "clash/k.yaml": "name: k\n---\nname: b\nother: b\n",
    "loop/l.yaml": "name: l\nbase: l2\n---\nname: l2\n---\nname: l@x\n",
    "twice/w.yaml": "name: w\n",
    "single.yaml": "name: s\nbase: a\n---\nname: s@cluster\ny: [1]\n",
    "site/cards_of_ours/x.yaml": "name: x\nbase: a\ncheckpoint: rel.pt\n",
    "site/cards_of_ours/sub/y.yml": "name: y\n",
    "site/cards_elsewhere/z.yaml": "name: z\nbase: x\n",
}
SERVED = ("system", "user", "team", "clash", "loop", "twice", "single.yaml", "empty")

STORES = {"FAIRSEQ2_ASSET_DIR": "system", "FAIRSEQ2_USER_ASSET_DIR": "user"}
BOTH = "before_ours,after_ours"
ARRANGEMENTS = [
    {},
    {"environ": STORES},
    {"environ": {"FAIRSEQ2_ASSET_DIR": "system"}},
    {"environ": {"FAIRSEQ2_ASSET_DIR": "user", "FAIRSEQ2_USER_ASSET_DIR": "system"}},
    {"environ": {"FAIRSEQ2_ASSET_DIR": "link"}},
    {"environ": {"FAIRSEQ2_USER_ASSET_DIR": "private"}},
    {"environ": {"FAIRSEQ2_ASSET_DIR": "empty"}},
    {"environ": {"FAIRSEQ2_ASSET_DIR": "nowhere"}},
    {"environ": {"XDG_CONFIG_HOME": "config"}},
    {"environ": STORES, "paths": ["team"]},
    {"environ": STORES, "paths": ["team", "private", "single.yaml"]},
    {"environ": STORES, "paths": ["link/../team", "loop"]},
    {"environ": STORES, "paths": ["twice/", "twice/.", "private"]},
    {"environ": STORES, "paths": ["nowhere"]},
    {"environ": STORES, "paths": ["single.yaml"], "packages": ["cards_of_ours"]},
    {"environ": STORES, "packages": ["cards_of_ours", "cards_elsewhere"]},
    {"environ": STORES, "packages": ["cards_nowhere"]},
    {"environ": STORES, "paths": ["clash"]},
    {"environ": {"FAIRSEQ2_USER_ASSET_DIR": "clash"}},
    {"environ": {**STORES, "OTHERS": "before_ours"}},
    {"environ": {**STORES, "OTHERS": "after_ours"}},
    {"environ": {**STORES, "OTHERS": BOTH}, "paths": ["team", "private"]},
    {"environ": {**STORES, "OTHERS": BOTH, "ENV_OF_before_ours": "cluster"}},
    {"environ": {**STORES, "OTHERS": BOTH, "ENV_OF_after_ours": "cluster"}, "paths": ["team"]},
]
NODE = {"RESOLVERD_FALLBACK_TIMEOUT": "30"}
"""The machine may be slow."""
RANDOM_STORES = 8


def random_arrangement(seed):
    """Some of the random stores, served ones and others, with or without an environment."""
    chance = random.Random(seed)
    stores = [f"random{each}" for each in range(RANDOM_STORES)]
    chosen = chance.sample(stores, chance.randint(2, RANDOM_STORES))
    environ = {"FAIRSEQ2_ASSET_DIR": chosen.pop(), "FAIRSEQ2_USER_ASSET_DIR": chosen.pop()}
    if chance.random() < 0.5:
        environ |= {"OTHERS": "after_ours", "ENV_OF_after_ours": chance.choice(["e0", "e1"])}
    return {"environ": environ, "paths": chosen}


def random_store(place, number):
    """Cards with bases anywhere, also in stores that a job lacks, and overrides far from home."""
    chance = random.Random(number)
    stems = [f"c{each}" for each in range(number, 10 * RANDOM_STORES, RANDOM_STORES)]
    anywhere = [f"c{each}" for each in range(10 * RANDOM_STORES)]
    cards = []
    for stem in stems:
        for env in ("", "@user", "@e0", "@e1"):
            if env and chance.random() < 0.6:
                continue
            fields = {"x": chance.randint(0, 9), "model_family": chance.choice(["llama", "other"])}
            later = [each for each in anywhere if int(each[1:]) > int(stem[1:])]
            if later and chance.random() < 0.6:
                fields["base"] = chance.choice(later)
            cards.append(card(f"{stem}{env}", **fields))
    chance.shuffle(cards)
    for part in range(3):
        folder = place / f"random{number}" / ("deep/" * part)
        write(folder / f"{part}.yaml", "---\n".join(cards[part::3]))


NAMES = ["a@", "a@user", "a@cluster", "a@nowhere", " a ", "b@cluster", "nothing", "", "@", "p@user"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    for path, text in FILES.items():
        write(folder / path, text)
    for number in range(RANDOM_STORES):
        random_store(folder, number)
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("system")
    (folder / "config" / "fairseq2").mkdir(parents=True)
    (folder / "config" / "fairseq2" / "assets").symlink_to(folder / "team")
    return folder


@pytest.fixture(scope="module")
def served(place, extended):
    packages = [f"package:cards_of_ours@{place / 'site'}"]
    packages += [f"package:fairseq2.assets.cards@{extended.site_dir}"]
    served = [*SERVED, *(f"random{each}" for each in range(0, RANDOM_STORES, 2))]
    with daemon(stores=[*packages, *(str(place / each) for each in served)]) as running:
        yield running


def placed(place, arrangement):
    """Name the folders of an arrangement where they really are."""
    known = {path.partition("/")[0] for path in FILES} | {"empty", "nowhere", "link", "config"}
    known |= {f"random{each}" for each in range(RANDOM_STORES)}
    environ = {
        key: str(place / value) if value in known else value
        for key, value in arrangement.get("environ", {}).items()
    }
    return {
        "environ": environ,
        "paths": [f"{place}/{path}" for path in arrangement.get("paths", ())],
        "packages": arrangement.get("packages", []),
    }


@pytest.mark.parametrize(
    "arrangement", [*ARRANGEMENTS, *map(random_arrangement, range(8))], ids=str
)
def test_every_arrangement_of_stores_looks_as_without_it(
    fairseq2, extended, served, place, arrangement
):
    asked = placed(place, arrangement)
    more = {"names": NAMES, "site_dirs": [str(place / "site")]}
    theirs = fairseq2.ask("arranged", **asked, **more)
    asked["environ"] |= NODE | {"RESOLVERD_SOCKET": str(served.socket)}
    assert extended.ask("arranged", **asked, **more) == theirs


def test_the_stores_that_the_daemon_serves_come_from_it_and_no_other(extended, served, place):
    environ = {key: str(place / value) for key, value in STORES.items()}
    environ |= NODE | {"RESOLVERD_SOCKET": str(served.socket)}
    paths = [str(place / each) for each in ("team", "private", "single.yaml")]
    packages = ["cards_of_ours", "cards_elsewhere"]
    extended.ask("arranged", site_dirs=[str(place / "site")])
    assert extended.ask("sources", paths=paths, packages=packages, environ=environ) == [
        ["package:fairseq2.assets.cards", "NodeProvider"],
        [f"path:{place}/system", "NodeProvider"],
        [f"path:{place}/user", "NodeProvider"],
        [f"path:{place}/team", "NodeProvider"],
        [f"path:{place}/private", "CachedAssetMetadataProvider"],
        [f"path:{place}/single.yaml", "NodeProvider"],
        ["package:cards_of_ours", "NodeProvider"],
        ["package:cards_elsewhere", "CachedAssetMetadataProvider"],
    ]
