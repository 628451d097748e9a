"""What of this node the daemon depends on: watches, file systems, disk room, the clock.

Read here and not by the daemon, from whose eyes systemd hides most of ``/proc``.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from resolverd.ctl import output
from resolverd.ctl.doctor.finding import Finding, error, ok, warning
from resolverd.stores.mounts import REMOTE, Mount, mount_of, needs_polling

_INOTIFY = "/proc/sys/fs/inotify"
_TIME_ERROR = 5
_TIMEX_BYTES = 512  # more than any struct timex has
_MOST_FILES = 1000
_SKEW_SECONDS = 5.0
_FEW_INODES = 0.01
_TMPFS = frozenset(["tmpfs", "ramfs"])


@dataclass(frozen=True, slots=True)
class Store:
    """One store, as far as this node's file systems matter.

    Attributes:
        source: The store's source text.
        folder: Its folder; None for one that is not there.
        directories: Directories that are watched in it.
    """

    source: str
    folder: str | None
    directories: int = 0


def watches(stores: Sequence[Store]) -> Finding:
    """Compare what has to be watched with what the kernel allows one user."""
    limit, instances = _number("max_user_watches"), _number("max_user_instances")
    needed = sum(store.directories for store in stores)
    if limit is None or instances is None:
        return warning("watches", "this kernel has no inotify", "stores are scanned instead")
    text = f"{needed} of {limit} watches needed, {instances} instances allowed"
    if needed * 2 > limit:
        wanted = max(1_048_576, needed * 8)
        remedy = f"sysctl fs.inotify.max_user_watches={wanted} (keep it in /etc/sysctl.d)"
        return (error if needed >= limit else warning)("watches", text, remedy)
    if instances < 16:
        remedy = "sysctl fs.inotify.max_user_instances=1024 (keep it in /etc/sysctl.d)"
        return warning("watches", text, remedy)
    return ok("watches", text)


def file_systems(stores: Sequence[Store], mounts: Sequence[Mount]) -> list[Finding]:
    """Say on which file system each store lies, and so how its changes are seen."""
    found = []
    for store in stores:
        if store.folder is None:
            continue
        folder = os.path.realpath(store.folder)
        mount, why = mount_of(folder, mounts), needs_polling(folder, mounts)
        kind = mount.kind if mount else "an unknown file system"
        how = f"polled: {why}" if why else "watched by inotify"
        found.append(ok("store", f"{store.source} is on {kind}, {how}"))
    return found


def cache(
    folder: str, mounts: Sequence[Mount], *, min_free: int, free_known: int | None
) -> list[Finding]:
    """Judge the place where checkpoints are kept.

    Args:
        folder: The cache.
        mounts: The mount table.
        min_free: Bytes that downloads must leave.
        free_known: Bytes free as the daemon sees them; None when there is none.
    """
    mount = mount_of(os.path.realpath(folder), mounts)
    kind = mount.kind if mount else "?"
    found = [_cache_place(folder, kind)]
    try:
        seen = os.statvfs(_existing(folder))
    except OSError as fault:
        return [*found, warning("disk room", f"{folder}: {fault.strerror}", "run this as root")]
    free = seen.f_bavail * seen.f_frsize if free_known is None else free_known
    found.append(_room(folder, free, min_free))
    if seen.f_files and seen.f_favail < seen.f_files * _FEW_INODES:
        text = f"{folder}: {seen.f_favail} of {seen.f_files} inodes are free"
        found.append(error("inodes", text, "remove small files from this file system"))
    return found


def _cache_place(folder: str, kind: str) -> Finding:
    text = f"{folder} is on {kind}"
    if kind in REMOTE:
        return warning("cache", text, "set cache.dir to a local disk: jobs would read over the net")
    if kind in _TMPFS:
        return warning("cache", text, "set cache.dir to a disk: this takes memory, and is lost")
    return ok("cache", text)


def _room(folder: str, free: int, min_free: int) -> Finding:
    text = f"{output.size(free)} free for {folder}, {output.size(min_free)} must stay free"
    remedy = "free some: resolverctl cache gc, or lower cache.max_bytes"
    if free <= min_free:
        return error("disk room", text, remedy)
    return warning("disk room", text, remedy) if free < 2 * min_free else ok("disk room", text)


def clock(stores: Sequence[Store], now: Callable[[], float] = time.time) -> list[Finding]:
    """Judge the clock: TLS needs it right, and so do times that hosts compare."""
    remedy = "enable time synchronisation: timedatectl set-ntp true (in a container: on its host)"
    if _unsynchronised():
        found = [warning("clock", "is not synchronised, the kernel says", remedy)]
    else:
        found = [ok("clock", f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(now()))}")]
    for store in stores:
        ahead = max(_times(store.folder), default=0.0) - now()
        if ahead > _SKEW_SECONDS:
            text = f"files of {store.source} are {output.span(ahead)} in the future"
            found.append(warning("clock", text, "set the clock of this node or of who wrote them"))
    return found


def _unsynchronised() -> bool:
    """Ask the kernel; changes nothing, as no mode bit is set."""
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) == _TIME_ERROR)


def _times(folder: str | None) -> list[float]:
    if folder is None:
        return []
    try:
        with os.scandir(folder) as entries:
            few = [entry for _, entry in zip(range(_MOST_FILES), entries, strict=False)]
            return [entry.stat(follow_symlinks=False).st_mtime for entry in few]
    except OSError:
        return []


def _number(name: str) -> int | None:
    try:
        with open(f"{_INOTIFY}/{name}", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _existing(folder: str) -> str:
    """The folder, or the nearest above it that there is."""
    while not os.path.exists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder
