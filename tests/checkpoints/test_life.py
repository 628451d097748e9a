"""The life of a file: the table, and random walks through it with a crash between any two steps."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolverd.checkpoints import disk, leases
from resolverd.checkpoints.asset import state
from resolverd.checkpoints.asset.manifest import Entry, Manifest
from resolverd.checkpoints.asset.state import Event, ImpossibleError, Life, State
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.intake.hashing import faults
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.space.eviction import BLOCK
from resolverd.checkpoints.space.room import Room
from resolverd.checkpoints.transfer.journal import Journal, Pin

ASSET = "a" * 24


@given(st.lists(st.sampled_from(Event), max_size=30))
def test_no_way_to_published_avoids_verification(events: list[Event]) -> None:
    life = Life()
    verified = False
    for event in events:
        try:
            life.on(event)
        except ImpossibleError:
            continue
        if life.state is State.VERIFIED:
            verified = True
        if life.state in {State.ABSENT, State.PARTIAL}:
            verified = False
        assert life.state is not State.PUBLISHED or verified


def test_a_crash_can_happen_in_every_state_and_never_brings_a_file_further() -> None:
    order = [State.ABSENT, State.PARTIAL, State.COMPLETE, State.VERIFIED, State.PUBLISHED]
    order.append(State.EVICTED)
    for before in State:
        after = state.after(before, Event.CRASHED)
        assert after is before or order.index(after) < order.index(before)


def test_every_state_can_end() -> None:
    for start in State:
        seen, todo = {start}, [start]
        while todo:
            for after in state.TABLE[todo.pop()].values():
                if after not in seen:
                    seen.add(after)
                    todo.append(after)
        assert State.ABSENT in seen


def test_what_cannot_happen_is_a_bug() -> None:
    with pytest.raises(ImpossibleError):
        state.after(State.PARTIAL, Event.RELEASED)


class Walk:
    """One asset on a real disk; each step may be the last before a crash."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(str(root))
        self.limits = Limits(quarantine_most=2)
        disk.prepare(self.layout)
        self.published: dict[str, bytes] = {}
        self.linked: str | None = None

    def content(self, version: int) -> bytes:
        return hashlib.sha256(b"%d" % version).digest() * 4

    def manifest(self, version: int) -> Manifest:
        data = self.content(version)
        value = hashlib.sha256(data).hexdigest()
        entry = Entry("m.bin", len(data), {"sha256": value})
        key = f"{ASSET}-{value[:16]}"
        return Manifest(
            key, ASSET, "http://h/m.bin", "model", str(version), "card", (entry,), (entry,), 1.0
        )

    def download(self, version: int, upto: int) -> None:
        os.makedirs(self.layout.partial(ASSET), exist_ok=True)
        data = self.content(version)[:upto]
        journal = Journal(
            self.layout.journal(ASSET, "m.bin"),
            Pin("m.bin", str(version), len(self.content(version))),
        )
        Path(self.layout.data(ASSET, "m.bin")).unlink(missing_ok=True)
        Path(self.layout.data(ASSET, "m.bin")).write_bytes(data)
        journal.record(((0, upto),) if upto else ())
        journal.close()

    def publish(self, version: int, steps: int) -> None:
        manifest = self.manifest(version)
        self.download(version, len(self.content(version)))
        disk.remove_tree(self.layout.tree(ASSET))
        disk.place(self.layout.data(ASSET, "m.bin"), self.layout.tree(ASSET), "m.bin")
        if os.path.isdir(self.layout.object(manifest.key)):
            disk.adopt(self.layout, manifest)
            self.note(manifest, version)
        else:
            for count, step in enumerate(disk.publication(self.layout, manifest), 1):
                if step == "link":
                    self.note(manifest, version)
                if count == steps:
                    return
        disk.discard(self.layout, ASSET)

    def note(self, manifest: Manifest, version: int) -> None:
        self.published[manifest.key] = self.content(version)
        self.linked = manifest.key

    def rot(self, steps: int) -> None:
        """Withdraw what the link leads to; a crash may come before each of its steps."""
        if not self.linked:
            return
        manifest = disk.read_manifest(self.layout, self.linked)
        assert manifest is not None
        for count, step in enumerate(disk.withdrawal(self.layout, manifest, "rot", self.limits), 1):
            self.gone(manifest.key, step)
            if count == steps:
                return

    def some(self, number: int) -> str:
        return sorted(self.published)[number % len(self.published)]

    def evict(self, number: int, steps: int) -> None:
        if not self.published:
            return
        key = self.some(number)
        held = leases.exclude(self.layout.lock(key))
        assert held is not None
        for count, step in enumerate(disk.removal(self.layout, key), 1):
            self.gone(key, step)
            if count == steps:
                break
        os.close(held)

    def gone(self, key: str, step: str) -> None:
        """Until its object is moved away, what is being removed may also stay."""
        if step == "links" and self.linked == key:
            self.linked = None
        if step == "object":
            del self.published[key]

    def damage(self, number: int) -> None:
        """A manifest is torn: nothing vouches for its object any more."""
        if self.published:
            key = self.some(number)
            Path(self.layout.manifest(key)).write_bytes(b"{")
            del self.published[key]
            self.linked = None if self.linked == key else self.linked

    def leased(self, number: int) -> None:
        """What is leased stays whatever evicts."""
        if self.published:
            key = self.some(number)
            fd = leases.take(self.layout.lock(key))
            assert not disk.evict(self.layout, key)
            os.close(fd)

    def press(self, quota: int) -> None:
        """The quota falls: what is over it gives way, in order, and nothing else."""
        room = Room(self.layout, Limits(max_bytes=quota * BLOCK, quarantine_most=2))
        room.fit()
        left = disk.inventory(self.layout)
        assert sum(item.size for item in left) <= quota * BLOCK
        there = set(os.listdir(self.layout.folder("objects")))
        self.published = {key: data for key, data in self.published.items() if key in there}
        if self.linked not in there:
            self.linked = None

    def check(self) -> None:
        """Whatever a client can see is whole, and nothing that was published is lost."""
        found = disk.current(self.layout, ASSET)
        assert (found.key if found else None) == self.linked
        if os.path.lexists(self.layout.link(ASSET)) and self.linked:
            visible = Path(self.layout.link(ASSET), "m.bin").read_bytes()
            assert visible == self.published[self.linked]
        for key, data in self.published.items():
            manifest = disk.read_manifest(self.layout, key)
            assert manifest is not None
            assert faults(self.layout.object(key), manifest.files, Job(lambda *_: None)) == []
            assert Path(self.layout.object(key), "m.bin").read_bytes() == data

    def restart(self) -> None:
        disk.prepare(self.layout)
        disk.sweep(self.layout, self.limits, time.time())

    def leftovers(self) -> set[str]:
        """What is on disk though nothing speaks for it."""
        listed = {
            folder: set(os.listdir(self.layout.folder(folder)))
            for folder in ("objects", "manifests", "locks", "assets", "evicted")
        }
        manifests = {name.removesuffix(".json") for name in listed["manifests"]}
        return (
            (listed["objects"] ^ manifests)
            | listed["evicted"]
            | (listed["locks"] - listed["objects"] - {"owner"})
            | (listed["assets"] - {ASSET})
        )


