"""Finds what a card means inside of what was fetched for it: ``checkpoint_path``, shards."""

from __future__ import annotations

import os

from resolverd_client.errors import RequestError


def member(fetched: str, inside: str, name: str | None) -> str:
    """Path of a member, with every link on the way resolved.

    As in fairseq2 0.8.1, ``shard_idx`` in the last part means the folder of the shards.

    Args:
        fetched: The folder that was fetched, or its only file.
        inside: The member's path below the folder.
        name: The card that names it, for errors.

    Raises:
        RequestError: It is not there, or leads out.
    """
    root = os.path.realpath(fetched if os.path.isdir(fetched) else os.path.dirname(fetched))
    if "shard_idx" in os.path.basename(inside):
        inside = os.path.dirname(inside)
    path = os.path.realpath(os.path.join(root, inside))
    if path != root and not path.startswith(root + "/"):
        raise RequestError(f"{name}: {inside!r} leads out of what was fetched.")
    if not os.path.exists(path):
        raise RequestError(f"{name}: there is no {inside!r} in {root}, which was fetched for it.")
    return path
