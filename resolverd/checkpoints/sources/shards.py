"""Several sources as one: the numbered files of a sharded checkpoint become one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.plan import Range
from resolverd.checkpoints.sources.base import Listing, RemoteFile, Source, Transfer
from resolverd.errors import SourceError


class ShardedSource:
    """One source a shard.

    Args:
        shards: By the file name that each shown shard gets.
        name: What to call the whole.
    """

    def __init__(self, shards: Mapping[str, Source], name: str) -> None:
        self._shards = shards
        self._shown = name
        self._files: dict[str, RemoteFile] = {}
        self._private = False

    def resolve(self, known: str | None = None, gap: Range | None = None) -> Listing | None:
        """Ask for every shard; the set has a version when each shard has one."""
        for name, source in self._shards.items():
            listing = source.resolve()
            if listing is None or len(listing.files) != 1:
                raise SourceError(f"{self._shown}: {name} is no single file.")
            self._files[name] = listing.files[0]
            self._private |= listing.private
            source.close()  # its first answer would go stale while other shards are fetched
        stamps = {name: file.stamp for name, file in self._files.items()}
        stamp = None
        if all(stamps.values()):
            stamp = str(digest.of_many({name: text or "" for name, text in stamps.items()}))
        if stamp is not None and stamp == known:
            return None
        files = tuple(replace(file, name=name) for name, file in self._files.items())
        return Listing(files, stamp, self._private)

    def open(self, file: RemoteFile, start: int, end: int | None) -> Transfer:
        """Open the shard."""
        original = self._files[file.name]
        return self._shards[file.name].open(replace(original, ranges=file.ranges), start, end)

    def sidecar(self, file: RemoteFile) -> Digest | None:
        """Ask beside the shard."""
        return self._shards[file.name].sidecar(self._files[file.name])

    def close(self) -> None:
        """Close every source."""
        for source in self._shards.values():
            source.close()
