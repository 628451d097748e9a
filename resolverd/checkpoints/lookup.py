"""What is there already: small reads of the disk, none of the network.

Nothing is written but the time of an object's last use.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable

from resolverd.checkpoints import disk, leases
from resolverd.checkpoints.access.policy import Policy, readers_of
from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.intake import completeness
from resolverd.checkpoints.results import Published, published
from resolverd.checkpoints.sources.file import located, stamp_of


class Lookup:
    """The published objects, and the local files that were examined where they are.

    Args:
        layout: The cache.
        rules: What may be read.
        is_network: Tells whether a path lies on a network file system, so that it is copied.
    """

    def __init__(self, layout: Layout, rules: Policy, is_network: Callable[[str], bool]) -> None:
        self._layout = layout
        self.policy = rules
        self._is_network = is_network
        self._examined: dict[object, tuple[str, Published]] = {}

    def copies(self, wanted: Wanted) -> bool:
        """Whether this is copied into the cache, or used where it is."""
        return wanted.scheme != "file" or wanted.localise or self._is_network(wanted.local_path)

    def find(self, wanted: Wanted) -> Published | None:
        """What fits; see :meth:`resolverd.checkpoints.service.Checkpoints.find`."""
        if not self.copies(wanted):
            return self._find_in_place(wanted)
        manifest = disk.current(self._layout, wanted.asset)
        if manifest is None or not manifest.fits(digest.parse_card(wanted.checksum)):
            return None
        if not disk.whole(self._layout, manifest):
            return None
        if manifest.readers != readers_of(self.policy, wanted.normal, private=manifest.private):
            return None  # the worker makes good what other rules have left
        leases.touch(self._layout.lock(manifest.key), time.time())
        return published(manifest, wanted, disk.visible_path(self._layout, manifest))

    def remember(self, wanted: Wanted, stamp: str, examined: Published) -> None:
        """Take in that a local file was examined; of a folder, one stat can't tell its version."""
        if os.path.basename(examined.path) in examined.files:
            self._examined[wanted.identity] = (stamp, examined)

    def keys(self, wanted: Wanted | None) -> list[str]:
        """Names of the objects: of all, or of the one that a URI's link leads to."""
        if wanted is not None:
            manifest = disk.current(self._layout, wanted.asset)
            return [manifest.key] if manifest else []
        try:
            return sorted(os.listdir(self._layout.folder("objects")))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _find_in_place(self, wanted: Wanted) -> Published | None:
        path = located(wanted.local_path, self.policy)
        if os.path.isdir(path) and not (wanted.checksum or wanted.shards or _has_index(path)):
            # There is nothing to check it against, and it may hold millions of files.
            key = f"{wanted.asset}-local"
            return Published(path, key, wanted.shown, wanted.kind, 0, None, "first-use", ())
        stamp, examined = self._examined.get(wanted.identity, ("", None))
        try:
            status = os.stat(path)
        except OSError:
            return None
        return examined if stat.S_ISREG(status.st_mode) and stamp_of(status) == stamp else None


def _has_index(folder: str) -> bool:
    try:
        return any(name.endswith(completeness.INDEX) for name in os.listdir(folder))
    except OSError:
        return False
