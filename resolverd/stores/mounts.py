"""Which file systems a path lies on, from the kernel's mount table.

Inotify tells of local writers only, so a store that any part of lies on a network or user-space
file system is polled. The table is read from ``/proc``; the file systems are never touched, so a
hanging server can't block this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

REMOTE = frozenset(
    # network file systems, and shared folders of virtual machines
    {"nfs", "nfs3", "nfs4", "lustre", "gpfs", "beegfs", "beegfs_nodev", "cifs", "smb", "smb2"}
    | {"smb3", "smbfs", "ceph", "9p", "afs", "afpfs", "glusterfs", "orangefs", "pvfs2", "wekafs"}
    | {"panfs", "virtiofs", "ncpfs", "ocfs2", "gfs", "gfs2", "vboxsf", "prl_fs"}
)
OVERLAYS = frozenset(["overlay", "aufs", "ecryptfs"])


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the mount table, as far as it matters here."""

    path: str
    kind: str
    source: str
    layers: tuple[str, ...] = ()


def read_mounts(path: str = "/proc/self/mountinfo") -> list[Mount]:
    """Read the mount table, in mount order; empty where there is none.

    Args:
        path: The table, in the format of ``/proc/self/mountinfo``.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as table:
            return [mount for line in table if (mount := parse_line(line)) is not None]
    except OSError:
        return []


def parse_line(line: str) -> Mount | None:
    """Parse one line; None when it is not one of the format proc(5) describes."""
    left, separator, right = line.partition(" - ")
    fields, tail = left.split(), right.split()
    if not separator or len(fields) < 6 or len(tail) < 2:
        return None
    options = tail[2] if len(tail) > 2 else ""
    return Mount(_unescape(fields[4]), tail[0], _unescape(tail[1]), _layers(tail[0], options))


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _layers(kind: str, options: str) -> tuple[str, ...]:
    if kind not in OVERLAYS:
        return ()
    found: list[str] = []
    for option in options.split(","):
        name, _, value = option.partition("=")
        if name.startswith(("lowerdir", "upperdir")):
            found.extend(part for part in _unescape(value).split(":") if part.startswith("/"))
    return tuple(found)


def mount_of(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that a resolved path lies on.

    Args:
        path: An absolute path without symbolic links.
        mounts: The table; of two mounts on one place the later hides the earlier.
    """
    best: Mount | None = None
    for mount in mounts:
        if _below(path, mount.path) and (best is None or len(mount.path) >= len(best.path)):
            best = mount
    return best


def needs_polling(path: str, mounts: Sequence[Mount]) -> str | None:
    """Say why a tree must be polled.

    Args:
        path: Its root: an absolute path without symbolic links.
        mounts: The mount table.

    Returns:
        The reason in words, or None when inotify sees every writer.
    """
    own = mount_of(path, mounts)
    inside = [mount for mount in mounts if mount is not own and _below(mount.path, path)]
    for mount in ([own] if own is not None else []) + inside:
        kind = _remote_kind(mount, mounts, depth=0)
        if kind is not None:
            return f"{mount.path} is on {kind}, where inotify does not see other hosts write"
    return None


def _remote_kind(mount: Mount, mounts: Sequence[Mount], depth: int) -> str | None:
    if mount.kind in REMOTE or mount.kind == "fuse" or mount.kind.startswith("fuse."):
        return mount.kind
    if depth > 4:
        return None
    for layer in mount.layers:
        below = mount_of(layer, mounts)
        if below is None or below is mount:
            continue
        kind = _remote_kind(below, mounts, depth + 1)
        if kind is not None:
            return f"{mount.kind} over {kind}"
    return None


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith(root if root.endswith("/") else root + "/")
