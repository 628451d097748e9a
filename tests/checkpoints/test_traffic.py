"""Slots and bandwidth, with real downloads."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.faults import Cancelled
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.results import Published
from resolverd.checkpoints.transfer.traffic import Traffic
from resolverd.errors import SourceError
from tests.checkpoints.conftest import PART, Bench, limits, running, until
from tests.checkpoints.origin import Origin

BIG = os.urandom(4 * PART)
SMALL = os.urandom(1000)


def content(published: Published) -> bytes:
    return Path(published.path).read_bytes()


async def test_a_small_file_gets_through_while_four_huge_ones_run(
    origin: Origin, tmp_path: Path
) -> None:
    gate = threading.Event()
    huge = [origin.put(f"/{n}", BIG, gate=gate, gate_at=PART // 2) for n in range(4)]
    origin.put("/small", SMALL)
    async with running(tmp_path, concurrency=4, large_bytes=PART) as service:
        asked = [
            asyncio.ensure_future(service.ensure(Wanted("model", origin.url(f"/{n}"))))
            for n in range(4)
        ]
        await until(lambda: sum(resource.sent > 0 for resource in huge) >= 3)
        ready = await service.ensure(Wanted("model", origin.url("/small")))
        assert content(ready) == SMALL
        assert not any(each.done() for each in asked)
        gate.set()
        for each in await asyncio.gather(*asked):
            assert content(each) == BIG


async def test_a_download_that_waits_for_a_slot_says_so_and_can_be_cancelled(
    origin: Origin, tmp_path: Path
) -> None:
    gate = threading.Event()
    first = origin.put("/a", BIG, gate=gate, gate_at=PART // 2)
    second = origin.put("/b", BIG)
    async with running(tmp_path, concurrency=1) as service:
        runs = asyncio.ensure_future(service.ensure(Wanted("model", origin.url("/a"))))
        await until(lambda: first.sent)
        told: list[str] = []
        waits = asyncio.ensure_future(
            service.ensure(
                Wanted("model", origin.url("/b")), progress=lambda seen: told.append(seen.state)
            )
        )
        await until(lambda: told.count("waiting") >= 2)  # the daemon's word, then the worker's
        waits.cancel()
        await until(lambda: len(service.downloads) == 1)
        assert second.requests == []
        gate.set()
        await runs


async def test_other_limits_hold_for_who_waits_already(origin: Origin, tmp_path: Path) -> None:
    gate = threading.Event()
    first = origin.put("/a", BIG, gate=gate, gate_at=PART // 2)
    origin.put("/b", SMALL)
    async with running(tmp_path, concurrency=1) as service:
        runs = asyncio.ensure_future(service.ensure(Wanted("model", origin.url("/a"))))
        await until(lambda: first.sent)
        waits = asyncio.ensure_future(service.ensure(Wanted("model", origin.url("/b"))))
        await service.configure(limits(concurrency=2), Policy(file_roots=None))
        await waits
        gate.set()
        await runs


def test_a_host_has_its_own_bandwidth_below_that_of_all() -> None:
    traffic = Traffic(limits(bandwidth=1000, host_bandwidth=500), clock=lambda: 0.0)
    assert traffic.charge("a", 100) == pytest.approx(0.2)
    assert traffic.charge("b", 500) == pytest.approx(1.0)
    assert traffic.charge("c", 600) == pytest.approx(1.2)
    traffic.limits = replace(traffic.limits, bandwidth=0, host_bandwidth=0)
    assert traffic.charge("a", 10**9) == 0.0


def test_a_download_is_held_to_the_bandwidth(
    origin: Origin, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(Job, "wait", lambda _, seconds: waited.append(seconds))
    origin.put("/a", BIG)
    bench.limits = limits(bandwidth=1)
    manifest = bench.fetch(origin.url("/a"), hashlib.sha256(BIG).hexdigest())
    assert bench.content(manifest) == BIG
    assert len(waited) == len(BIG) // (1 << 14)
    assert max(waited) == pytest.approx(len(BIG), rel=0.01)


def test_a_job_that_is_stopped_leaves_the_queue() -> None:
    traffic = Traffic(limits(concurrency=1))
    job = Job(lambda *_: None)
    with traffic.lane("a", Job(lambda *_: None)):
        threading.Timer(0.01, job.stop).start()
        with pytest.raises(Cancelled), traffic.lane("a", job):
            pass
        assert "waiting=0" in repr(traffic)
    with traffic.lane("a", Job(lambda *_: None)):
        pass


def test_a_server_that_drips_bytes_for_ever_is_given_up(origin: Origin, bench: Bench) -> None:
    origin.put("/a", BIG, rate=200.0)
    bench.limits = limits(min_rate=100_000, min_rate_seconds=0.2, attempts=2)
    with pytest.raises(SourceError, match=r"fetch\.min_rate asks for .* Given up after 2"):
        bench.fetch(origin.url("/a"))


def test_a_server_that_is_merely_slow_is_not(origin: Origin, bench: Bench) -> None:
    origin.put("/a", BIG, rate=2e6)
    bench.limits = limits(min_rate=1000, min_rate_seconds=0.05, attempts=1)
    assert bench.content(bench.fetch(origin.url("/a"))) == BIG
