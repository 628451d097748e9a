"""Whatever is done to a store, what was reported ends equal to what is there."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resolverd.stores.settings import WatchSettings

if TYPE_CHECKING:
    from tests.stores.conftest import Watching

NAMES = ["a.yaml", "b.yml", "c.txt", "d/a.yaml", "d/e/b.yaml", "d/e/.h.yaml", "f/e/a.yaml"]
PLACES = ["d", "d/e", "f", "f/e", "g"]

files = st.sampled_from(NAMES)
places = st.sampled_from(PLACES)
data = st.binary(min_size=1, max_size=3)
operations = st.one_of(
    st.tuples(st.just("write"), files, data),
    st.tuples(st.just("replace"), files, data),
    st.tuples(st.just("unlink"), files),
    st.tuples(st.just("rename"), files, files),
    st.tuples(st.just("mkdir"), places),
    st.tuples(st.just("rmtree"), places),
    st.tuples(st.just("move"), places, places),
    st.tuples(st.just("root removed")),
    st.tuples(st.just("root swapped"), data),
    st.tuples(st.just("pause"), st.sampled_from([0.001, 0.004, 0.01])),
)
links = st.tuples(st.just("link"), files, st.sampled_from([*NAMES, *PLACES]))


def perform(root: Path, operation: tuple) -> None:  # noqa: C901 (one line an operation)
    """Do one thing to the store, as far as it is possible just now."""
    kind, *rest = operation
    if kind in ("write", "replace", "link"):
        path = root / rest[0]
        path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "write":
        path.write_bytes(rest[1])
    elif kind == "replace":
        (path.parent / "tmp").write_bytes(rest[1])
        os.replace(path.parent / "tmp", path)
    elif kind == "link":
        path.unlink(missing_ok=True)
        path.symlink_to(root / rest[1])
    elif kind == "unlink":
        (root / rest[0]).unlink()
    elif kind in ("rename", "move"):
        os.rename(root / rest[0], root / rest[1])
    elif kind == "mkdir":
        (root / rest[0]).mkdir(parents=True)
    elif kind == "rmtree":
        shutil.rmtree(root / rest[0])
    elif kind == "root removed":
        shutil.rmtree(root)
        root.mkdir()
    elif kind == "root swapped":
        other = Path(tempfile.mkdtemp(dir=root.parent))
        (other / "a.yaml").write_bytes(rest[0])
        os.rename(root, other.with_suffix(".away"))
        os.rename(other, root)
    elif kind == "pause":
        time.sleep(rest[0])


def attempt(root: Path, operation: tuple) -> None:
    """What is impossible just now, such as moving what is not there, is left out."""
    with contextlib.suppress(OSError):
        perform(root, operation)


def there(root: Path) -> dict[str, bytes]:
    """What fairseq2 would read: os.walk, suffixes, links to nothing passed over."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            if path.suffix in (".yaml", ".yml") and path.is_file():
                found[str(path)] = path.read_bytes()
    return found


async def run(watching: Watching, steps: list[tuple], how: WatchSettings) -> None:
    with tempfile.TemporaryDirectory() as base:
        root = Path(base, "cards")
        os.mkdir(root)
        async with watching(root, settings=how) as seen:
            for step in steps:
                await anyio.to_thread.run_sync(attempt, root, step)
            expected = there(root)
            await seen.until(lambda: seen.state == "ok" and seen.files == expected)


relaxed = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@relaxed
@given(steps=st.lists(operations, max_size=25))
def test_by_events_alone_the_reports_end_at_what_is_there(
    watching: Watching, steps: list[tuple]
) -> None:
    anyio.run(run, watching, steps, WatchSettings(scan_interval=60))


@relaxed
@given(steps=st.lists(st.one_of(operations, links), max_size=25))
def test_with_links_and_scans_the_reports_end_at_what_is_there(
    watching: Watching, steps: list[tuple]
) -> None:
    anyio.run(run, watching, steps, WatchSettings(scan_interval=0.02))


@pytest.mark.slow
@settings(relaxed, max_examples=1500)
@given(steps=st.lists(operations, max_size=60))
def test_longer_histories_end_at_what_is_there(watching: Watching, steps: list[tuple]) -> None:
    anyio.run(run, watching, steps, WatchSettings(scan_interval=60))
