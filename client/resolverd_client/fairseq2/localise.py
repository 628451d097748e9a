"""Checkpoints that cards name by a path, read through the daemon's cache: only when asked for.

fairseq2 asks its download manager for nothing that has a path. With ``RESOLVERD_LOCALISE=1`` such
fields get a scheme of their own, so that it does. The daemon then decides as it does for everybody
whether the file is copied to the local disk (it lies on a network file system, or its card says
``localise: true``) or used where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEME = "resolverd+file"
_FIELDS = ("checkpoint", "tokenizer", "data")


def wanted(environ: Mapping[str, str]) -> bool:
    """Tell whether the job asked for it."""
    return environ.get("RESOLVERD_LOCALISE", "").lower() in ("1", "on", "true", "yes")


def reword(card: Any) -> None:
    """Give the local files that a card names, it or its bases, the scheme.

    Args:
        card: fairseq2's ``AssetCard``, fresh from the store; changed in place.
    """
    for name in _FIELDS:
        field = card.maybe_get_field(name)
        if field is None or not isinstance(field.value, str):
            continue
        try:
            uri = field.as_uri()
        except Exception:  # noqa: BLE001, S112 -- fairseq2 words the fault when the field is used
            continue
        if uri.scheme == "file":
            _owner(card, name).metadata[name] = f"resolverd+{uri}"


def _owner(card: Any, field: str) -> Any:
    while field not in card.metadata:
        card = card.base
    return card


def file_uri(uri: str) -> str:
    """Give the ``file`` URI behind one of the scheme; a URI of another scheme stays as it is."""
    scheme, _, rest = uri.partition(":")
    return f"file:///{rest.lstrip('/')}" if scheme == SCHEME else uri


def path_of(uri: str) -> Path:
    """Give the path in a ``file`` URI as fairseq2 does, literally."""
    return Path(uri.removeprefix("file://"))
