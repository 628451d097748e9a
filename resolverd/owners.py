"""Which cards lead to an asset in the cache: the way back from an object to its names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from resolverd_client.errors import ResolverdError

from resolverd.cards.snapshot import Snapshot
from resolverd.serving.targets import Asset


class Owners:
    """The assets that the served cards speak of; worked out once for each generation.

    Args:
        snapshot: Gives the served cards.
        read: Gives what there is to fetch for a name; raises errors of the wire.
        identify: Gives an asset's place in the cache.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        read: Callable[[str], Sequence[Asset]],
        identify: Callable[[Asset], str],
    ) -> None:
        self._snapshot = snapshot
        self._read = read
        self._identify = identify
        self._known: tuple[int, Mapping[str, tuple[Asset, ...]]] = (-1, {})

    def all(self) -> Mapping[str, tuple[Asset, ...]]:
        """Give the cards' assets by their place in the cache. Takes a while: call it in a thread.

        What a card says for one environment alone is not looked at.
        """
        snapshot = self._snapshot()
        if self._known[0] != snapshot.generation:
            found: dict[str, tuple[Asset, ...]] = {}
            for name in sorted({name.partition("@")[0] for name in snapshot.index.cards}):
                for place, asset in self._assets(name):
                    found[place] = (*found.get(place, ()), asset)
            self._known = (snapshot.generation, found)
        return self._known[1]

    def _assets(self, name: str) -> list[tuple[str, Asset]]:
        try:
            return [(self._identify(asset), asset) for asset in self._read(name)]
        except ResolverdError:
            return []  # nothing to fetch, or a broken card: reported elsewhere
