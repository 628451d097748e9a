"""One store as last seen, and what a new look at it finds changed.

Blocking and without threads of its own: the shell calls ``scan`` and ``look`` in a worker thread,
one call at a time. Events are hints, a look decides: nothing is believed that was not found on
disk just now, and nothing counts as gone unless the root is still the same one afterwards.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from resolverd.cards.file import Stamp, StoreChange

from .contents import Contents
from .hints import Findings, look_at
from .mounts import needs_polling, read_mounts
from .roots import Root, resolve
from .scan import walk, walk_root
from .tree import Tree, missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from resolverd.cards.file import RootState
    from resolverd.cards.store import Store

    from .scan import Identity, Listing
    from .settings import WatchSettings

_TRIES = 20
_MANY = 50
"""Directories to list again above which a full scan is cheaper."""


class TrackedStore:
    """What is known of one store on disk.

    Attributes:
        store: The store.
        root: Its root at the last look.
        contents: Its card files as last read.
        tree: Its directories as last listed.
        polled: Why the store is polled; None when inotify sees its changes.
        recovered: Changes that only a scan found, long after they were made.
        layout: Counts up whenever its directories or the root's names change.
        stat_cost: CPU seconds that the last full walk took, reading files apart.
    """

    def __init__(
        self,
        store: Store,
        settings: WatchSettings,
        known: Mapping[str, Stamp],
        device: int | None = None,
    ) -> None:
        self.store = store
        self.root = Root("missing")
        self.contents = Contents(settings, known, special=not store.is_package)
        self.tree = Tree()
        self.polled: str | None = "forced by configuration" if store.poll else None
        self.recovered = 0
        self.layout = 0
        self.stat_cost = 0.0
        self._settings = settings
        self._good: Root | None = None  # the root as of the last report that could be trusted
        self._device = device
        self._said: tuple[object, ...] | None = None

    def covers(self, path: str) -> bool:
        """Whether a change of ``path`` may concern this store."""
        if path in self.root.names:
            return True
        return any(path == root or path.startswith(root + "/") for root in self.root.paths)

    def scan(self, seconds_ago: float | None = None) -> StoreChange | None:
        """Look at the whole store.

        Args:
            seconds_ago: With a running watch: a change older than this, found only now, was lost
                by it and is counted in ``recovered``.

        Returns:
            What changed, None when nothing did; the first call always reports completely.
        """
        start = time.thread_time()
        for _ in range(_TRIES):
            root = resolve(self.store)
            if root.state != "ok":
                return self._untrusted(root)
            listing = walk_root(root, follow_links=self.store.is_package)
            if resolve(self.store).identity == root.identity:
                break
        else:
            reason = f"{root.paths[0]} is replaced faster than it can be listed"
            return self._untrusted(replace(root, state="error", reason=reason), listing)
        self.stat_cost = time.thread_time() - start
        fault = self._fault(root, listing)
        if fault is not None:
            state, reason = fault
            return self._untrusted(replace(root, state=state, reason=reason), listing)
        return self._compare(root, listing, seconds_ago)

    def look(self, paths: Iterable[str]) -> StoreChange | None:
        """Look at what hints name.

        Args:
            paths: Files and directories that something happened to.

        Returns:
            What changed, None when nothing did.
        """
        wanted = set(paths)
        if self.root.state != "ok" or len(self.root.paths) > 1 or self.root.is_file:
            return self.scan()
        if len(wanted) > self._settings.burst or not self.root.names.isdisjoint(wanted):
            return self.scan()
        findings = Findings()
        for path in wanted:
            look_at(path, self.tree, self.contents, findings)
        if len(findings.lists) > _MANY:
            return self.scan()
        for directory in sorted(findings.lists):
            if directory == self.root.paths[0]:
                return self.scan()
            self._relist(directory, findings)
        if findings.gone and resolve(self.store).identity != self.root.identity:
            return self.scan()  # not the files went, the root did
        return self._report(findings.files, findings.gone)

    def _relist(self, directory: str, findings: Findings) -> None:
        """Walk a subtree anew."""
        listing = walk(directory, follow_links=self.store.is_package)
        before = dict(self.tree.directories)
        findings.gone |= missing(self.contents.files, listing, directory)
        for path in self.tree.graft(directory, listing):
            self.contents.doubt(path)
        self.layout += before != self.tree.directories
        findings.files.update(listing.files)

    def _fault(self, root: Root, listing: Listing) -> tuple[RootState, str] | None:
        """Why a root that is there can't be trusted."""
        place = root.paths[0]
        if place in listing.unreadable:
            return "error", f"{place} can't be listed: {listing.unreadable[place]}"
        empty = not listing.files and not listing.unreadable and len(listing.directories) <= 1
        moved = self._device is not None and self._device != root.device
        if empty and moved and self.contents.files:
            reason = f"{place} is empty and on another file system than before: is it mounted?"
            return "empty-mount", reason
        return None

    def _untrusted(self, root: Root, listing: Listing | None = None) -> StoreChange | None:
        directories = listing.directories if listing is not None else {}
        self._count_layout(root, directories)
        self.root, self._good = root, None
        self.tree.directories = directories
        self.contents.unsettled.clear()
        saying = (root.state, root.reason)
        if self._said == saying:
            return None
        self._said = saying
        return StoreChange(self.store.source, root.state, root.reason)

    def _count_layout(self, root: Root, directories: dict[str, Identity]) -> None:
        self.layout += self.tree.directories != directories or self.root.names != root.names

    def _compare(
        self, root: Root, listing: Listing, seconds_ago: float | None
    ) -> StoreChange | None:
        complete = self._good is None or self._good.identity != root.identity
        if complete:
            self._choose_polling(root)
        self._count_layout(root, listing.directories)
        self.root = self._good = root
        self._device = root.device
        for directory in self.tree.replace(listing):
            self.contents.doubt(directory)
        self.contents.leave_alone_only(listing.files)
        gone = missing(self.contents.files, listing)
        if seconds_ago is not None and not complete:
            self._count_lost(listing, seconds_ago)
        return self._report(listing.files, gone, complete=complete)

    def _count_lost(self, listing: Listing, seconds_ago: float) -> None:
        latest = time.time_ns() - int(seconds_ago * 1e9)
        for path, stamp in listing.files.items():
            old = self.contents.files.get(
                path, stamp if path in self.contents.unsettled else Stamp(0, 0, 0, 0)
            )
            if stamp is None or old is None or stamp == old or stamp.ctime_ns >= latest:
                continue
            if os.path.dirname(path) not in self.tree.linked:  # a link's target is not watched
                self.recovered += 1

    def _choose_polling(self, root: Root) -> None:
        mounts = read_mounts()
        reasons = (needs_polling(path, mounts) for path in root.paths)
        reason = next((reason for reason in reasons if reason is not None), None)
        self.contents.remote = reason is not None
        if self.store.poll is None:
            self.polled = reason

    def _report(
        self, found: Mapping[str, Stamp | None], gone: set[str], *, complete: bool = False
    ) -> StoreChange | None:
        """Take over what was found, and put what that changes into a report."""
        reads = self.contents.update(found, gone, whole=complete)
        saying = ("ok", self.root.identity, tuple(sorted(self.tree.unreadable.items())))
        if not complete and not reads and not gone and saying == self._said:
            return None
        self._said = saying
        fresh = {one.path for one in reads}
        return StoreChange(
            self.store.source,
            root=self.root.paths[0],
            device=self.root.device,
            roots=self.root.identity,
            reads=tuple(reads),
            removed=frozenset(gone),
            unreadable=dict(self.tree.unreadable),
            complete=complete,
            kept=frozenset(self.contents.files.keys() - fresh) if complete else frozenset(),
        )
