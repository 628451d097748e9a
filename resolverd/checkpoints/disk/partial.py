"""Downloads on their way: one folder for each asset, which a later run may take up again."""

from __future__ import annotations

import errno
import os
import shutil

from resolverd.checkpoints.asset import plan
from resolverd.checkpoints.asset.manifest import Manifest
from resolverd.checkpoints.asset.plan import Range
from resolverd.checkpoints.disk.durable import unlink
from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.disk.objects import current
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.transfer import journal
from resolverd.checkpoints.transfer.journal import Pin

_NO_LINKS = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS))
"""What a file system says that can't give a file one more name."""


def first_gap(layout: Layout, asset: str) -> Range | None:
    """What the download of a single file is likely to go on with; None when it begins anew.

    Of a file that is all there, its last byte: asking for it tells whether it changed.
    """
    try:
        names = [name for name in os.listdir(layout.partial(asset)) if _is_journal(name)]
    except OSError:
        return None
    if len(names) != 1:
        return None
    pin, ranges = journal.read(os.path.join(layout.partial(asset), names[0]))
    if pin is None or pin.size == 0:
        return None
    return (*plan.gaps(ranges, pin.size), (pin.size - 1, pin.size))[0]


def place(source: str, tree: str, name: str) -> None:
    """Give a finished partial file its name in the tree; it keeps its old one until cleaned up."""
    target = os.path.join(tree, name)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(source, target)  # a file system without hard links


def keep(layout: Layout, asset: str, name: str, path: str) -> str | None:
    """Have a published file at hand for the next version of its asset.

    Returns:
        Its second name; None where the file system has no such thing.
    """
    kept = layout.kept(asset, name)
    try:
        os.link(path, kept)
    except OSError as error:
        if error.errno not in {*_NO_LINKS, errno.ENOENT}:
            raise
        return None
    return kept


def drop_kept(layout: Layout, asset: str, name: str) -> None:
    """Let go of what :func:`keep` has kept."""
    unlink(layout.kept(asset, name))


def discard(layout: Layout, asset: str) -> None:
    """Forget an asset's download."""
    shutil.rmtree(layout.partial(asset), ignore_errors=True)


def partials(layout: Layout) -> list[str]:
    """Assets whose download has begun, and is not done."""
    return os.listdir(layout.folder("partial"))


def prune(layout: Layout, asset: str, limits: Limits, now: float) -> None:
    """Keep of an asset's download what can be resumed, and is not too old for it."""
    folder = layout.partial(asset)
    if not os.path.isdir(folder):
        return
    shutil.rmtree(layout.tree(asset), ignore_errors=True)
    kept: set[str] = set()
    published = current(layout, asset)
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        pin, ranges = journal.read(path) if _is_journal(name) else (None, ())
        if pin is None or now - os.path.getmtime(path) >= limits.partial_days * 86400:
            continue
        data = "data-" + name.removeprefix("journal-")
        whole = plan.covered(ranges) == pin.size
        if published and whole and _is_of(published, pin, os.path.join(folder, data)):
            continue  # a crash came between its publication and its end
        kept |= {name, data}
    for name in set(os.listdir(folder)) - kept:
        unlink(os.path.join(folder, name))
    if not kept:
        discard(layout, asset)


def _is_of(published: Manifest, pin: Pin, path: str) -> bool:
    """Whether a download is published: as this version, or by a second name of its file."""
    try:
        return pin.stamp == published.stamp or os.stat(path).st_nlink > 1
    except FileNotFoundError:  # moved there, by a file system without second names
        return True


def _is_journal(name: str) -> bool:
    return name.startswith("journal-") and not name.endswith(".new")
