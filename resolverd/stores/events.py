"""Kernel events through watchfiles, as a stream of paths that something happened to.

Each directory is watched by itself, never recursively: watchfiles would follow symbolic links out
of a store, and would lose ``mkdir -p`` with an immediate file. A set of watches can't be amended,
so a changed set is built beside the old one, which goes on until the new one stands. watchfiles
is imported here only, and late: that takes longer than scanning 10,000 files.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from .status import WatchProblem

if TYPE_CHECKING:
    from collections.abc import Iterable

ADDED, MODIFIED, DELETED = 1, 2, 3


class _Notify(Protocol):
    def watch(
        self, debounce_ms: int, step_ms: int, timeout_ms: int, stop_event: threading.Event
    ) -> set[tuple[int, str]] | str: ...

    def close(self) -> None: ...


class EventsLostError(Exception):
    """The set of watches has broken down: events may be lost until it is built anew."""


@dataclass(slots=True)
class Watches:
    """One set of watched directories.

    Attributes:
        problem: Why some or all of the directories are not watched.
        complete: Whether every directory asked for is watched.
    """

    _notify: _Notify | None
    problem: WatchProblem | None = None
    complete: bool = True
    _stop: threading.Event = field(default_factory=threading.Event)

    def wait(self, step: float) -> set[tuple[int, str]]:
        """Block until something happens, or ``stop`` is called.

        Args:
            step: Seconds between two looks at the event buffer.

        Returns:
            What happened where; empty after ``stop``.

        Raises:
            EventsLostError: The watches have broken down.
        """
        if self._notify is None:
            self._stop.wait()
            return set()
        try:
            # no timeout: watchfiles drops what arrives while one runs out
            found = self._notify.watch(0, max(1, round(step * 1000)), 0, self._stop)
        except (RuntimeError, OSError) as error:
            raise EventsLostError(str(error)) from error
        return found if isinstance(found, set) else set()

    def stop(self) -> None:
        """Let ``wait`` return, in any thread, and give the watches back."""
        self._stop.set()
        if self._notify is not None:
            self._notify.close()


def build(directories: Iterable[str]) -> Watches:
    """Watch directories, as many of them as the system allows.

    Args:
        directories: Existing directories, the most important first.
    """
    wanted = [path for path in directories if _can_watch(path)]
    try:
        return Watches(_make(wanted, partial=False))
    except FileNotFoundError:
        return _again(wanted)
    except PermissionError:
        return _again(wanted)
    except (OSError, RuntimeError) as error:
        return _partial(wanted, error)


def _again(wanted: list[str]) -> Watches:
    """A directory vanished meanwhile; the events of its parent will say so."""
    try:
        return Watches(_make([path for path in wanted if _can_watch(path)], partial=False))
    except (FileNotFoundError, PermissionError) as error:
        return _partial(wanted, error)
    except (OSError, RuntimeError) as error:
        return _partial(wanted, error)


def _partial(wanted: list[str], error: Exception) -> Watches:
    problem = _problem(error)
    try:
        return Watches(_make(wanted, partial=True), problem, complete=False)
    except (OSError, RuntimeError) as worse:
        return Watches(None, _problem(worse), complete=False)


def _make(paths: list[str], *, partial: bool) -> _Notify:
    from watchfiles._rust_notify import RustNotify  # noqa: PLC0415 (late on purpose, see above)

    notify: _Notify = RustNotify(
        watch_paths=paths,
        debug=False,
        force_polling=False,
        poll_delay_ms=1000,  # where the system has no inotify
        recursive=False,
        ignore_permission_denied=partial,  # which ignores every other error, too
    )
    return notify


def _can_watch(path: str) -> bool:
    try:
        path.encode()  # watchfiles takes no other names; those are scanned
    except UnicodeEncodeError:
        return False
    return os.access(path, os.R_OK)


def _problem(error: Exception) -> WatchProblem | None:
    text = str(error)
    if isinstance(error, (FileNotFoundError, PermissionError)):
        return None
    if "limit reached" in text:
        return WatchProblem(
            "watch-limit",
            "The limit of inotify watches is reached; what is not watched is scanned.",
            "Raise it: sysctl fs.inotify.max_user_watches=1048576",
        )
    if "Too many open files" in text or "os error 24" in text:
        return WatchProblem(
            "watch-instances",
            "No inotify instance is left for this user; stores are scanned.",
            "Raise the limit: sysctl fs.inotify.max_user_instances=1024",
        )
    return WatchProblem(
        "watch-failed",
        f"Events can't be had ({text}); stores are scanned.",
        "Watching is tried again by itself; see the daemon's log if this stays.",
    )
