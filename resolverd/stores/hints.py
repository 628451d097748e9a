"""What hints lead to: files that are there, files that are gone, directories to list again.

A hint is a path that something happened to. Only what is on disk just now counts, not what the
hint said of it.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .scan import is_card_name, stamp_of

if TYPE_CHECKING:
    from resolverd.cards.file import Stamp

    from .contents import Contents
    from .tree import Tree

_GONE = (errno.ENOENT, errno.ENOTDIR)


@dataclass(slots=True)
class Findings:
    """What following some hints has found.

    Attributes:
        files: Card files that are there; None for one that can't be stat'ed.
        gone: Card files that are not there any more.
        lists: Directories to list again.
    """

    files: dict[str, Stamp | None] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    lists: set[str] = field(default_factory=set)


def look_at(path: str, tree: Tree, contents: Contents, findings: Findings) -> None:
    """Sort one hint.

    Args:
        path: Something happened to it.
        tree: The directories as last listed; told of a new link.
        contents: The files as last read.
        findings: Where what is found goes.
    """
    parent, name = os.path.split(path)
    try:
        mode = os.lstat(path).st_mode
        link = stat.S_ISLNK(mode)
        if link:
            tree.linked.add(parent)
        if stat.S_ISDIR(mode) or (path in tree.directories and not link):
            findings.lists.add(path)
        elif link and (not is_card_name(name) or os.path.isdir(path)):
            findings.lists.add(parent)  # other links may lead through it, such as ..data
        elif is_card_name(name):
            findings.files[path] = stamp_of(os.stat(path))
    except OSError as error:
        _missed(path, error, tree, contents, findings)


def _missed(path: str, error: OSError, tree: Tree, contents: Contents, findings: Findings) -> None:
    """Sort a hint whose path is not there, or can't be looked at."""
    parent, name = os.path.split(path)
    if error.errno == errno.EACCES:
        findings.lists.add(parent)
    elif error.errno not in _GONE:
        if is_card_name(name):
            findings.files[path] = None
    elif path in tree.directories or path in tree.unreadable:
        findings.lists.add(path)
    elif parent in tree.linked and not is_card_name(name):
        findings.lists.add(parent)
    elif path in contents.files or path in contents.unsettled:
        findings.gone.add(path)
