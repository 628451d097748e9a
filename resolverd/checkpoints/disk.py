"""The cache on disk: where everything lies, and how it comes to lie there without half-states.

Order of a publication (each step durable before the next): lock file, manifest, object by one
rename, link by one rename. A reader follows the link, so it sees all of a version or none of it;
:func:`sweep` removes what a crash left between two steps.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from hashlib import sha1

from resolverd.checkpoints import journal, leases, plan
from resolverd.checkpoints import manifest as manifests
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.manifest import Manifest
from resolverd.errors import CacheError

_PUBLIC = ("assets", "objects", "manifests", "locks")
_PRIVATE = ("partial", "quarantine", "trust")


class Layout:
    """Names of everything below one cache directory."""

    __slots__ = ("root",)

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    def __repr__(self) -> str:
        return f"Layout({self.root!r})"

    def folder(self, name: str) -> str:
        """One of the cache's own folders."""
        return os.path.join(self.root, name)

    def link(self, asset: str) -> str:
        """The link fairseq2 finds."""
        return os.path.join(self.root, "assets", asset)

    def object(self, key: str) -> str:
        """The folder that holds an object's files and nothing else."""
        return os.path.join(self.root, "objects", key)

    def manifest(self, key: str) -> str:
        """The object's manifest."""
        return os.path.join(self.root, "manifests", key + ".json")

    def lock(self, key: str) -> str:
        """The object's lock file."""
        return os.path.join(self.root, "locks", key)

    def partial(self, asset: str) -> str:
        """Where an asset's download is under way."""
        return os.path.join(self.root, "partial", asset)

    def data(self, asset: str, name: str) -> str:
        """A partial file."""
        return os.path.join(self.partial(asset), "data-" + _short(name))

    def journal(self, asset: str, name: str) -> str:
        """The partial file's journal."""
        return os.path.join(self.partial(asset), "journal-" + _short(name))

    def tree(self, asset: str) -> str:
        """Where an object is put together."""
        return os.path.join(self.partial(asset), "tree")

    def trust(self, asset: str) -> str:
        """What the asset's versions hashed to when they were first used."""
        return os.path.join(self.root, "trust", asset + ".json")


