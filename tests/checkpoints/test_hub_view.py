"""The layout for huggingface_hub on a real disk: random walks, crashes between any two steps."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from resolverd.checkpoints import disk
from resolverd.checkpoints.asset.manifest import Entry, Manifest
from resolverd.checkpoints.asset.target import Kind, Wanted
from resolverd.checkpoints.disk import Layout, durable, hub, links
from resolverd.checkpoints.intake.hub_view import view
from resolverd.checkpoints.limits import Limits

STEPS = ("rename", "symlink", "unlink", "rmdir", "mkdir", "makedirs")
NAMES: dict[str, tuple[str, ...]] = {
    "model": ("a.safetensors", "sub/b.safetensors"),
    "tokenizer": ("tokenizer.json",),
}
URIS = ("hg://org/r", "hg://org/r@v1", "hg://org/r@v1/x", "hg://org/s")


class Crash(BaseException):
    """The process is gone."""


@contextmanager
def crashing(after: int) -> Iterator[None]:
    """Have the process end before one of its next steps on the disk."""
    left = [after]

    def step(name: str) -> object:
        def do(*args: object, **options: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise Crash
            return getattr(os, name)(*args, **options)

        return do

    counted = SimpleNamespace(**{**vars(os), **{name: step(name) for name in STEPS}})
    with (
        patch.object(hub, "os", counted),
        patch.object(links, "os", counted),
        patch.object(durable, "os", counted),
    ):
        yield


def commit(version: int) -> str:
    return hashlib.sha1(b"%d" % version).hexdigest()


def bytes_of(name: str, version: int) -> bytes:
    """Version 1 changes the model alone, version 2 nothing but the README."""
    changed = version >= 1 and name.endswith(".safetensors") and name.startswith("a")
    return f"{name} {'new' if changed else 'old'}".encode()


class Node:
    """A cache, and the time in it."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(str(root))
        self.now = 0.0
        disk.prepare(self.layout)

    def publish(self, uri: str, kind: Kind, version: int) -> None:
        self.now += 1
        wanted = Wanted(kind, uri)
        tree = Path(self.layout.tree(wanted.asset))
        disk.remove_tree(str(tree))
        entries = []
        for name in NAMES[kind]:
            data = bytes_of(name, version)
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(data)
            entries.append(Entry(name, len(data), {"sha256": hashlib.sha256(data).hexdigest()}))
        content = hashlib.sha256(repr([entry.digests for entry in entries]).encode()).hexdigest()
        files = tuple(entries)
        manifest = Manifest(
            key=f"{wanted.asset}-{content[:16]}",
            asset=wanted.asset,
            uri=uri,
            kind=kind,
            stamp=f"commit:{commit(version)}",
            trust="origin",
            fetched=files,
            files=files,
            created=self.now,
        )
        if os.path.isdir(self.layout.object(manifest.key)):
            disk.adopt(self.layout, manifest)
        else:
            for _ in disk.publication(self.layout, manifest):
                pass
        disk.discard(self.layout, wanted.asset)

    def keys(self) -> list[str]:
        return sorted(os.listdir(self.layout.folder("objects")))

    def check(self) -> None:
        """Whatever a name leads to is whole, of that commit, and all of one kind at least."""
        for ref in Path(self.layout.folder("hub")).glob("*/refs/**/*"):
            if ref.is_dir():
                continue
            root = next(parent for parent in ref.parents if parent.name == "refs").parent
            shown = root / "snapshots" / ref.read_text()
            version = next(n for n in range(3) if commit(n) == ref.read_text())
            there = {
                str(path.relative_to(shown)): path.read_bytes()
                for path in shown.rglob("*")
                if not path.is_dir()
            }
            assert all(data == bytes_of(name, version) for name, data in there.items())
            assert any(set(names) <= set(there) for names in NAMES.values())

    def check_at_rest(self) -> None:
        """The layout is what the manifests say, and nothing in it leads nowhere."""
        self.check()
        root = Path(self.layout.folder("hub"))
        assert all(path.exists() for path in root.rglob("*"))
        found = [disk.read_manifest(self.layout, key) for key in self.keys()]
        manifests = [each for each in found if each is not None]
        folders = {each.repository.folder for each in manifests if each.repository}
        assert set(os.listdir(root)) == folders
        for folder in folders:
            own = [m for m in manifests if m.repository and m.repository.folder == folder]
            wanted = view(own)
            assert set(os.listdir(root / folder / "blobs")) == set(wanted.blobs)
            assert set(os.listdir(root / folder / "snapshots")) >= set(wanted.snapshots)
            for name, at in wanted.refs.items():
                assert (root / folder / "refs" / name).read_text() == at


PUBLISH = st.tuples(
    st.just("publish"),
    st.sampled_from(URIS),
    st.sampled_from(["model", "tokenizer"]),
    st.integers(0, 2),
)
EVICT = st.tuples(st.just("evict"), st.integers(0, 9))
WALK = st.lists(st.tuples(st.one_of(PUBLISH, EVICT), st.none() | st.integers(0, 40)), max_size=8)


@settings(max_examples=25, deadline=None)
@given(WALK)
def test_a_name_always_leads_to_whole_files_of_one_commit(walk: list[tuple[object, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        node = Node(Path(folder))
        for action, crash in walk:
            try:
                with crashing(10**9 if crash is None else crash):
                    act(node, action)
            except Crash:
                node.check()
                disk.sweep(node.layout, Limits(), 0.0)
            node.check_at_rest()


def act(node: Node, action: object) -> None:
    match action:
        case ("publish", str(uri), "model" | "tokenizer" as kind, int(version)):
            node.publish(uri, kind, version)
        case ("evict", int(number)):
            if keys := node.keys():
                disk.evict(node.layout, keys[number % len(keys)])
