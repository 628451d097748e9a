"""The stores that are served, as clients recognise them: by their real places."""

from __future__ import annotations

from collections.abc import Mapping

from resolverd.cards.catalogue import StoreCards
from resolverd.cards.refusals import refusals

Row = dict[str, object]


class StoreRows:
    """Words what is served; a store that has not changed is not looked through again."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[StoreCards, Row]] = {}

    def rows(self, stores: Mapping[str, StoreCards]) -> list[Row]:
        """Give a row for each store.

        Args:
            stores: By source text, in order of precedence.

        Returns:
            Maps of the wire, as ``PROTOCOL.md`` describes them.
        """
        known, now = self._known, {}
        for source, cards in stores.items():
            before = known.get(source)
            if before is not None and before[0] is cards:
                now[source] = before
            else:
                now[source] = (cards, _row(cards))
        self._known = now
        return [row for _, row in now.values()]


def _row(cards: StoreCards) -> Row:
    found = refusals(cards)
    return {
        "source": cards.store.source,
        "package": cards.store.is_package,
        "roots": [list(root) for root in cards.roots],
        "whole": found.whole,
        "refused": found.count,
        "first": list(found.first),
    }