def prepare(layout: Layout) -> None:
    """Make the cache's folders.

    Raises:
        CacheError: When they can't be made or written.
    """
    with explained(layout):
        os.makedirs(layout.root, mode=0o755, exist_ok=True)
        for names, mode in ((_PUBLIC, 0o755), (_PRIVATE, 0o700)):
            for name in names:
                path = layout.folder(name)
                if not os.path.isdir(path):
                    os.mkdir(path)
                    os.chmod(path, mode)  # whatever the umask: readers are other users
                if not os.access(path, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


@contextlib.contextmanager
def explained(layout: Layout) -> Iterator[None]:
    """Translate what the file system says into a :class:`CacheError` with a remedy."""
    try:
        yield
    except OSError as error:
        place = f"{error.filename or layout.root}: {error.strerror}."
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            remedy = "Free some room there, or set cache.dir to a larger file system."
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            remedy = (
                f"Make {layout.root} writable for the user the daemon runs as, or set cache.dir."
            )
        else:
            remedy = f"Check the file system of {layout.root}."
        raise CacheError(f"{place} {remedy}") from error


def own(layout: Layout, patience: float) -> int:
    """Become the cache's only writer; the lock ends with the process.

    Args:
        layout: The cache.
        patience: Seconds to wait for another owner to end.

    Raises:
        CacheError: When another daemon owns it.
    """
    until = time.monotonic() + patience
    with explained(layout):
        fd = os.open(layout.lock("owner"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while not leases.locked(fd):
            if time.monotonic() >= until:
                os.close(fd)
                raise CacheError(
                    f"{layout.root} is in use by another resolverd: give each its own cache.dir."
                )
            time.sleep(0.02)
    return fd


def current(layout: Layout, asset: str) -> Manifest | None:
    """The object an asset's link leads to, if link, object and manifest are all there."""
    try:
        target = os.readlink(layout.link(asset))
    except OSError:
        return None
    found = read_manifest(layout, os.path.basename(target))
    return found if found and os.path.isdir(layout.object(found.key)) else None


def read_manifest(layout: Layout, key: str) -> Manifest | None:
    """A manifest by the object's name; None when it is missing or damaged."""
    try:
        with open(layout.manifest(key), "rb") as file:
            return manifests.load(file.read())
    except OSError:
        return None


def visible_path(layout: Layout, manifest: Manifest) -> str:
    """What a client is given: the file when the object holds just one, else the folder."""
    folder = layout.object(manifest.key)
    if len(manifest.files) != 1 or "/" in manifest.files[0].path:
        return folder
    if not manifest.whole and len(os.listdir(folder)) != 1:
        return folder  # an archive may hold empty folders and links beside its one file
    return os.path.join(folder, manifest.files[0].path)


def publication(layout: Layout, manifest: Manifest) -> Iterator[str]:
    """Publish what lies in the asset's tree, one step at a time; yields each step's name.

    The object must not exist yet. Whoever drives this to its end has published; whoever stops in
    between has crashed, and :func:`sweep` plus another go make it good.
    """
    tree = layout.tree(manifest.asset)
    freeze(tree)
    yield "frozen"
    leases.make(layout.lock(manifest.key))
    yield "lock"
    write(layout.manifest(manifest.key), manifests.dump(manifest))
    yield "manifest"
    os.rename(tree, layout.object(manifest.key))
    sync_folder(layout.folder("objects"))
    yield "object"
    relink(layout, manifest)
    yield "link"


def relink(layout: Layout, manifest: Manifest) -> None:
    """Swap the asset's link over to this object."""
    link = layout.link(manifest.asset)
    fresh = link + ".new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    os.symlink(os.path.join("..", "objects", manifest.key), fresh)
    os.rename(fresh, link)
    sync_folder(os.path.dirname(link))


def record(layout: Layout, manifest: Manifest) -> None:
    """Write down what was learned about a published object."""
    write(layout.manifest(manifest.key), manifests.dump(manifest))


def adopt(layout: Layout, manifest: Manifest) -> None:
    """Take an object that is there already for the asset's new version: it has the same bytes."""
    write(layout.manifest(manifest.key), manifests.dump(manifest))
    leases.make(layout.lock(manifest.key))
    relink(layout, manifest)


def withdraw(layout: Layout, manifest: Manifest, reason: str, keep: int) -> None:
    """Take a published object that has gone bad out of everyone's sight."""
    link = layout.link(manifest.asset)
    with contextlib.suppress(OSError):
        if os.path.basename(os.readlink(link)) == manifest.key:
            os.unlink(link)
    report: dict[str, object] = {"uri": manifest.uri, "reason": reason, "time": time.time()}
    if os.path.isdir(layout.object(manifest.key)):
        quarantine(layout, manifest.asset, layout.object(manifest.key), report, keep)
    _unlink(layout.manifest(manifest.key))


def freeze(tree: str) -> None:
    """Make a tree durable, and its files read-only for everyone."""
    for folder, _, names in os.walk(tree, topdown=False):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                with open(path, "rb") as file:
                    os.fchmod(file.fileno(), 0o444)
                    os.fsync(file.fileno())
        os.chmod(folder, 0o755)  # noqa: S103  # readers are other users
        sync_folder(folder)


def place(source: str, tree: str, name: str) -> None:
    """Give a finished partial file its name in the tree; it keeps its old one until cleaned up."""
    target = os.path.join(tree, name)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}:
            raise
        os.rename(source, target)  # a file system without hard links


def quarantine(layout: Layout, asset: str, path: str, report: dict[str, object], keep: int) -> str:
    """Move a bad file or object out of the way, with a report beside it; the oldest make room."""
    stamp = time.time_ns()
    target = os.path.join(layout.folder("quarantine"), f"{stamp:020d}-{asset}")
    os.mkdir(target, 0o700)
    os.rename(path, os.path.join(target, os.path.basename(path)))
    write(os.path.join(target, "report.json"), json.dumps(report, indent=1).encode())
    for name in sorted(os.listdir(layout.folder("quarantine")))[:-keep]:
        shutil.rmtree(os.path.join(layout.folder("quarantine"), name), ignore_errors=True)
    return target


def sweep(layout: Layout, limits: Limits, now: float) -> None:
    """Remove what a crash left behind; keep what can be resumed, and all that is published."""
    known = {
        name.removesuffix(".json") for name in _names(layout, "manifests") if name.endswith(".json")
    }
    objects = set(_names(layout, "objects"))
    for key in objects - known:
        shutil.rmtree(layout.object(key), ignore_errors=True)
    for key in known - objects:
        _unlink(layout.manifest(key))
    for folder in ("assets", "manifests", "trust"):
        for name in _names(layout, folder):
            if name.endswith(".new"):
                _unlink(os.path.join(layout.folder(folder), name))
    for asset in _names(layout, "assets"):
        if current(layout, asset) is None:
            _unlink(layout.link(asset))
    for key in set(_names(layout, "locks")) - (known & objects):
        _drop_lock(layout, key)
    for asset in _names(layout, "partial"):
        _sweep_partial(layout, asset, limits, now)


def _sweep_partial(layout: Layout, asset: str, limits: Limits, now: float) -> None:
    folder = layout.partial(asset)
    shutil.rmtree(layout.tree(asset), ignore_errors=True)
    kept = set()
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        valid = _is_journal(name) and journal.read(path)[0] is not None
        if valid and now - os.path.getmtime(path) < limits.partial_days * 86400:
            kept |= {name, "data-" + name.removeprefix("journal-")}
    for name in set(os.listdir(folder)) - kept:
        _unlink(os.path.join(folder, name))
    if not kept:
        discard(layout, asset)


def _drop_lock(layout: Layout, key: str) -> None:
    if key == "owner":
        return
    held = leases.exclude(layout.lock(key))
    if held is not None:
        _unlink(layout.lock(key))
        os.close(held)


def discard(layout: Layout, asset: str) -> None:
    """Forget an asset's download."""
    shutil.rmtree(layout.partial(asset), ignore_errors=True)


def write(path: str, data: bytes) -> None:
    """Put a small file in place, durably and in one step."""
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
    os.rename(path + ".new", path)
    sync_folder(os.path.dirname(path))


def remove_tree(path: str) -> None:
    """Remove a folder with all in it, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def allocated(path: str) -> int:
    """Bytes a file occupies already; 0 when there is none."""
    try:
        return os.stat(path).st_blocks * 512
    except OSError:
        return 0


def resumes_at(layout: Layout, asset: str) -> int:
    """Where the download of a single file is likely to go on; 0 when there is nothing yet."""
    try:
        names = [name for name in os.listdir(layout.partial(asset)) if _is_journal(name)]
    except OSError:
        return 0
    if len(names) != 1:
        return 0
    pin, ranges = journal.read(os.path.join(layout.partial(asset), names[0]))
    return min(plan.frontier(ranges), pin.size - 1) if pin and pin.size else 0


def sync_folder(path: str) -> None:
    """Make a folder's entries durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def free_bytes(path: str) -> int:
    """What the user may still write on the file system of ``path``."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def _names(layout: Layout, folder: str) -> list[str]:
    return os.listdir(layout.folder(folder))


def _is_journal(name: str) -> bool:
    return name.startswith("journal-") and not name.endswith(".new")


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _short(name: str) -> str:
    return sha1(name.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()[:12]
