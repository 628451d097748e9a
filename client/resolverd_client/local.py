"""What a checkpoint is to this process: a path it can really see, and a lease it holds."""

from __future__ import annotations

import os

from resolverd_client.connection import close_all
from resolverd_client.errors import (
    FetchError,
    ProtocolError,
    ResolverdError,
    VerificationError,
    from_wire,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


def visible_path(result: dict[str, Any]) -> Path:
    """Give the path of a ``path`` or ``lease`` result, once it is sure to be that very file here.

    Raises:
        FetchError: This process has no such file, or another one, at that path (``not-local``).
    """
    from pathlib import Path  # noqa: PLC0415 (milliseconds that importing the client must not cost)

    if not isinstance(result.get("path"), (str, os.PathLike)):
        raise ProtocolError(f"the daemon sent no path: {result!r:.200}")
    path = Path(result["path"])
    try:
        inode = os.stat(path).st_ino
    except PermissionError as error:
        raise FetchError(f"no right to read {path}: {error.strerror}", code="denied") from error
    except OSError as error:
        raise _not_local(path, result, "does not exist") from error
    if result.get("inode") not in (None, inode):
        raise _not_local(path, result, "is another file")
    return path


def evicted(result: dict[str, Any]) -> bool:
    """Whether a file is gone though the cache that held it can be seen from here."""
    path, cache = result.get("path"), result.get("cache")
    if not isinstance(path, (str, os.PathLike)) or not isinstance(cache, (str, os.PathLike)):
        return False
    inside = os.fspath(path).startswith(os.path.join(os.fspath(cache), ""))
    return inside and not os.path.lexists(path) and os.path.isdir(os.path.join(cache, "objects"))


def _not_local(path: os.PathLike[str], result: dict[str, Any], what: str) -> FetchError:
    mount = result.get("cache") or _first_missing(os.fspath(path))
    return FetchError(
        f"{path} is in the daemon's cache, but {what} in this process's file system: mount "
        f"{mount} into this container at the same path (read-only is enough)",
        code="not-local",
        details={"path": str(path), "mount": str(mount)},
    )


def _first_missing(path: str) -> str:
    while (parent := os.path.dirname(path)) != path and not os.path.exists(parent):
        path = parent
    return path


class Lease:
    """Keeps a checkpoint from being evicted: holds a descriptor whose lock the daemon took.

    A file that is used in place, outside of the cache, is never evicted and has no lock.

    As a context manager it gives the path. Its descriptor is not inherited by executed programs.
    """

    def __init__(self, result: dict[str, Any], fds: list[int]) -> None:
        self._fds = fds
        self._told = result.get("told")
        try:
            self.path = visible_path(result)
        except BaseException:
            self.release()
            raise

    @property
    def valid(self) -> bool:
        """Whether the lease is held, and the daemon has found nothing wrong with the files since.

        Costs one system call, and needs no daemon: it is told through the lease's descriptor.
        """
        return bool(self._fds) and self._reason() is None

    def check(self) -> None:
        """Do nothing while the files are as they were when the lease was taken.

        Raises:
            VerificationError: They have gone bad since; what was read from them is in doubt. Take
                a new lease: the daemon fetches them again.
        """
        reason = self._reason()
        if reason is not None:
            raise VerificationError(
                f"{self.path} has gone bad while it was leased: {reason}. What was read from it is "
                "in doubt; take a new lease to have it fetched again"
            )

    def _reason(self) -> str | None:
        """Say what the daemon has told holders of the lease, if it has told anything."""
        if not self._fds or self._told is None or os.fstat(self._fds[0]).st_size <= self._told:
            return None
        line = os.pread(self._fds[0], 1 << 16, self._told).partition(b"\n")[0]
        import json  # noqa: PLC0415 (milliseconds that importing the client must not cost)

        try:
            return str(json.loads(line)["reason"])
        except (ValueError, LookupError, TypeError):
            return "the daemon gave no reason"

    def release(self) -> None:
        """End the lease."""
        fds, self._fds = self._fds, []
        close_all(fds)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<Lease {self.path} {'held' if self._fds else 'released'}>"


def raise_failures(results: list[dict[str, Any]]) -> None:
    """Raise what went wrong with the targets of a prefetch, if anything did."""
    failed = [each["error"] for each in results if each.get("error")]
    if not failed:
        return
    errors = [from_wire(each) for each in failed]
    error: ResolverdError = errors[0]
    if len(errors) > 1:
        error = FetchError(f"{len(errors)} of {len(results)} failed: {'; '.join(map(str, errors))}")
    error.details["results"] = results
    raise error
