"""The node's daemon as one job sees it: which stores it serves, and whether it still answers.

Contract: waiting for a daemon that does not answer costs a job one timeout in all: once it is
over the daemon counts as gone for good, one warning says so, and it is asked no more.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resolverd_client.client import Client
from resolverd_client.errors import (
    AssetNotFoundError,
    DaemonUnavailableError,
    ProtocolError,
    ResolverdError,
)

log = logging.getLogger("resolverd_client.fairseq2")

DEFAULT_TIMEOUT = 2.0
"""Seconds that a job may lose to a daemon that does not answer."""

Place = tuple[str, int, int]
"""Path, device and inode of a store's root; of a single file the inode counts as 0."""


@dataclass(frozen=True)
class Served:
    """A store that the daemon serves.

    Attributes:
        source: The daemon's name for it.
        package: Whether it is a package.
        roots: Where it really lies.
        whole: Whether every card that fairseq2 would read is served.
        refused: Documents that fairseq2 would refuse.
        first: What is wrong with the first of them.
    """

    source: str
    package: bool
    roots: tuple[Place, ...]
    whole: bool
    refused: int
    first: tuple[str, ...]


class Node(Client):
    """A client that gives up once, for good.

    Args:
        environ: The environment, for ``RESOLVERD_FALLBACK_TIMEOUT``.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(timeout=_timeout(environ))
        self.gone = False
        self.environment: str | None = None
        self._stores: tuple[Served, ...] | None = None
        self._sources: list[str] = []

    @property
    def server(self) -> str | None:
        """Who answers, and where; None once nobody does."""
        self.stores()
        idle = self._link.idle[-1:]
        return f"{idle[0].server['server']} at {idle[0].path}" if idle else None

    def give_up(self, error: Exception) -> None:
        """Ask the daemon no more, and say why; fairseq2 then does all by itself."""
        if not self.gone:
            self.gone = True
            log.warning(
                "resolverd: %s. From here on fairseq2 reads cards and downloads by itself, as "
                "without resolverd-client.",
                str(error).rstrip("."),
            )

    def find(self, places: Sequence[Place], *, package: bool) -> Served | None:
        """Give the store that lies at these very places, if the daemon serves it whole."""
        for store in self.stores():
            if store.package == package and store.roots == tuple(places) and store.whole:
                return store
        return None

    def stores(self) -> tuple[Served, ...]:
        """List what the daemon serves: none once it is gone."""
        if self.gone:
            return ()
        if self._stores is None:
            try:
                self._stores = self._ask_stores()
            except ResolverdError as error:
                self.give_up(error)
                return ()
            except (LookupError, TypeError, ValueError) as error:
                self.give_up(
                    ProtocolError(f"the daemon's list of stores makes no sense: {error!r}")
                )
                return ()
        return self._stores

    def _ask_stores(self) -> tuple[Served, ...]:
        paths = self._link.paths
        if not any(map(os.path.exists, paths)):
            raise DaemonUnavailableError(
                f"no daemon listens on {' or '.join(paths)}: start one with `resolverd serve`, "
                f"name its socket in RESOLVERD_SOCKET, or set RESOLVERD_FAIRSEQ2=off to do without"
            )
        reply = self.call("stores")
        self.environment = reply["environment"]
        return tuple(map(_served, reply["stores"]))

    @property
    def generation(self) -> int | None:
        """What is served at this moment; None when that can't be told."""
        return None if self.gone else self._link.generation

    def names(self, source: str) -> frozenset[str]:
        """Ask for the canonical names of one store; they are kept by the source and None.

        Raises:
            ResolverdError: The daemon does not answer, or has no such store any more.
        """
        connection, (generation, listed), _ = self._reply("store_names", [source])
        names = frozenset(listed)
        self._link.keep(connection, generation, {(source, None): names})
        return names

    def take(self, source: str) -> None:
        """Have the cards of a store answered from now on, together with those of the others."""
        if source not in self._sources:
            self._sources = [*self._sources, source]
            self.clear_cache()

    def drop(self, source: str) -> None:
        """Ask for the cards of a store no more."""
        self._sources = [each for each in self._sources if each != source]
        self.clear_cache()

    @property
    def kept(self) -> Callable[[object], Any]:
        """Gives what is known by heart: a card by its source and name, see ``card``."""
        return self._link.kept

    @property
    def replies(self) -> object:
        """Stands for all that is kept: another object whenever a card may have changed."""
        return self._link.replies

    def card(self, source: str, name: str) -> bytes:
        """Ask for a card of one store, packed; empty when it has none of that name.

        One request brings whatever else retrieving it takes: its environments, its bases, in all
        stores that were taken. What is not there is kept as well as what is.

        Args:
            source: A store that was taken.
            name: Canonical.

        Raises:
            ResolverdError: The daemon does not answer, or has no such store any more.
        """
        if source not in self._sources:
            raise AssetNotFoundError(f"the daemon serves {source} no more")
        link, key, stem = self._link, (source, name), name.partition("@")[0]
        replies = link.replies
        if link.kept(stem) and replies is not None and replies is link.replies:
            # All of the stem's cards are kept, and this one is not among them.
            return replies.packed.setdefault(key, b"")  # type: ignore[no-any-return]
        return self._ask_cards(source, stem).get(key, b"")  # type: ignore[no-any-return]

    def _ask_cards(self, source: str, stem: str) -> dict[object, Any]:
        try:
            return self._family(stem)
        except AssetNotFoundError as error:
            lost = error.details.get("store")
            if lost == source or lost not in self._sources:
                raise
            self.drop(str(lost))  # whose cards it are will find out when it asks
            return self._ask_cards(source, stem)

    def _family(self, stem: str) -> dict[object, Any]:
        sources = self._sources
        connection, (generation, family), _ = self._reply("store_cards", [sources, stem])
        found: dict[object, Any] = {}
        for each, cards in family:
            found[each] = True
            for place, name, packed in cards:
                found[sources[place], name] = packed
        if sources is self._sources:  # else a store was taken meanwhile, which is not in this
            self._link.keep(connection, generation, found)
        return found

    def _reply(self, method: str, params: list[object]) -> Any:
        if self.gone:  # another store's reader has waited for it already
            raise DaemonUnavailableError("resolverd is gone")
        return self._link.reply(method, params)


def _served(row: dict[str, Any]) -> Served:
    roots = tuple((path, device, inode) for path, device, inode in row["roots"])
    return Served(
        row["source"], row["package"], roots, row["whole"], row["refused"], tuple(row["first"])
    )


def _timeout(environ: Mapping[str, str]) -> float:
    text = environ.get("RESOLVERD_FALLBACK_TIMEOUT", "")
    try:
        value = float(text or DEFAULT_TIMEOUT)
    except ValueError:
        value = -1.0
    if 0 <= value <= 10**9:
        return value
    log.warning(
        "RESOLVERD_FALLBACK_TIMEOUT must be a number of seconds, not %r: %g is taken.",
        text,
        DEFAULT_TIMEOUT,
    )
    return DEFAULT_TIMEOUT
