"""Published objects: finding one, and publishing one.

Order of a publication (each step durable before the next): lock file, manifest, object by one
rename, link by one rename. A reader follows the link, so it sees all of a version or none of it;
:mod:`~resolverd.checkpoints.disk.sweep` removes what a crash left between two steps.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from resolverd.checkpoints import leases
from resolverd.checkpoints.asset.manifest import Manifest
from resolverd.checkpoints.disk.durable import sync_folder
from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.disk.links import lead
from resolverd.checkpoints.disk.permissions import freeze
from resolverd.checkpoints.disk.records import read_manifest, record


def current(layout: Layout, asset: str) -> Manifest | None:
    """The object an asset's link leads to, if link, object and manifest are all there."""
    try:
        target = os.readlink(layout.link(asset))
    except OSError:
        return None
    found = read_manifest(layout, os.path.basename(target))
    return found if found and os.path.isdir(layout.object(found.key)) else None


def leads_to(layout: Layout, key: str) -> bool:
    """Whether the asset's link leads to this object."""
    try:
        return os.path.basename(os.readlink(layout.link(key.partition("-")[0]))) == key
    except OSError:
        return False


def whole(layout: Layout, manifest: Manifest) -> bool:
    """Whether each file of an object is there, as long as it should be."""
    folder = layout.object(manifest.key)
    try:
        return all(
            os.path.getsize(os.path.join(folder, entry.path)) == entry.size
            for entry in manifest.files
        )
    except OSError:
        return False


def verified_at(layout: Layout, key: str) -> float | None:
    """When an object's bytes were last found right, in seconds since the epoch.

    That is the time of its manifest, which is written when they were hashed: it needs no file of
    its own, and is gone with the object.
    """
    try:
        return os.stat(layout.manifest(key)).st_mtime
    except OSError:
        return None


def found_right(layout: Layout, key: str, now: float) -> None:
    """Note that an object's bytes were hashed, and are right."""
    with contextlib.suppress(OSError):
        os.utime(layout.manifest(key), (now, now))


def visible_path(layout: Layout, manifest: Manifest) -> str:
    """What a client is given: the file when the object holds just one, else the folder.

    Of a repository it is the folder in any case, as fairseq2 0.8.1 gives it.
    """
    folder = layout.object(manifest.key)
    if manifest.repository or len(manifest.files) != 1 or "/" in manifest.files[0].path:
        return folder
    if not manifest.whole and len(os.listdir(folder)) != 1:
        return folder  # an archive may hold empty folders and links beside its one file
    return os.path.join(folder, manifest.files[0].path)


def publication(layout: Layout, manifest: Manifest) -> Iterator[str]:
    """Publish what lies in the asset's tree, one step at a time; yields each step's name.

    The object must not exist yet. Whoever drives this to its end has published; whoever stops in
    between has crashed, and a sweep plus another go make it good.
    """
    tree = layout.tree(manifest.asset)
    freeze(tree, manifest.readers)
    yield "frozen"
    leases.make(layout.lock(manifest.key))
    yield "lock"
    record(layout, manifest)
    yield "manifest"
    os.rename(tree, layout.object(manifest.key))
    sync_folder(layout.folder("objects"))
    yield "object"
    lead(layout, manifest)
    yield "link"


def admit(layout: Layout, manifest: Manifest) -> None:
    """Let those read a published object, and only those, whom its manifest names from now on."""
    verified = verified_at(layout, manifest.key)
    freeze(layout.object(manifest.key), manifest.readers)
    record(layout, manifest)
    if verified is not None:
        found_right(layout, manifest.key, verified)  # nothing was hashed


def adopt(layout: Layout, manifest: Manifest) -> None:
    """Take an object that is there already for the asset's new version: it has the same bytes."""
    freeze(layout.object(manifest.key), manifest.readers)
    record(layout, manifest)
    leases.make(layout.lock(manifest.key))
    lead(layout, manifest)
