"""Requests about cards: resolve, list, show, watch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import anyio
import anyio.to_thread
from resolverd_client.errors import AssetNotFoundError, RequestError

from resolverd.cards.card import KINDS, Card, Codec
from resolverd.cards.kinds import kinds
from resolverd.cards.published import Published
from resolverd.cards.resolve import Resolution, environments, resolve
from resolverd.cards.snapshot import Diff, Snapshot
from resolverd.errors import CardError
from resolverd.serving.arguments import check, known, maybe
from resolverd.serving.call import Call
from resolverd.serving.lookups import matches
from resolverd.serving.store_rows import StoreRows


class Catalogue(Protocol):
    """What these requests need of the daemon."""

    state: Published

    def subscribe(self, subscriber: Callable[[Snapshot, Diff], None]) -> Callable[[], None]:
        """Have a function called after each new generation; the result ends that."""


class CardRequests:
    """Answers requests from the published cards.

    Args:
        catalogue: The published state.
        environment: The cluster's environment, or None.
        codec: Unpacks the values of cards.
    """

    def __init__(self, catalogue: Catalogue, environment: str | None, codec: Codec) -> None:
        self.environment = environment
        self._catalogue = catalogue
        self._codec = codec
        self._stores = StoreRows()

    @property
    def snapshot(self) -> Snapshot:
        """The generation that is served now."""
        return self._catalogue.state.snapshot

    async def resolve(self, call: Call, name: object, env: object = None) -> object:
        """Answer ``[generation, fields]``: base chain and environments merged; nil for a miss."""
        text, asked = check(name, str, "name"), maybe(env, str, "env")
        snapshot = self.snapshot
        found = self.resolution(text, asked, snapshot)
        return [snapshot.generation, None if found is None else found.fields]

    async def show(self, call: Call, name: object, env: object = None) -> object:
        """Answer where each field of a card comes from."""
        text, asked = check(name, str, "name"), maybe(env, str, "env")
        found = self.resolution(text, asked)
        if found is None:
            raise not_found(text)
        layers = [_layer(layer.card, layer.env) for layer in found.layers]
        fields = [
            {"field": field, "value": value, **_origin(found.provenance[field].card)}
            for field, value in found.fields.items()
        ]
        return {"name": text, "layers": layers, "fields": fields}

    async def list(self, call: Call, options: object = None) -> object:
        """Answer the cards that match a glob and a kind, sorted by name."""
        asked = maybe(options, dict, "options") or {}
        known(asked, ("glob", "kind"), "list")
        glob, kind = maybe(asked.get("glob"), str, "glob"), maybe(asked.get("kind"), str, "kind")
        if kind is not None and kind not in KINDS:
            raise RequestError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}.")
        snapshot = self.snapshot
        return await anyio.to_thread.run_sync(_list, snapshot, glob, kind)

    async def stores(self, call: Call) -> object:
        """Answer which stores are served, by their real places, and the configured environment."""
        served = self._catalogue.state.stores
        rows = await anyio.to_thread.run_sync(self._stores.rows, served)
        return {"environment": self.environment, "stores": rows}

    async def watch(self, call: Call, glob: object = None) -> object:
        """Start sending ``event`` notifications; answer ``[watch id, generation]``."""
        pattern = maybe(glob, str, "glob")

        def tell(snapshot: Snapshot, diff: Diff) -> None:
            if event := _event(snapshot, diff, pattern):
                call.notify("event", [call.id, event])

        call.on_close(self._catalogue.subscribe(tell))
        return [call.id, self.snapshot.generation]

    def resolution(
        self, name: str, env: str | None = None, snapshot: Snapshot | None = None
    ) -> Resolution | None:
        """Resolve a name as fairseq2 0.8.1's store does.

        Args:
            name: ``x`` (with environments), ``x@`` (without), ``x@env`` (that one only).
            env: In place of the daemon's environment.
            snapshot: The generation to look in; the current one by default.

        Raises:
            RequestError: When the card's chain is broken.
        """
        index = (snapshot or self.snapshot).index
        try:
            return resolve(index, name, environments(env or self.environment), self._codec)
        except CardError as error:
            raise RequestError(str(error), code="bad-request") from error


def not_found(name: str) -> AssetNotFoundError:
    """Make the error for a name that no store has."""
    return AssetNotFoundError(f"there is no asset called {name!r} in any store.")


def _list(snapshot: Snapshot, glob: str | None, kind: str | None) -> list[dict[str, object]]:
    cards = snapshot.index.cards
    shown = []
    for name in sorted(cards):
        if not matches(name, glob):
            continue
        found = kinds(snapshot.index, name)
        if kind is None or kind in found:
            shown.append(_summary(cards[name], sorted(found)))
    return shown


def _summary(card: Card, kinds: list[str]) -> dict[str, object]:
    return {
        "name": card.name,
        "kinds": kinds,
        "source": card.store,
        "path": card.path,
        "state": "ok" if card.stale is None else "stale",
    }


def _layer(card: Card, env: str) -> dict[str, object]:
    return {
        "card": card.name,
        "env": env,
        "source": card.store,
        "document": card.document,
        "line": card.line,
        "path": card.path,
        "stale": card.stale,
    }


def _origin(card: Card) -> dict[str, object]:
    return {"card": card.name, "path": card.path, "line": card.line, "source": card.store}


def _event(snapshot: Snapshot, diff: Diff, glob: str | None) -> dict[str, object] | None:
    def matching(names: tuple[str, ...]) -> list[str]:
        return [name for name in names if matches(name, glob)]

    groups = {
        "added": matching(diff.added),
        "changed": matching(diff.changed),
        "removed": matching(diff.removed),
        "stale": matching(diff.stale),
    }
    return {"generation": snapshot.generation, **groups} if any(groups.values()) else None
