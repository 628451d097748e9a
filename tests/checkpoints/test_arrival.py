"""Hashing follows whatever arrives in whichever order, from buffers or from the file."""

from __future__ import annotations

import hashlib
import itertools
import os
import tempfile
import threading
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.transfer import arrival as module
from resolverd.checkpoints.transfer.arrival import Arrival, new_buffer
from resolverd.checkpoints.transfer.follow import hash_behind

DATA = os.urandom(100_000)


@st.composite
def pieces(draw: st.DrawFn) -> list[tuple[int, int]]:
    """The file cut up, in an order that is not its own."""
    edges = [0, *sorted(draw(st.sets(st.integers(1, len(DATA) - 1), max_size=30))), len(DATA)]
    return draw(st.permutations(list(itertools.pairwise(edges))))


@settings(deadline=None)
@given(pieces(), st.lists(st.booleans(), min_size=31, max_size=31), st.integers(0, len(DATA)))
def test_the_digest_is_the_files_in_whichever_order_it_comes(
    cut: list[tuple[int, int]], lent: list[bool], kept: int
) -> None:
    with tempfile.TemporaryFile() as file:
        fd = file.fileno()
        os.pwrite(fd, DATA[:kept], 0)  # of an earlier attempt
        arrival = Arrival(((0, kept),) if kept else (), len(DATA), 1, Job(lambda *_: None))
        hashed = hashlib.sha256()
        attempt: Any = SimpleNamespace(fd=fd, file=SimpleNamespace(name="a"))
        hashing = threading.Thread(target=hash_behind, args=(attempt, arrival, [hashed]))
        hashing.start()
        buffer = new_buffer()
        for (low, high), lends in zip(cut, lent, strict=False):
            buffer[: high - low] = DATA[low:high]
            os.pwrite(fd, buffer[: high - low], low)
            if lends:
                buffer = arrival.wrote_from(buffer, low, high - low)
            else:
                arrival.wrote(low, high - low)
        arrival.received()
        hashing.join(30)
    assert hashed.digest() == hashlib.sha256(DATA).digest()


def test_a_receiver_that_is_far_ahead_of_hashing_waits_for_a_buffer() -> None:
    arrival = Arrival((), None, 1, Job(lambda *_: None))
    buffer, at, ahead = new_buffer(), 0, threading.Event()

    def receive() -> None:
        nonlocal buffer, at
        for _ in range(module._LENT_MOST + 2):
            buffer = arrival.wrote_from(buffer, at, module.BUFFER)
            at += module.BUFFER
        ahead.set()

    threading.Thread(target=receive, daemon=True).start()
    for number in range(2):
        assert not ahead.is_set()
        count, lent = arrival.next_piece(number * module.BUFFER)
        assert (count, lent is not None) == (module.BUFFER, True)
        assert lent is not None
        arrival.give_back(lent)
    assert ahead.wait(30)


def test_one_that_waits_for_a_buffer_ends_with_the_job() -> None:
    job = Job(lambda *_: None)
    arrival = Arrival((), None, 1, job)
    ended = threading.Event()

    def receive() -> None:
        buffer = new_buffer()
        for number in range(module._LENT_MOST + 1):
            buffer = arrival.wrote_from(buffer, number * module.BUFFER, module.BUFFER)
        ended.set()

    with job.stopping(arrival.abort):
        threading.Thread(target=receive, daemon=True).start()
        job.stop()
        assert ended.wait(30)
