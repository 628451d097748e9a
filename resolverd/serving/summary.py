"""The line that ``systemctl status`` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def summary(cards: int, stores: int, problems: int, downloads: Sequence[Mapping[str, Any]]) -> str:
    """Say in one line how the daemon fares, for whoever runs ``systemctl status``.

    Args:
        cards: That are served.
        stores: That are watched.
        problems: Of cards and stores.
        downloads: Under way, each with ``done`` and ``total`` bytes (None: not known).
    """
    parts = [f"serving {_many(cards, 'card')} of {_many(stores, 'store')}"]
    if problems:
        parts.append(f"{_many(problems, 'problem')}: see `resolverctl status`")
    if downloads:
        parts.append(_many(len(downloads), "download") + _share(downloads))
    return "; ".join(parts)


def _share(downloads: Sequence[Mapping[str, Any]]) -> str:
    known = [each for each in downloads if each["total"]]
    if not known:
        return ""
    share = sum(each["done"] for each in known) / sum(each["total"] for each in known)
    return f", {share:.0%} done"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
