"""What huggingface_hub's cache layout shows of the objects of one repository. Pure.

The layout is derived: it is a function of the manifests, so that it can be made again from them at
any time, and nothing but the objects holds bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from resolverd.checkpoints.asset.digest import GIT_BLOB
from resolverd.checkpoints.asset.manifest import Entry, Manifest


@dataclass(frozen=True, slots=True)
class View:
    """One repository's folder.

    Attributes:
        blobs: Where each file's bytes are, below the cache's objects, by the file's content.
        snapshots: The blob of each path, by commit.
        refs: The commit of each branch or tag.
    """

    blobs: Mapping[str, str]
    snapshots: Mapping[str, Mapping[str, str]]
    refs: Mapping[str, str]


def view(manifests: Iterable[Manifest]) -> View:
    """Show the objects of one repository as huggingface_hub would have laid them out.

    All that is there of a commit is one snapshot: a model and its tokenizer are found together.
    """
    known = [(manifest, at) for manifest in manifests if (at := commit_of(manifest))]
    blobs: dict[str, str] = {}
    snapshots: dict[str, dict[str, str]] = defaultdict(dict)
    for manifest, commit in sorted(known, key=lambda pair: pair[0].key):
        for entry in manifest.files:
            blobs.setdefault(_blob(entry), f"{manifest.key}/{entry.path}")
            snapshots[commit][entry.path] = _blob(entry)
    return View(blobs, dict(snapshots), _refs(known))


def commit_of(manifest: Manifest) -> str | None:
    """The commit that an object is of; None for what is of no repository."""
    word, _, commit = (manifest.stamp or "").partition(":")
    return commit if word == "commit" and manifest.repository else None


def _refs(known: Iterable[tuple[Manifest, str]]) -> dict[str, str]:
    """The commit of each name: the one that most kinds are there of, of several the newest.

    So a name moves on when the last of model and tokenizer was refreshed, and whoever looks it up
    finds both, of one commit.
    """
    found: dict[str, dict[str, list[Manifest]]] = defaultdict(lambda: defaultdict(list))
    for manifest, commit in known:
        repository = manifest.repository
        if repository is not None and not repository.is_pinned:
            found[repository.revision][commit].append(manifest)
    refs = {name: max(commits, key=lambda at: _weight(commits[at])) for name, commits in
            found.items()}  # fmt: skip
    # Git can't have both, but one may have followed the other.
    return {
        name: at for name, at in refs.items() if not any(n.startswith(f"{name}/") for n in refs)
    }


def _weight(manifests: Iterable[Manifest]) -> tuple[int, float]:
    there = list(manifests)
    return len({manifest.kind for manifest in there}), max(each.created for each in there)


def _blob(entry: Entry) -> str:
    """A file's name by its content, as the Hub's ETag has it."""
    return entry.digests.get(GIT_BLOB) or entry.digests["sha256"]
