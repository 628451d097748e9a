"""Removing a published object without a half-state.

Order: links, object (by one rename aside), manifest, lock file, bytes. So whoever follows a link
sees all of the object or none of it, and a crash between two steps leaves what
:mod:`~resolverd.checkpoints.disk.sweep` finishes: a manifest or a lock without an object, or bytes
that lie aside.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from resolverd.checkpoints import leases
from resolverd.checkpoints.disk.durable import remove_tree, sync_folder, unlink
from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.disk.links import drop_links


def evict(layout: Layout, key: str) -> bool:
    """Remove an object, unless a lease is held on it.

    Returns:
        Whether it is gone.
    """
    held = leases.exclude(layout.lock(key))
    if held is None:
        return False
    try:
        for _ in removal(layout, key):
            pass
    finally:
        os.close(held)
    return True


def removal(layout: Layout, key: str) -> Iterator[str]:
    """Remove an object one step at a time; yields each step's name.

    The caller holds the lock that excludes leases.
    """
    drop_links(layout, key)
    yield "links"
    remove_tree(layout.evicted(key))
    if os.path.isdir(layout.object(key)):
        os.rename(layout.object(key), layout.evicted(key))
        sync_folder(layout.folder("objects"))
    yield "object"
    unlink(layout.manifest(key))
    yield "manifest"
    unlink(layout.lock(key))
    yield "lock"
    remove_tree(layout.evicted(key))
    yield "bytes"
