"""A server that hangs up at any byte of what it says."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkpoints.conftest import PART, Bench, limits
from tests.checkpoints.origin import Origin
from tests.checkpoints.scripted import chunked, scripted, whole

SMALL = os.urandom(40)
BIG = os.urandom(3 * PART + 7)
ANSWERS = {"whole": whole(SMALL, 'ETag: "1"'), "chunked": chunked(SMALL[:20], SMALL[20:])}


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder without a disk below it: these tests sync some hundred times."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as made:
        yield Path(made)


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_that_breaks_off_at_any_byte_is_asked_for_again(memory: Path, kind: str) -> None:
    answer = ANSWERS[kind]
    for cut in range(len(answer)):
        bench = Bench(memory / str(cut))
        with scripted(lambda n, _, cut=cut: answer if n else answer[:cut]) as server:  # type: ignore[misc]
            assert bench.content(bench.fetch(server.url())) == SMALL
            assert len(server.requests) > 1
        assert list((bench.root / "quarantine").iterdir()) == []


EDGES = sorted(
    {max(0, edge + near) for edge in (0, 65536, 131072, PART, 2 * PART) for near in (-1, 0, 1)}
)


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.one_of(st.sampled_from(EDGES), st.integers(0, PART)), max_size=12),
    connections=st.integers(1, 4),
)
def test_bodies_that_break_off_anywhere_are_put_together_and_no_byte_is_sent_twice(
    cuts: list[int], connections: int
) -> None:
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as root,
        Origin() as origin,
    ):
        bench = Bench(Path(root) / "cache")
        bench.limits = limits(connections=connections, attempts=len(cuts) + 2)
        resource = origin.put("/a", BIG, close_after=list(cuts))
        manifest = bench.fetch(origin.url("/a"), hashlib.sha256(BIG).hexdigest())
        assert bench.content(manifest) == BIG
        assert resource.sent == len(BIG)
