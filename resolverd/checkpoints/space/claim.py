"""The room that one download claims, file by file."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from resolverd.checkpoints.process.job import Job
from resolverd.checkpoints.space.eviction import occupied
from resolverd.checkpoints.space.room import Room


class Claim:
    """What one download has claimed, by file; it ends with the job.

    Args:
        room: Where.
        asset: What is being fetched.
        job: Which fetches it.
    """

    def __init__(self, room: Room, asset: str, job: Job) -> None:
        self._room = room
        self._asset = asset
        self._job = job
        self._files: dict[str, int] = {}
        self._lock = threading.Lock()

    def hold(self, sizes: Mapping[str, int], *, grows: bool = False) -> None:
        """Claim room for files of these sizes in bytes, beside what is claimed already.

        Raises:
            CacheError: There is no room, and none can be made.
        """
        with self._lock:  # files of one asset may come side by side
            self._files |= {name: occupied(size) for name, size in sizes.items()}
            self._room.claim(self._asset, sum(self._files.values()), self._job, grows=grows)
