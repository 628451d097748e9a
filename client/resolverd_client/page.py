"""The generation page: one shared memory read tells whether a cached reply still holds.

Contract: the page is trusted only when it is sealed against shrinking (else a read could fault)
and names the daemon instance that the connection talks to.
"""

from __future__ import annotations

MAGIC = b"RSLVPG01"
SIZE = 4096
INSTANCE = slice(24, 40)
_F_GET_SEALS = 1034
_F_SEAL_SHRINK = 0x0002

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Words = Sequence[int]

GENERATION, CLOSED = 1, 2


def open_page(fd: int, instance: bytes) -> Words | None:
    """Map the page that came with ``hello``, and close its descriptor.

    Args:
        fd: The descriptor.
        instance: The daemon instance of the same ``hello`` reply.

    Returns:
        The page as 64-bit words of the host's byte order (``GENERATION`` and ``CLOSED`` index
        them), or None when it can't be trusted: then every lookup asks the daemon.
    """
    # Loaded with the first connection: importing the client must stay cheap.
    import fcntl  # noqa: PLC0415
    import mmap  # noqa: PLC0415
    import os  # noqa: PLC0415

    try:
        if not fcntl.fcntl(fd, _F_GET_SEALS) & _F_SEAL_SHRINK or os.fstat(fd).st_size < SIZE:
            return None
        page = mmap.mmap(fd, SIZE, prot=mmap.PROT_READ)
    except (OSError, ValueError):
        return None
    finally:
        os.close(fd)
    if page[:8] != MAGIC or page[INSTANCE] != instance:
        return None
    return memoryview(page).cast("Q")
