"""Objects of repositories as huggingface_hub finds them: links in its own layout.

``blobs/`` names each file by its content and leads into ``objects/``, where alone bytes are;
``snapshots/COMMIT`` leads to a folder of links to blobs, and ``refs/NAME`` holds a commit. Order:
blobs, then the whole snapshot by one swapped link, then the name; and the other way round to take
something away. So whoever looks a name up finds all of a commit's files, or those of the commit
before. Nothing here is synced: :func:`arrange_all` makes it all again from the manifests when the
daemon starts.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping

from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.manifest import Manifest
from resolverd.checkpoints.asset.repository import SCHEME
from resolverd.checkpoints.disk.durable import remove
from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.disk.records import read_manifest
from resolverd.checkpoints.intake.hub_view import View, view

_FRESH = "fresh"
_LOCK = threading.Lock()  # kinds of one repository are published by several jobs


def arrange(layout: Layout, manifest: Manifest, without: str | None = None) -> None:
    """Show what is published now of the repository that an object is of; of no other, nothing.

    Args:
        layout: The cache.
        manifest: The object's.
        without: An object that is to be seen no more, though it is still there.
    """
    repository = manifest.repository
    if repository is None:
        return
    with _LOCK:
        there = _published(layout, without, repository.id).get(repository.folder, [])
        _arranged(layout.repository(repository.folder), view(there))


def arrange_all(layout: Layout) -> None:
    """Show all repositories as they are published now, and nothing else."""
    with _LOCK:
        published = _published(layout)
        for folder in {*published, *os.listdir(layout.folder("hub"))}:
            _arranged(layout.repository(folder), view(published.get(folder, [])))
            _tidied(layout.repository(folder))


def _published(
    layout: Layout, without: str | None = None, repository_id: str = ""
) -> Mapping[str, list[Manifest]]:
    """The manifests of repositories' objects, by folder; with a name, at least of those."""
    found = defaultdict(list)
    word = f"{SCHEME}://{repository_id}".encode()
    for key in os.listdir(layout.folder("objects")):
        manifest = None if key == without else read_manifest(layout, key, word)
        if manifest is not None and (repository := manifest.repository) is not None:
            found[repository.folder].append(manifest)
    return found


def _arranged(root: str, wanted: View) -> None:
    """Make a repository's folder what it should be."""
    if not wanted.snapshots:
        remove(os.path.join(root, "refs"))
        remove(root)
        return
    for name in ("blobs", "refs", "snapshots", "views"):
        os.makedirs(os.path.join(root, name), exist_ok=True)
    for blob, place in wanted.blobs.items():
        _lead(root, f"blobs/{blob}", f"../../../objects/{place}")
    for commit, files in wanted.snapshots.items():
        _lead(root, f"snapshots/{commit}", f"../views/{_shown(root, commit, files)}")
    for name in set(_names(os.path.join(root, "refs"))) - set(wanted.refs):
        remove(os.path.join(root, "refs", name))
    for name, commit in wanted.refs.items():
        _name(root, name, commit)
    _drop_gone(root, wanted)


def _shown(root: str, commit: str, files: Mapping[str, str]) -> str:
    """The folder of links that shows these files, made if it is not there yet."""
    name = f"{commit[:12]}-{digest.of_many(files).hex[:12]}"
    target = os.path.join(root, "views", name)
    if not os.path.isdir(target):
        fresh = os.path.join(root, _FRESH)
        remove(fresh)
        for path, blob in files.items():
            os.makedirs(os.path.dirname(os.path.join(fresh, path)), exist_ok=True)
            up = "../" * (path.count("/") + 2)
            os.symlink(f"{up}blobs/{blob}", os.path.join(fresh, path))
        os.rename(fresh, target)
    return name


def _drop_gone(root: str, wanted: View) -> None:
    """Remove snapshots that lack a file by now, and the blobs that are no more.

    One that lacks none stays for those who read it, though its commit was followed by another of
    the same bytes.
    """
    for commit in set(os.listdir(os.path.join(root, "snapshots"))) - set(wanted.snapshots):
        if not _is_whole(os.path.join(root, "snapshots", commit), wanted):
            remove(os.path.join(root, "snapshots", commit))
    for name in os.listdir(os.path.join(root, "views")):
        if not _is_whole(os.path.join(root, "views", name), wanted):
            remove(os.path.join(root, "views", name))
    for blob in set(os.listdir(os.path.join(root, "blobs"))) - set(wanted.blobs):
        remove(os.path.join(root, "blobs", blob))


def _is_whole(folder: str, wanted: View) -> bool:
    """Whether a folder of links lacks none of its files."""
    shown = {os.path.basename(blob) for blob in _links(folder)}
    return bool(shown) and shown <= set(wanted.blobs)


def _tidied(root: str) -> None:
    """Remove what no snapshot shows any more; at a start, when nobody reads it."""
    views = os.path.join(root, "views")
    if not os.path.isdir(views):
        return
    remove(os.path.join(root, _FRESH))
    snapshots = os.path.join(root, "snapshots")
    shown = {
        os.path.basename(os.readlink(os.path.join(snapshots, name)))
        for name in os.listdir(snapshots)
    }
    for name in set(os.listdir(views)) - shown:
        remove(os.path.join(views, name))


def _lead(root: str, name: str, target: str) -> None:
    """Have a link lead somewhere, in one step."""
    link = os.path.join(root, name)
    with contextlib.suppress(OSError):
        if os.readlink(link) == target:
            return
    fresh = os.path.join(root, _FRESH)
    remove(fresh)
    os.symlink(target, fresh)
    os.rename(fresh, link)


def _name(root: str, name: str, commit: str) -> None:
    """Have a branch or tag name a commit, in one step."""
    path = os.path.join(root, "refs", name)
    with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
        if file.read() == commit:
            return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fresh = os.path.join(root, _FRESH)
    with open(fresh, "w", encoding="ascii") as file:
        file.write(commit)
    if os.path.isdir(path):  # names below it were there before
        remove(path)
    os.rename(fresh, path)


def _names(folder: str) -> Iterator[str]:
    """Paths of the files below a folder."""
    for place, _, names in os.walk(folder):
        for name in names:
            yield os.path.relpath(os.path.join(place, name), folder)


def _links(folder: str) -> Iterator[str]:
    """Where the links below a folder lead."""
    for name in _names(folder):
        path = os.path.join(folder, name)
        yield os.readlink(path) if os.path.islink(path) else name
