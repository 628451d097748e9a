"""An origin, an engine in this process, and a service with a worker, for tests of checkpoints."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from resolverd.checkpoints import disk
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.asset.manifest import Manifest
from resolverd.checkpoints.asset.target import Kind, Wanted
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.intake.fetch import Engine
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.service import Checkpoints
from resolverd.checkpoints.space.room import Room
from resolverd.checkpoints.transfer.traffic import Traffic
from tests.checkpoints.bucket import Bucket, S3Server, s3_running
from tests.checkpoints.origin import Origin

PART = 1 << 18
QUICK: dict[str, object] = {
    "part_bytes": PART,
    "backoff": 0.001,
    "backoff_most": 0.002,
    "attempts": 4,
    "stall_timeout": 5.0,
    "journal_bytes": PART,
    "min_free_bytes": 0,
}


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with s3_running() as server:
        yield server


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    return s3_server.bucket(f"b-{uuid.uuid4()}")


def limits(**changes: object) -> Limits:
    return Limits(**{**QUICK, **changes})  # type: ignore[arg-type]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "cache")


@dataclass
class Bench:
    """An engine in this process, and what it told."""

    root: Path
    limits: Limits = field(default_factory=limits)
    policy: Policy = field(default_factory=lambda: Policy(file_roots=None))
    steps: list[str] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        return Layout(str(self.root))

    @property
    def engine(self) -> Engine:
        disk.prepare(self.layout)
        room = Room(self.layout, self.limits)
        return Engine(self.layout, self.limits, self.policy, room, Traffic(self.limits))

    def job(self) -> Job:
        return Job(lambda step, *_: self.steps.append(step))

    def fetch(
        self, uri: str, checksum: object = None, kind: Kind = "model", **options: bool
    ) -> Manifest:
        wanted = Wanted(kind, uri, checksum, localise=options.pop("localise", False))  # type: ignore[arg-type]
        engine = self.engine
        with engine.room.working(wanted.asset):
            return engine.fetch(wanted, self.job(), **options)

    def path(self, manifest: Manifest) -> str:
        return disk.visible_path(self.layout, manifest)

    def content(self, manifest: Manifest) -> bytes:
        return Path(self.path(manifest)).read_bytes()

    def partial(self) -> list[str]:
        return sorted(os.listdir(self.layout.folder("partial")))

    def visible(self) -> set[str]:
        """Every path a client or fairseq2 could be led to."""
        found = set()
        for asset in os.listdir(self.layout.folder("assets")):
            for folder, _, names in os.walk(os.path.realpath(self.layout.link(asset))):
                found |= {os.path.join(folder, name) for name in names}
        return found


@asynccontextmanager
async def running(root: Path, **changes: object) -> AsyncIterator[Checkpoints]:
    rules = changes.pop("policy", Policy(file_roots=None))
    is_network = changes.pop("is_network", lambda _: False)
    service = Checkpoints(root, limits(**changes), rules, is_network=is_network)  # type: ignore[arg-type]
    async with anyio.create_task_group() as group:
        await group.start(service.run)
        try:
            yield service
        finally:
            group.cancel_scope.cancel()


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await anyio.sleep(0.005)
