"""Files of this node, and of file systems mounted on it: copied, never linked.

A stamp is what ``stat`` tells (device, inode, size, both times), so that a file that was written
to in between is a changed file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from types import TracebackType
from urllib.parse import unquote

from typing_extensions import Self

from resolverd.checkpoints.access import policy
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.plan import Range
from resolverd.checkpoints.faults import Changed, Transient
from resolverd.checkpoints.sources.base import Listing, RemoteFile
from resolverd.errors import SourceError

_SUMS_MOST = 1 << 16


def stamp_of(status: os.stat_result) -> str:
    """A file's version, as text."""
    fields = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return "stat:" + ":".join(map(str, fields))


def located(path: str, rules: Policy) -> str:
    """The path itself, or its percent-decoded form when only that exists; checked by the policy.

    Raises:
        SourceError: When there is nothing, or it may not be read.
    """
    if "%" in path and not os.path.lexists(path):
        path = unquote(path)
    policy.check_path(rules, os.path.realpath(path), path)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise _explained(path, error) from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise SourceError(f"{path}: is neither a file nor a directory.")
    return path


class FileSource:
    """One path: a file, or a directory with all that is below it.

    Args:
        path: Which.
        rules: What may be read.
        names: The files of the directory that count; all of them when there are none.
    """

    def __init__(self, path: str, rules: Policy, names: Sequence[str] = ()) -> None:
        self._path = path
        self._policy = rules
        self._names = names

    def resolve(self, known: str | None = None, gap: Range | None = None) -> Listing | None:
        """List the file, or the directory's files."""
        path = located(self._path, self._policy)
        names = [""] if os.path.isfile(path) else self._names or sorted(_below(path))
        files = tuple(self._remote(path, name) for name in names)
        if not files:
            raise SourceError(f"{path}: the directory is empty.")
        sums = {file.name: file.stamp or "" for file in files}
        stamp = files[0].stamp if names == [""] else f"stat:{digest.of_many(sums).hex}"
        if stamp == known:
            return None
        return Listing(files, stamp, not all(_is_everyones(file.locator) for file in files))

    def open(self, file: RemoteFile, start: int, end: int | None) -> FileTransfer:
        """Open a file, and make sure that it is still the one that was listed."""
        try:
            # Not blocking: a FIFO put in the file's place would hold the worker for ever.
            fd = os.open(file.locator, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise _explained(file.locator, error) from None
        transfer = FileTransfer(fd, file, start, end)
        try:
            # What was opened counts, not what the path led to when it was looked at.
            policy.check_path(self._policy, os.readlink(f"/proc/self/fd/{fd}"), file.locator)
            transfer.check()
        except BaseException:
            os.close(fd)
            raise
        return transfer

    def sidecar(self, file: RemoteFile) -> Digest | None:
        """Read ``FILE.sha256``, where it exists and may be read."""
        beside = file.locator + ".sha256"
        try:
            policy.check_path(self._policy, os.path.realpath(beside), beside)
            if not os.path.isfile(beside):
                return None
            with open(beside, encoding="utf-8", errors="replace") as sums:
                return digest.from_sums_file(sums.read(_SUMS_MOST), file.name)
        except (OSError, SourceError):
            return None

    def close(self) -> None:
        """Nothing is held."""

    def _remote(self, path: str, name: str) -> RemoteFile:
        full = os.path.join(path, name) if name else path
        policy.check_path(self._policy, os.path.realpath(full), full)
        try:
            status = os.stat(full)
        except OSError as error:
            raise _explained(full, error) from None
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{full}: is not a regular file.")
        shown = name or os.path.basename(path)
        return RemoteFile(shown, status.st_size, stamp_of(status), ranges=True, locator=full)


class FileTransfer:
    """A part of an open file."""

    def __init__(self, fd: int, file: RemoteFile, start: int, end: int | None) -> None:
        self._fd = fd
        self._file = file
        self._at = start
        self._end = file.size or 0 if end is None else end

    def readinto(self, buffer: memoryview) -> int:
        """Read on; the file must not have changed by the time it ends."""
        room = min(len(buffer), self._end - self._at)
        if room == 0:
            return 0
        try:
            count = os.preadv(self._fd, [buffer[:room]], self._at)
        except OSError as error:
            raise _explained(self._file.locator, error) from None
        self._at += count
        if count == 0 or self._at == self._end:
            self.check()
        return count

    def copy_to(self, target: int, most: int) -> int:
        """Let the kernel copy up to ``most`` bytes to the same place in ``target``.

        Returns:
            The bytes copied; 0 at the end, or where the file systems can't do this.
        """
        room = min(most, self._end - self._at)
        if room == 0:
            return 0
        try:
            count = os.copy_file_range(self._fd, target, room, self._at, self._at)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise
            return 0  # they can't, or one of the two is at fault: reading and writing tell which
        self._at += count
        if self._at == self._end:
            self.check()
        return count

    def abort(self) -> None:
        """A local read returns soon by itself."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def check(self) -> None:
        """Raise :class:`Changed` when the file is another one by now."""
        try:
            stamp = stamp_of(os.fstat(self._fd))
        except OSError as error:
            raise _explained(self._file.locator, error) from None
        if stamp != self._file.stamp:
            raise Changed(f"{self._file.locator}: was written to while it was copied.")


def _is_everyones(path: str) -> bool:
    """Whether any user of the node could read the file: its copy must tell nobody more."""
    path = os.path.realpath(path)
    try:
        if not os.stat(path).st_mode & stat.S_IROTH:
            return False
        while path != "/":
            path = os.path.dirname(path)
            if not os.stat(path).st_mode & stat.S_IXOTH:
                return False
    except OSError:
        return False
    return True


def _below(root: str) -> list[str]:
    found: list[str] = []

    def stop(error: OSError) -> None:
        raise _explained(str(error.filename), error)

    for folder, _, names in os.walk(root, onerror=stop):
        found.extend(os.path.relpath(os.path.join(folder, name), root) for name in names)
    return found


def _explained(path: str, error: OSError) -> SourceError:
    if error.errno in {errno.EIO, errno.ESTALE, errno.ETIMEDOUT}:
        return Transient(f"{path}: {error.strerror}.")
    hint = {
        errno.ENOENT: "Check the card's path, and that the file system is mounted on this node.",
        errno.EACCES: "Let the user the daemon runs as read it.",
    }.get(error.errno or 0, "Check the file.")
    return SourceError(f"{path}: {error.strerror}. {hint}")
