"""fairseq2's asset store in a long-running job: added, changed and removed cards as they come.

Contract: a card and its bases are of one generation; a card that is gone is not found, as in a
process that starts now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import Any

from fairseq2.assets import AssetCard, AssetMetadataProvider, AssetNotFoundError, AssetStore

from resolverd_client.fairseq2 import internals, localise
from resolverd_client.fairseq2.node import Node
from resolverd_client.fairseq2.stores import NodeProvider

_TRIES = 10


def following(store: Any, node: Node, *, localising: bool) -> Any:
    """Have fairseq2's asset store follow what the daemon serves.

    Args:
        store: The store that fairseq2 has made.
        node: The daemon.
        localising: Whether local files are to be read through the daemon's cache.

    Returns:
        A store in its place; the store itself when there is nothing to follow in it, or when it is
        another extension's.
    """
    providers = internals.providers_of(store)
    if providers is None:
        return store
    if not localising and not any(isinstance(each, NodeProvider) for each in providers):
        return store
    names = _Names(providers)
    internals.replace_names(store, names)
    return (LocalisingAssetStore if localising else NodeAssetStore)(store, names, node)


class _Names(Set[str]):
    """The names that the providers have at this moment."""

    def __init__(self, providers: Sequence[AssetMetadataProvider]) -> None:
        self._providers = providers

    @classmethod
    def _from_iterable(cls, names: Any) -> Any:
        return set(names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(_has(each, name) for each in self._providers)

    def _now(self) -> set[str]:
        return set().union(*(each.asset_names for each in self._providers))

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def __repr__(self) -> str:
        return repr(self._now())


def _has(provider: AssetMetadataProvider, name: str) -> bool:
    return name in (provider if isinstance(provider, NodeProvider) else provider.asset_names)


class NodeAssetStore(AssetStore):
    """fairseq2's own store, asked again when what is served changed under it.

    Args:
        own: fairseq2's store.
        names: Its names, which change.
        node: The daemon.
    """

    def __init__(self, own: AssetStore, names: Set[str], node: Node) -> None:
        self.own = self._own = own
        self._names = names
        self._node = node

    def retrieve_card(self, name: str) -> AssetCard:
        """Give a card with its bases.

        Raises:
            AssetNotFoundError: There is none of that name.
        """
        card = self.maybe_retrieve_card(name)
        if card is None:
            raise AssetNotFoundError(name)
        return card

    def maybe_retrieve_card(self, name: str) -> AssetCard | None:
        """Give a card with its bases, or None."""
        kept = self._node.replies
        if kept is not None:
            try:
                card = self._own.maybe_retrieve_card(name)
            except Exception:
                if self._node.replies is kept:
                    raise
            else:
                if self._node.replies is kept:  # so all of it is of one generation
                    return card
        return self._retrieve_anew(name)

    def _retrieve_anew(self, name: str) -> AssetCard | None:
        """Retrieve a card as often as what is served changes meanwhile."""
        node = self._node
        for _ in range(_TRIES):
            before = node.generation
            try:
                card = self._own.maybe_retrieve_card(name)
            except Exception:
                if before is None or node.generation == before:
                    raise
            else:
                if before is None or node.generation == before:
                    return card
        return self._own.maybe_retrieve_card(name)

    def find_cards(self, field: str, value: object) -> Iterator[AssetCard]:
        """Give the cards that have a field of that value."""
        for name in self._names:
            if not name.endswith("@"):
                continue
            card = self.maybe_retrieve_card(name[:-1])
            found = None if card is None else card.maybe_get_field(field)
            if found is not None and found.value == value:
                yield card

    @property
    def asset_names(self) -> Set[str]:
        """The names of all cards, those for environments among them."""
        return self._names


class LocalisingAssetStore(NodeAssetStore):
    """The same; local files are asked of the download manager, see ``localise``."""

    def maybe_retrieve_card(self, name: str) -> AssetCard | None:
        """Give a card with its bases, or None."""
        card = super().maybe_retrieve_card(name)
        if card is not None:
            localise.reword(card)
        return card
