"""What could have put a file together out of bytes that do not belong together."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time

from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.faults import Cancelled
from tests.checkpoints.conftest import PART, Bench
from tests.checkpoints.origin import Origin

DATA = bytes(range(1, 256)) * (PART * 6 // 255)


def leave_half_way(bench: Bench, url: str, reached: int) -> None:
    """Fetch, and leave once some bytes have come."""
    job = bench.job()

    def fetch() -> None:
        with contextlib.suppress(Cancelled):
            bench.engine.fetch(Wanted("model", url), job)

    thread = threading.Thread(target=fetch)
    thread.start()
    deadline = time.monotonic() + 10
    while job._done < reached and time.monotonic() < deadline:
        time.sleep(0.002)
    job.stop()
    thread.join(20)
    assert not thread.is_alive()


def test_an_attempt_that_could_not_resume_leaves_nothing_that_a_later_one_trusts(
    origin: Origin, bench: Bench
) -> None:
    resource = origin.put("/m", DATA, rate=PART * 4)
    leave_half_way(bench, origin.url("/m"), PART)
    resource.faults.ignore_range = True
    resource.faults.rate = PART
    leave_half_way(bench, origin.url("/m"), 1)
    resource.faults.ignore_range = False
    resource.faults.rate = None
    assert bench.content(bench.fetch(origin.url("/m"))) == DATA


def test_a_journal_of_data_that_is_gone_is_not_trusted_after_the_next_crash(
    origin: Origin, bench: Bench
) -> None:
    resource = origin.put("/m", DATA, rate=PART * 4)
    leave_half_way(bench, origin.url("/m"), PART)
    for folder, _, names in os.walk(bench.layout.folder("partial")):
        for name in names:
            if name.startswith("data-"):
                os.truncate(os.path.join(folder, name), 0)
    resource.faults.rate = PART
    leave_half_way(bench, origin.url("/m"), 1)
    resource.faults.rate = None
    assert bench.content(bench.fetch(origin.url("/m"))) == DATA


def test_a_published_file_that_was_removed_is_fetched_again(origin: Origin, bench: Bench) -> None:
    origin.put("/m", DATA)
    path = bench.path(bench.fetch(origin.url("/m")))
    os.unlink(path)
    assert bench.content(bench.fetch(origin.url("/m"))) == DATA


def test_nobody_else_can_open_a_lock(origin: Origin, bench: Bench) -> None:
    origin.put("/m", DATA)
    key = bench.fetch(origin.url("/m")).key
    assert stat.S_IMODE(os.stat(bench.layout.folder("locks")).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(bench.layout.lock(key)).st_mode) == 0o600
