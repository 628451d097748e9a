"""Who may read an object: everyone, or the members of some groups.

The object's folder is the gate, its files say the same. One group is the files' own; further ones,
and one that the daemon's user is no member of, need an access list (acl(5)), which an owner may
write for any group.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator

from resolverd.checkpoints.access.rules import Readers
from resolverd.checkpoints.disk.durable import sync_folder
from resolverd.errors import CacheError

_ACL = "system.posix_acl_access"
_HEAD, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_USER, _OWNING_GROUP, _GROUP, _MASK, _OTHERS = 0x01, 0x04, 0x08, 0x10, 0x20
_NOBODY = 0xFFFFFFFF
_VERSION = 2


def freeze(tree: str, readers: Readers = None) -> None:
    """Make a tree durable, and its files read-only for those who may read them.

    Raises:
        OSError: When the file system fails.
        CacheError: When it can't keep who may read.
    """
    for path, is_folder in _all(tree):
        _open_to(path, readers, is_folder=is_folder)
        if is_folder:
            sync_folder(path)
        else:
            _sync(path)


def _all(tree: str) -> Iterator[tuple[str, bool]]:
    """Every file and folder, the folders after what is in them."""
    for folder, _, names in os.walk(tree, topdown=False):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                yield path, False
        yield folder, True


def _open_to(path: str, readers: Readers, *, is_folder: bool) -> None:
    if _has_list(path):
        os.removexattr(path, _ACL)
    if readers is None:
        os.chmod(path, 0o755 if is_folder else 0o444)  # readers are other users
        return
    os.chmod(path, 0o700 if is_folder else 0o400)  # before a group is let in, nobody is
    owning = next((gid for gid in readers if _belongs(path, gid)), None)
    further = [gid for gid in readers if gid != owning]
    read = 0o5 if is_folder else 0o4
    if further:
        _list(path, _listed(further, owning is not None, is_folder=is_folder))
    elif owning is not None:
        os.chmod(path, (0o700 if is_folder else 0o400) | read << 3)


def _list(path: str, entries: bytes) -> None:
    """Write an access list.

    Raises:
        CacheError: When the file system, or this container, takes none for these groups.
    """
    try:
        os.setxattr(path, _ACL, entries)
    except OSError as error:
        raise CacheError(
            f"{path}: can't be opened to its read_groups alone: {error.strerror}. Name one group "
            "that the daemon's user is a member of (SupplementaryGroups=), or put the cache on a "
            "file system with access lists."
        ) from None


def _belongs(path: str, gid: int) -> bool:
    """Give a file to a group, where that is the daemon's to do."""
    try:
        os.chown(path, -1, gid)
    except OSError:  # no member of it, or a container that does not know it
        return False
    return True


def _has_list(path: str) -> bool:
    try:
        return _ACL in os.listxattr(path)
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.ENOSYS}:
            return False
        raise


def _listed(groups: list[int], owning: bool, *, is_folder: bool) -> bytes:
    """An access list that lets groups read."""
    read, own = (0o5, 0o7) if is_folder else (0o4, 0o4)
    entries = [
        (_USER, own, _NOBODY),
        (_OWNING_GROUP, read if owning else 0, _NOBODY),
        *((_GROUP, read, gid) for gid in sorted(groups)),
        (_MASK, read, _NOBODY),
        (_OTHERS, 0, _NOBODY),
    ]
    return _HEAD.pack(_VERSION) + b"".join(_ENTRY.pack(*entry) for entry in entries)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
