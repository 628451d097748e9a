"""All that is served at one moment, and what a report of the stores makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from resolverd.cards.amend import amended
from resolverd.cards.card import Codec
from resolverd.cards.catalogue import StoreCards, apply
from resolverd.cards.file import StoreChange
from resolverd.cards.index import Index, build
from resolverd.cards.snapshot import Snapshot, publish
from resolverd.cards.store import Store


@dataclass(frozen=True, slots=True)
class Published:
    """All that is served at one moment.

    Attributes:
        stores: Cards of each store, by source text, in order of precedence.
        index: Which card has which name, and every problem.
        snapshot: The generation that clients see. Its index may be older than ``index`` when only
            problems have changed since.
    """

    stores: Mapping[str, StoreCards]
    index: Index
    snapshot: Snapshot


def begin(stores: Sequence[Store], restored: Mapping[str, StoreCards]) -> Published:
    """Make the state before the first report: generation 0, which nobody is served.

    Args:
        stores: In order of precedence.
        restored: What an earlier run has kept, by source text.
    """
    cards = {store.source: _restore(store, restored.get(store.source)) for store in stores}
    index = build(cards.values())
    return Published(cards, index, Snapshot(0, index))


def rearranged(old: Published, stores: Sequence[Store], *, renew: bool = False) -> Published:
    """Make the state for another list of stores; what is known of those that stay is kept.

    Args:
        old: The state before; it stays as it is.
        stores: In order of precedence.
        renew: Whether it is a new generation in any case, as answers depend on more than cards.
    """
    kept = begin(stores, old.stores)
    snapshot = publish(old.snapshot, kept.index)
    if renew and snapshot is old.snapshot:
        snapshot = Snapshot(old.snapshot.generation + 1, kept.index)
    return replace(kept, snapshot=snapshot)


def _restore(store: Store, kept: StoreCards | None) -> StoreCards:
    """Take over what was kept of the same place, whatever its precedence was then."""
    if kept is None or kept.store.location != store.location:
        return StoreCards(store)
    return replace(kept, store=store)


def absorb(old: Published, changes: Iterable[StoreChange], codec: Codec) -> Published:
    """Make the state after a report; its snapshot is the old one when no content changed.

    A report that tells nothing new, as that of a start which finds all as it was, costs no index.

    Args:
        old: The state before; it stays as it is.
        changes: What the stores report; a store that is not served is passed over.
        codec: Packs the values of new cards.
    """
    stores, changes = dict(old.stores), tuple(changes)
    for change in changes:
        if change.source in stores:
            stores[change.source] = apply(stores[change.source], change, codec)
    first = old.snapshot.generation == 0
    if stores == old.stores:
        return replace(old, snapshot=publish(None, old.index)) if first else old
    index = None if first else amended(old.index, old.stores, stores, changes)
    index = index or build(stores.values())
    return Published(stores, index, publish(None if first else old.snapshot, index))
