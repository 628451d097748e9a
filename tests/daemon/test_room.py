"""Room in the cache, through real daemons: the quota, what gives way for it, what never does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoints.origin import Origin
from tests.daemon.running import Daemon, daemon

MIB = 1 << 20


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        for name in "abcdef":
            running.put(f"/{name}.bin", os.urandom(MIB))
        yield running


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Daemon]:
    with bounded(tmp_path, max_bytes=3 * MIB + MIB // 2) as running:
        yield running


def bounded(tmp_path: Path, **cache: object) -> object:
    """A daemon whose table ``[cache]`` is in a file, to be changed by the test."""
    configure(tmp_path, **cache)
    return daemon("--config", str(tmp_path / "config.toml"))


def configure(tmp_path: Path, **cache: object) -> None:
    values = {"min_free_bytes": 0, **cache}
    text = "".join(f"{key} = {value!r}\n" for key, value in values.items())
    (tmp_path / "config.toml").write_text(f"[cache]\n{text}")


def used(node: Daemon) -> int:
    """Bytes of all checkpoint data below the cache, each file once."""
    folders = ("objects", "partial", "quarantine", "evicted")
    found = {}
    for folder in folders:
        for place, _, names in os.walk(node.cache / folder):
            for name in names:
                try:
                    status = os.stat(os.path.join(place, name))
                except FileNotFoundError:
                    continue
                found[status.st_ino] = status.st_size
    return sum(found.values())


def age(node: Daemon, path: Path, seconds: float) -> None:
    """Have an object be last used some time ago."""
    lock = node.cache / "locks" / path.parent.name
    then = lock.stat().st_mtime - seconds
    os.utime(lock, (then, then))


def test_the_least_recently_used_gives_way_to_a_download(node: Daemon, origin: Origin) -> None:
    client = node.client()
    paths = {name: client.path(uri=origin.url(f"/{name}.bin")) for name in "abc"}
    for name, seconds in (("a", 300), ("b", 900), ("c", 600)):
        age(node, paths[name], seconds)
    assert client.path(uri=origin.url("/b.bin")) == paths["b"]  # used again just now
    client.path(uri=origin.url("/d.bin"))
    assert {name for name, path in paths.items() if path.exists()} == {"a", "b"}
    assert used(node) <= 3 * MIB + MIB // 2