ENDS = st.integers(1, 6)
STEPS = st.one_of(
    st.tuples(st.just("download"), st.integers(0, 2), st.integers(0, 128)),
    st.tuples(st.just("publish"), st.integers(0, 2), ENDS),
    st.tuples(st.just("publish"), st.integers(0, 2), st.just(6)),
    st.tuples(st.just("rot"), ENDS),
    st.tuples(st.just("evict"), st.integers(0, 2), ENDS),
    st.tuples(st.just("leased"), st.integers(0, 2)),
    st.tuples(st.just("damage"), st.integers(0, 2)),
    st.tuples(st.just("press"), st.integers(0, 3)),
    st.tuples(st.just("restart")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, min_size=3, max_size=12))
def test_a_crash_between_any_two_steps_shows_nothing_unverified_and_loses_nothing(
    walk: list[tuple[Any, ...]],
) -> None:
    root = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    try:
        world = Walk(root)
        for action, *arguments in walk:
            getattr(world, action)(*arguments)
            if action != "restart":
                world.check()
            world.restart()
            world.check()
            assert world.leftovers() == set()
    finally:
        shutil.rmtree(root)


def test_a_partial_that_can_be_resumed_survives_a_restart(tmp_path: Path) -> None:
    world = Walk(tmp_path)
    world.download(0, 50)
    world.restart()
    assert disk.first_gap(world.layout, ASSET) == (50, 128)


def test_nothing_is_left_of_a_download_that_was_published_just_before_a_crash(
    tmp_path: Path,
) -> None:
    world = Walk(tmp_path)
    world.publish(0, len(["frozen", "lock", "manifest", "object", "link"]))
    world.check()
    assert os.listdir(world.layout.folder("partial")) == [ASSET]
    world.restart()
    world.check()
    assert os.listdir(world.layout.folder("partial")) == []


def test_a_partial_that_nobody_resumes_is_removed_after_days(tmp_path: Path) -> None:
    world = Walk(tmp_path)
    world.download(0, 50)
    disk.sweep(world.layout, world.limits, time.time() + 8 * 86400)
    assert os.listdir(world.layout.folder("partial")) == []


def test_a_partial_without_a_valid_journal_is_removed_at_start(tmp_path: Path) -> None:
    world = Walk(tmp_path)
    world.download(0, 50)
    Path(world.layout.journal(ASSET, "m.bin")).write_bytes(b"torn")
    world.restart()
    assert os.listdir(world.layout.folder("partial")) == []
