"""Who may be told of a file that not everyone may read."""

from __future__ import annotations

import grp
import os
from collections.abc import Sequence

from resolverd_client.errors import RequestError

from resolverd.serving.call import Peer


def check_reader(peer: Peer, readers: Sequence[int] | None, shown: str) -> None:
    """Refuse a process that may not read a file.

    The kernel vouches for its user and groups, as they were when it connected.

    Args:
        peer: Who asks.
        readers: Group ids whose members may read it; None: everyone.
        shown: What to call the file.

    Raises:
        RequestError: With code ``denied``, and the groups that may.
    """
    if readers is None or peer.uid in {0, os.geteuid()}:
        return
    if {peer.gid, *peer.groups} & set(readers):
        return
    groups = ", ".join(map(_named, readers))
    whose = f"members of {groups}" if groups else "the daemon's own user"
    raise RequestError(
        f"{shown}: only {whose} may read it. Ask this node's operator to add you to the group, or "
        "to name one of yours (read_groups in fetch.rules).",
        code="denied",
    )


def _named(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
