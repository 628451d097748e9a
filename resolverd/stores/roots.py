"""What a store's location means at this moment: its resolved roots, and what may change that."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolverd.errors import StoreError

from . import package

if TYPE_CHECKING:
    from resolverd.cards.file import RootState
    from resolverd.cards.store import Store

_MAX_LINKS = 40
_GONE = (errno.ENOENT, errno.ENOTDIR)


@dataclass(frozen=True, slots=True)
class Followed:
    """A path followed through its symbolic links.

    Attributes:
        real: The path without links; None when it leads nowhere.
        names: Every name whose replacement makes the path mean something else: the links on the
            way, the first name that is missing, the end. Their parents are real directories.
        error: Why it leads nowhere.
    """

    real: str | None
    names: frozenset[str]
    error: OSError | None = None


@dataclass(frozen=True, slots=True)
class Root:
    """A store's root as resolved at one moment.

    Attributes:
        state: ``ok``, ``missing`` or ``error``.
        reason: Why it is not ``ok``.
        paths: The resolved roots: one, or the portions of a namespace package.
        is_file: Whether the root is a single file.
        identity: Path, device and inode of each root: a replaced root differs.
        device: Device number of the first root.
        names: Names whose replacement calls for resolving again.
    """

    state: RootState
    reason: str = ""
    paths: tuple[str, ...] = ()
    is_file: bool = False
    identity: tuple[tuple[str, int, int], ...] = ()
    device: int | None = None
    names: frozenset[str] = frozenset()


def follow(path: str) -> Followed:
    """Follow an absolute path name by name, noting every link on the way."""
    names: set[str] = set()
    current, rest, links = "/", _parts(path), 0
    while rest:
        part = rest.pop()
        if part == "..":
            current = os.path.dirname(current)
            continue
        step = os.path.join(current, part)
        try:
            mode = os.lstat(step).st_mode
            target = os.readlink(step) if stat.S_ISLNK(mode) else None
        except OSError as error:
            return Followed(None, frozenset([*names, step]), error)
        if target is None:
            current = step
            continue
        names.add(step)
        links += 1
        if links > _MAX_LINKS:
            loop = OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            return Followed(None, frozenset(names), loop)
        current = "/" if target.startswith("/") else current
        rest.extend(_parts(target))
    return Followed(current, frozenset([*names, current]))


def _parts(path: str) -> list[str]:
    """The names of a path, last first, as a stack."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def resolve(store: Store) -> Root:
    """Resolve a store's root or roots; never raises for what is found on disk."""
    try:
        locations = package.roots(store) if store.is_package else [store.location]
    except StoreError as error:
        return Root("missing", str(error), names=_expected(store))
    followed = [follow(location) for location in locations]
    names = frozenset[str]().union(*(one.names for one in followed))
    for location, one in zip(locations, followed, strict=True):
        if one.real is None:
            return _failed(location, one.error, names)
    paths = tuple(one.real for one in followed if one.real is not None)
    return _stat(paths, names)


def _expected(store: Store) -> frozenset[str]:
    """Where a package that is not found will most likely appear."""
    if store.site_dir is None:
        return frozenset()
    return follow(os.path.join(store.site_dir, *store.location.split("."))).names


def _stat(paths: tuple[str, ...], names: frozenset[str]) -> Root:
    identity: list[tuple[str, int, int]] = []
    mode = 0
    for path in paths:
        try:
            found = os.stat(path)
        except OSError as error:
            return _failed(path, error, names)
        mode = found.st_mode
        if not stat.S_ISDIR(mode) and len(paths) > 1:
            return Root("error", f"{path} is not a directory", names=names)
        # a single file is replaced by every atomic write: only its place identifies it
        inode = found.st_ino if stat.S_ISDIR(mode) else 0
        identity.append((path, found.st_dev, inode))
    is_file = not stat.S_ISDIR(mode)
    return Root("ok", "", paths, is_file, tuple(identity), identity[0][1], names)


def _failed(path: str, error: OSError | None, names: frozenset[str]) -> Root:
    if error is None or error.errno in _GONE:
        return Root("missing", f"{path} does not exist", names=names)
    return Root("error", f"{path} can't be reached: {error.strerror}", names=names)
