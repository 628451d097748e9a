"""The generation page that clients map: a sealed memfd.

Contract: nobody but this object can write, grow, shrink or map it writable, not even through
``/proc``; where the kernel can't promise that, there is no page. Layout, in the host's byte order:
8 bytes ``RSLVPG01``, u64 generation at 8, u64 closed flag at 16, 16 bytes instance at 24. The
generation changes by one aligned 8-byte store.
"""

from __future__ import annotations

import fcntl
import mmap
import os

from resolverd_client.page import CLOSED, GENERATION, INSTANCE, MAGIC, SIZE

_SEALS = (
    fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    | 0x0010  # F_SEAL_FUTURE_WRITE, which Python < 3.13 does not name
)  # fmt: skip


class Page:
    """The writable end.

    Args:
        instance: 16 random bytes that name this run of the daemon.

    Raises:
        OSError: The kernel has no memfd, or none that can be sealed against later writers.
    """

    def __init__(self, instance: bytes) -> None:
        self.fd = os.memfd_create("resolverd-generation", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, SIZE)
            page = mmap.mmap(self.fd, SIZE)
            page[: len(MAGIC)] = MAGIC
            page[INSTANCE] = instance
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEALS)
        except OSError:
            os.close(self.fd)
            raise
        self._words = memoryview(page).cast("Q")

    def publish(self, generation: int) -> None:
        """Make every reply of an earlier generation void, in all clients at once."""
        self._words[GENERATION] = generation

    def close(self) -> None:
        """Tell all clients that nobody vouches for anything any more."""
        self._words[CLOSED] = 1
        os.close(self.fd)
