"""The card files of one store as last read: which versions, which errors, who is still writing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .read import QUIET, Unsettled, Wish, read

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from resolverd.cards.file import FileRead, Stamp

    from .settings import WatchSettings

_START_MOMENT = 0.15


class Contents:
    """What was read of every file, and what has to be read again.

    Attributes:
        files: The stamp of every card file as last read; None for one to read again.
        unsettled: Files left alone because someone is writing them.
        remote: Whether they lie on a shared file system, where no lease tells of writers.
    """

    def __init__(
        self, settings: WatchSettings, known: Mapping[str, Stamp], *, special: bool
    ) -> None:
        self.files: dict[str, Stamp | None] = dict(known)
        self.unsettled: dict[str, Unsettled] = {}
        self.remote = False
        self._settings = settings
        self._special = special
        self._errors: dict[str, str] = {}

    def update(
        self, found: Mapping[str, Stamp | None], gone: set[str], *, whole: bool
    ) -> list[FileRead]:
        """Read what differs from what is known.

        Args:
            found: Files that are there, with their stamps.
            gone: Files that are not; those that vanish while being read are added.
            whole: Whether ``found`` is all there is, in a store seen for the first time.

        Returns:
            What was read; an error that was told before is not told again.
        """
        reads: list[FileRead] = []
        gone -= found.keys()
        for path, stamp in found.items():
            if stamp is None or stamp != self.files.get(path) or path in self.unsettled:
                self._read(path, reads, gone, changed=not whole)
        if whole:
            self._wait_for_writers(reads, gone)
        for path in gone:
            self.unsettled.pop(path, None)
            self.files.pop(path, None)
            self._errors.pop(path, None)
        return reads

    def doubt(self, directory: str) -> None:
        """Read again what lies below a directory that could not be listed for a while."""
        for path in self.files:
            if path.startswith(directory + "/"):
                self.files[path] = None

    def leave_alone_only(self, there: Container[str]) -> None:
        """Forget the writers of files that are no longer there."""
        for path in [path for path in self.unsettled if path not in there]:
            del self.unsettled[path]

    def _wait_for_writers(self, reads: list[FileRead], gone: set[str]) -> None:
        """Give files that are being written a moment, so that a start is whole if it can be."""
        until = time.monotonic() + _START_MOMENT
        while self.unsettled and time.monotonic() < until:
            time.sleep(QUIET)
            for path in list(self.unsettled):
                self._read(path, reads, gone, changed=False)

    def _read(self, path: str, reads: list[FileRead], gone: set[str], *, changed: bool) -> None:
        wish = Wish(
            path,
            old=self.files.get(path),
            changed=changed and self.remote,
            local=not self.remote,
            special=self._special,
            pending=self.unsettled.get(path),
            patience=self._settings.patience,
            bound=self._settings.max_file_bytes,
        )
        outcome = read(wish)
        if isinstance(outcome, Unsettled):
            self.unsettled[path] = outcome
            return
        self.unsettled.pop(path, None)
        if outcome is None:
            if path in self.files:
                gone.add(path)
        elif outcome.error is None or outcome.error != self._errors.get(path):
            self._take(outcome, reads)
        else:
            self.files[path] = outcome.stamp

    def _take(self, outcome: FileRead, reads: list[FileRead]) -> None:
        if outcome.error is not None:
            self._errors[outcome.path] = outcome.error
        else:
            self._errors.pop(outcome.path, None)
        self.files[outcome.path] = outcome.stamp
        reads.append(outcome)
