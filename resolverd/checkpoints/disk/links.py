"""Links that lead to an object: fairseq2's one, and those in Hugging Face's layout."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from resolverd.checkpoints.disk.durable import unlink
from resolverd.checkpoints.disk.layout import Layout


def drop_links(layout: Layout, key: str) -> None:
    """Remove all that leads to an object, before the object itself goes."""
    link = layout.link(key.partition("-")[0])
    with contextlib.suppress(OSError):
        if os.path.basename(os.readlink(link)) == key:
            os.unlink(link)
    inside = os.path.join(os.path.realpath(layout.object(key)), "")
    for path in _hub_links(layout):
        if os.path.join(os.path.realpath(path), "").startswith(inside):
            unlink(path)
    _drop_empty(layout)


def drop_dangling(layout: Layout) -> None:
    """Remove the links in Hugging Face's layout that lead nowhere, as a crash may leave them."""
    for path in _hub_links(layout):
        if not os.path.exists(path):
            unlink(path)
    _drop_empty(layout)


def _hub_links(layout: Layout) -> Iterator[str]:
    for place, folders, names in os.walk(layout.folder("hub")):
        for name in folders + names:
            path = os.path.join(place, name)
            if os.path.islink(path):
                yield path


def _drop_empty(layout: Layout) -> None:
    """Remove folders that hold nothing any more, from the innermost on."""
    root = layout.folder("hub")
    for place, _, _ in os.walk(root, topdown=False):
        if place != root:
            with contextlib.suppress(OSError):
                os.rmdir(place)
