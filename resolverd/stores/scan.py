"""What lies in a directory tree: card files with their stamps, directories, what can't be listed.

Follows fairseq2 0.8.1: ``.yaml`` and ``.yml`` only, hidden files count, symlinked files are read.
A symlinked directory is followed in a package (as ``importlib.resources`` does, loops bounded) and
never below a path.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resolverd.cards.file import Stamp

if TYPE_CHECKING:
    from .roots import Root

Identity = tuple[int, int]
"""Device and inode of a directory."""

_GONE = (errno.ENOENT, errno.ENOTDIR)


@dataclass(slots=True)
class Listing:
    """What a walk found.

    Attributes:
        files: Card files; None for one that is there but can't be stat'ed.
        directories: Every directory listed.
        unreadable: Directories that can't be listed, with the reason.
        linked: Directories that hold symbolic links.
    """

    files: dict[str, Stamp | None] = field(default_factory=dict)
    directories: dict[str, Identity] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    linked: set[str] = field(default_factory=set)


def is_card_name(name: str) -> bool:
    """Whether fairseq2 reads a file of this name; a bare ``.yaml`` has no suffix."""
    return name.endswith((".yaml", ".yml")) and name.rfind(".") > 0


def stamp_of(found: os.stat_result) -> Stamp:
    """The stamp of a file just stat'ed."""
    return Stamp(found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def walk_root(root: Root, *, follow_links: bool) -> Listing:
    """List a store: its one file, its tree, or the portions of a namespace package.

    Args:
        root: What its location leads to.
        follow_links: Whether symlinked directories are entered.
    """
    first, *others = root.paths
    if root.is_file:
        try:
            return Listing(files={first: stamp_of(os.stat(first))})
        except OSError:
            return Listing(files={first: None})
    whole = walk(first, follow_links=follow_links)
    for place, path in enumerate(others, start=1):
        _merge(whole, walk(path, follow_links=True), root.paths[:place], path)
    return whole


def _merge(whole: Listing, portion: Listing, before: tuple[str, ...], root: str) -> None:
    """Add a portion of a namespace package; what an earlier portion holds hides its own."""
    for path, stamp in portion.files.items():
        if not any(one + path[len(root) :] in whole.files for one in before):
            whole.files[path] = stamp
    whole.directories.update(portion.directories)
    whole.unreadable.update(portion.unreadable)
    whole.linked |= portion.linked


def walk(root: str, *, follow_links: bool) -> Listing:
    """List a tree; what vanishes meanwhile is left out, what can't be read is noted.

    Args:
        root: The directory to start from.
        follow_links: Whether symlinked directories are entered.
    """
    listing = Listing()
    stack: list[tuple[str, frozenset[Identity]]] = [(root, frozenset())]
    while stack:
        directory, above = stack.pop()
        try:
            found = os.stat(directory)
            identity = (found.st_dev, found.st_ino)
            if identity in above:
                continue  # a link back to where it lies
            below = _list(directory, listing, follow_links=follow_links)
        except OSError as error:
            if error.errno not in _GONE:
                listing.unreadable[directory] = error.strerror or str(error)
            continue
        listing.directories[directory] = identity
        above = above | {identity} if follow_links else above
        stack.extend((path, above) for path in reversed(below))
    return listing


def _list(directory: str, listing: Listing, *, follow_links: bool) -> list[str]:
    """Note the card files of one directory and return the directories to enter."""
    below: list[str] = []
    files = listing.files
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                below.append(entry.path)
                continue
            if entry.is_symlink():
                listing.linked.add(directory)
                if _leads_to_directory(entry):
                    if follow_links:
                        below.append(entry.path)
                    continue
            if is_card_name(entry.name):
                try:
                    files[entry.path] = stamp_of(entry.stat())
                except FileNotFoundError:
                    continue  # gone, or a link to nothing: fairseq2 passes over it
                except OSError:
                    files[entry.path] = None
    return below


def _leads_to_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
