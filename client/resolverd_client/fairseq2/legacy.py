"""Cards for fairseq2 0.2 to 0.4, which have no extensions: one more provider in the asset store.

    asset_store.metadata_providers.append(NodeMetadataProvider())

fairseq2 asks it first, and goes on to its other providers when it has no such card.
"""

from __future__ import annotations

import os
from typing import Any

from resolverd_client.errors import ResolverdError
from resolverd_client.fairseq2.node import Node


class NodeMetadataProvider:
    """The daemon's cards, all stores together, as fairseq2 before 0.5 takes them.

    Once the daemon is gone it has no cards: a warning says so, and fairseq2's own providers answer.
    """

    def __init__(self) -> None:
        from fairseq2 import assets  # noqa: PLC0415 -- importing this module must not import it

        self._node = Node(os.environ)
        # Version 0.2 keeps the name in the card, and has one error for cards and their metadata.
        self._named = not hasattr(assets, "AssetMetadataNotFoundError")
        self._not_found: type[Exception] = (
            assets.AssetNotFoundError if self._named else assets.AssetMetadataNotFoundError
        )

    def get_metadata(self, name: str) -> dict[str, Any]:
        """Give a card.

        Raises:
            fairseq2's own error for a card that is not there.
        """
        metadata = self._get(name)
        if metadata is None:
            raise self._not_found(name)
        if self._named:
            metadata["name"] = name.removesuffix("@")
        else:
            metadata["__source__"] = self._node.source
        return metadata

    def get_names(self) -> list[str]:
        """List all names, as ``name@`` and ``name@env``."""
        try:
            return [] if self._node.gone else self._node.get_names()
        except ResolverdError as error:
            self._node.give_up(error)
            return []

    def clear_cache(self) -> None:
        """Forget what is kept; never needed, as changes are seen by themselves."""
        self._node.clear_cache()

    def _get(self, name: str) -> dict[str, Any] | None:
        try:
            return None if self._node.gone else self._node.maybe_get_metadata(name)
        except ResolverdError as error:
            self._node.give_up(error)
            return None
