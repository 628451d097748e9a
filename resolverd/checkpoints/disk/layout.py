"""Names of everything below the cache directory."""

from __future__ import annotations

import os
from hashlib import sha1

PUBLIC = ("assets", "hub", "objects", "manifests")
PRIVATE = ("partial", "quarantine", "trust", "locks", "pins", "evicted")


class Layout:
    """Names of everything below one cache directory."""

    __slots__ = ("root",)

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    def __repr__(self) -> str:
        return f"Layout({self.root!r})"

    def folder(self, name: str) -> str:
        """One of the cache's own folders."""
        return os.path.join(self.root, name)

    def link(self, asset: str) -> str:
        """The link fairseq2 finds."""
        return os.path.join(self.root, "assets", asset)

    def repository(self, folder: str) -> str:
        """The folder that huggingface_hub looks for."""
        return os.path.join(self.root, "hub", folder)

    def object(self, key: str) -> str:
        """The folder that holds an object's files and nothing else."""
        return os.path.join(self.root, "objects", key)

    def manifest(self, key: str) -> str:
        """The object's manifest."""
        return os.path.join(self.root, "manifests", key + ".json")

    def lock(self, key: str) -> str:
        """The object's lock file."""
        return os.path.join(self.root, "locks", key)

    def pin(self, name: str) -> str:
        """The pin of an asset or an object."""
        return os.path.join(self.root, "pins", name)

    def evicted(self, key: str) -> str:
        """Where an object lies while it is being removed."""
        return os.path.join(self.root, "evicted", key)

    def partial(self, asset: str) -> str:
        """Where an asset's download is under way."""
        return os.path.join(self.root, "partial", asset)

    def data(self, asset: str, name: str) -> str:
        """A partial file."""
        return os.path.join(self.partial(asset), "data-" + _short(name))

    def journal(self, asset: str, name: str) -> str:
        """The partial file's journal."""
        return os.path.join(self.partial(asset), "journal-" + _short(name))

    def kept(self, asset: str, name: str) -> str:
        """A file that the version at hand has already: never written to, it is that one's too."""
        return os.path.join(self.partial(asset), "kept-" + _short(name))

    def tree(self, asset: str) -> str:
        """Where an object is put together."""
        return os.path.join(self.partial(asset), "tree")

    def trust(self, asset: str) -> str:
        """What the asset's versions hashed to when they were first used."""
        return os.path.join(self.root, "trust", asset + ".json")


def _short(name: str) -> str:
    return sha1(name.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()[:12]
