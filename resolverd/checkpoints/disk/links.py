"""Links that lead to an object: fairseq2's one, and those in Hugging Face's layout."""

from __future__ import annotations

import contextlib
import os

from resolverd.checkpoints.asset.manifest import Manifest
from resolverd.checkpoints.disk import hub
from resolverd.checkpoints.disk.durable import sync_folder, unlink
from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.disk.records import read_manifest


def lead(layout: Layout, manifest: Manifest) -> None:
    """Have everyone find this object, instead of the one before; a repository's in its layout too.

    A crash in between costs that layout nothing: a start makes it again from the manifests.
    """
    link = layout.link(manifest.asset)
    fresh = link + ".new"
    unlink(fresh)
    os.symlink(os.path.join("..", "objects", manifest.key), fresh)
    os.rename(fresh, link)
    sync_folder(os.path.dirname(link))
    hub.arrange(layout, manifest)


def drop_links(layout: Layout, key: str) -> None:
    """Remove all that leads to an object, before the object itself goes."""
    link = layout.link(key.partition("-")[0])
    with contextlib.suppress(OSError):
        if os.path.basename(os.readlink(link)) == key:
            os.unlink(link)
    if (manifest := read_manifest(layout, key)) is not None:
        hub.arrange(layout, manifest, without=key)
