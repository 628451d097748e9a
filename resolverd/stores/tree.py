"""The directories of one store as last listed, and which card files a new listing misses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .scan import Identity, Listing


class Tree:
    """What is known of a store's directories.

    Attributes:
        directories: Every directory as last listed.
        unreadable: Directories that can't be listed, with the reason.
        linked: Directories that hold symbolic links.
    """

    def __init__(self) -> None:
        self.directories: dict[str, Identity] = {}
        self.unreadable: dict[str, str] = {}
        self.linked: set[str] = set()

    def replace(self, listing: Listing) -> list[str]:
        """Take over a listing of the whole store.

        Returns:
            Directories that can be listed again.
        """
        regained = [path for path in self.unreadable if path not in listing.unreadable]
        self.directories, self.linked = listing.directories, listing.linked
        self.unreadable = listing.unreadable
        return regained

    def graft(self, directory: str, listing: Listing) -> list[str]:
        """Take over a listing of ``directory`` and all below it.

        Returns:
            Directories that can be listed again.
        """
        for path in [path for path in self.directories if _within(path, directory)]:
            del self.directories[path]
        before = [path for path in self.unreadable if _within(path, directory)]
        for path in before:
            del self.unreadable[path]
        self.directories.update(listing.directories)
        self.unreadable.update(listing.unreadable)
        self.linked |= listing.linked
        return [path for path in before if path not in listing.unreadable]


def missing(known: Mapping[str, object], listing: Listing, directory: str = "") -> set[str]:
    """Files that are gone: a listing has them no more, and could have seen them.

    Args:
        known: Files that were there.
        listing: What is there now.
        directory: Where the listing began; empty: it is of the whole store.
    """
    hidden = tuple(f"{path}/" for path in listing.unreadable)
    return {
        path
        for path in known.keys() - listing.files.keys()
        if (not directory or _within(path, directory)) and not path.startswith(hidden)
    }


def _within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory + "/")
