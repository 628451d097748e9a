"""Files that hold secrets: read only when nobody else can read them."""

from __future__ import annotations

import os
import stat

from resolverd.errors import SourceError

_MOST = 1 << 16


def check(fd: int, path: str) -> None:
    """Refuse an open file that others can read or write.

    systemd's credentials are given as read-only files in a folder of the service's own, whose
    group bits are an access list's: in that folder the group's right to read counts for nothing.

    Raises:
        SourceError: With the remedy.
    """
    status = os.fstat(fd)
    if status.st_uid not in {0, os.geteuid()}:
        raise SourceError(f"{path}: belongs to another user: chown it to the daemon's.")
    handed = os.environ.get("CREDENTIALS_DIRECTORY")
    others = 0o033 if handed and os.path.dirname(path) == handed.rstrip("/") else 0o077
    if stat.S_IMODE(status.st_mode) & others:
        raise SourceError(
            f"{path}: others can read this secret: chmod 600 it, for the daemon alone."
        )
