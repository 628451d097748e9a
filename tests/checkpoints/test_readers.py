"""Who may read an object: on disk by the kernel's word, and by the rules' as they change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from resolverd.checkpoints.access.policy import Policy, readers_of
from resolverd.checkpoints.access.rules import EVERYONE, Rule, Token
from resolverd.checkpoints.asset import manifest as manifests
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.disk.permissions import freeze
from resolverd.checkpoints.lookup import Lookup
from tests.checkpoints.conftest import Bench
from tests.checkpoints.origin import Origin

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")
DATA = b"gated" * 1000


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach."""
    made = Path(tempfile.mkdtemp(dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def reads(path: Path, uid: int, *groups: int) -> bool:
    """Whether a user who is in some groups can read a file."""
    code = (
        "import os, sys; path, uid, *groups = sys.argv[1:]; os.setgroups(list(map(int, groups)));"
        "os.setgid(60000); os.setuid(int(uid)); open(path, 'rb').read(1)"
    )
    command = [sys.executable, "-c", code, str(path), str(uid), *map(str, groups)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@needs_root
@pytest.mark.parametrize(
    ("readers", "may", "may_not"),
    [
        (None, [60001, 60002], []),
        ((), [], [60001, 60002]),
        ((60001,), [60001], [60002]),
        ((60001, 60003), [60001, 60003], [60002]),
    ],
)
def test_only_members_of_the_groups_can_read(
    folder: Path, readers: tuple[int, ...] | None, may: list[int], may_not: list[int]
) -> None:
    tree = folder / "tree"
    (tree / "below").mkdir(parents=True)
    file = tree / "below" / "a"
    file.write_bytes(DATA)
    freeze(str(tree), (60009,))  # whatever held before
    freeze(str(tree), readers)
    for group in may:
        assert reads(file, 60000, group)
    for group in may_not:
        assert not reads(file, 60000, group)
    assert file.stat().st_mode & 0o222 == 0


@needs_root
def test_a_daemon_that_is_no_member_of_a_group_lets_it_read_all_the_same(folder: Path) -> None:
    tree = folder / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(DATA)
    for path in (tree, tree / "a"):
        os.chown(path, 60005, 60005)
    code = (
        "import os, sys; from resolverd.checkpoints.disk.permissions import freeze;"
        "os.setgroups([]); os.setgid(60005); os.setuid(60005); freeze(sys.argv[1], (60001,))"
    )
    subprocess.run([sys.executable, "-c", code, str(tree)], check=True)
    assert reads(tree / "a", 60000, 60001)
    assert not reads(tree / "a", 60000, 60002)
    assert not reads(tree / "a", 60000, 60005)


@needs_root
def test_where_a_group_can_not_be_let_in_nobody_is_and_the_remedy_is_told(folder: Path) -> None:
    tree = folder / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(DATA)
    code = (
        "import sys; from resolverd.checkpoints.disk.permissions import freeze\n"
        "try: freeze(sys.argv[1], (60001,))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    alone = ["unshare", "--user", "--map-root-user", sys.executable, "-c", code, str(tree)]
    told = subprocess.run(alone, capture_output=True, text=True, check=True).stdout
    assert "CacheError" in told
    assert "SupplementaryGroups=" in told
    assert not reads(tree / "a", 60000, 60001)


def policy(origin: Origin, **more: object) -> Policy:
    rule = Rule(origin.url("/gated/"), token=Token("text", "a-token"), **more)  # type: ignore[arg-type]
    return Policy(rules=(rule,), readers=(60001,))


@pytest.mark.parametrize(
    ("named", "private", "readers"),
    [
        (None, False, None),
        (None, True, (60001,)),
        ((7, 3), True, (3, 7)),
        ((7,), False, (7,)),
        ((7, EVERYONE), True, None),
        ((), True, ()),
    ],
)
def test_a_rule_names_the_readers_else_what_is_private_is_the_sockets_groups(
    named: tuple[int, ...] | None, private: bool, readers: tuple[int, ...] | None
) -> None:
    rules = Policy(rules=(Rule("https://h/", readers=named),), readers=(60001,))
    assert readers_of(rules, "https://h/a", private=private) == readers
    elsewhere = (60001,) if private else None
    assert readers_of(rules, "https://other/a", private=private) == elsewhere


@needs_root
def test_what_has_a_token_is_closed_though_a_mirror_needs_none(
    bench: Bench, origin: Origin
) -> None:
    origin.put("/mirror/a", DATA)
    bench.policy = policy(origin, to=(origin.url("/mirror/"),))
    assert bench.fetch(origin.url("/gated/a")).readers == (60001,)


@needs_root
def test_what_a_token_gave_is_closed_and_all_else_open(bench: Bench, origin: Origin) -> None:
    bench.policy = policy(origin)
    for path, readers, mode in (("/gated/a", (60001,), 0o440), ("/open/a", None, 0o444)):
        origin.put(path, DATA)
        manifest = bench.fetch(origin.url(path))
        assert manifest.readers == readers
        status = os.stat(bench.path(manifest))
        assert status.st_mode & 0o777 == mode
        folder = os.stat(bench.layout.object(manifest.key))
        assert folder.st_mode & 0o777 == (0o755 if readers is None else 0o750)
        assert readers is None or status.st_gid == folder.st_gid == readers[0]


@needs_root
def test_another_rule_holds_at_the_next_request_without_the_network(
    bench: Bench, origin: Origin
) -> None:
    origin.put("/gated/a", DATA)
    uri = origin.url("/gated/a")
    bench.policy = policy(origin)
    bench.fetch(uri)
    asked = len(origin.resources["/gated/a"].requests)
    for readers, mode in (((EVERYONE,), 0o444), ((60002,), 0o440), ((), 0o400)):
        bench.policy = policy(origin, readers=readers)
        rules = bench.policy
        assert Lookup(bench.layout, rules, lambda _: False).find(Wanted("model", uri)) is None
        manifest = bench.fetch(uri)
        assert os.stat(bench.path(manifest)).st_mode & 0o777 == mode
        assert Lookup(bench.layout, rules, lambda _: False).find(Wanted("model", uri))
    assert len(origin.resources["/gated/a"].requests) == asked


@needs_root
def test_the_same_bytes_under_a_new_stamp_stay_closed(bench: Bench, origin: Origin) -> None:
    origin.put("/gated/a", DATA)
    bench.policy = policy(origin)
    bench.fetch(origin.url("/gated/a"))
    origin.put("/gated/a", DATA, etag='"new"')
    bench.policy = policy(origin, readers=(60002,))
    manifest = bench.fetch(origin.url("/gated/a"), refresh=True)
    status = os.stat(bench.path(manifest))
    assert (status.st_mode & 0o777, status.st_gid) == (0o440, 60002)


@needs_root
def test_a_copy_of_a_file_that_not_everyone_may_read_is_closed_too(
    bench: Bench, folder: Path
) -> None:
    bench.policy = Policy(file_roots=None, readers=(60001,))
    (folder / "below").mkdir()
    for mode, above, readers in (
        (0o644, 0o755, None),
        (0o640, 0o755, (60001,)),
        (0o644, 0o750, (60001,)),
    ):
        (folder / "below").chmod(above)
        path = folder / "below" / f"{mode}-{above}"
        path.write_bytes(DATA)
        path.chmod(mode)
        assert bench.fetch(str(path), localise=True).readers == readers


def test_a_manifest_keeps_who_may_read(bench: Bench, origin: Origin) -> None:
    origin.put("/a", DATA)
    manifest = bench.fetch(origin.url("/a"))
    assert manifests.load(manifests.dump(manifest)) == manifest
    closed = replace(manifest, readers=(1, 2), private=True)
    assert manifests.load(manifests.dump(closed)) == closed
