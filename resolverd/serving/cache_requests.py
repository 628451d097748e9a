"""Requests about the cache as a whole: list, pin, unpin, remove, collect.

Everyone may look; what changes the cache is for root, the daemon's own user, and a group that the
configuration names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from resolverd_client.errors import AssetNotFoundError, RequestError

from resolverd.serving.arguments import check, known, maybe
from resolverd.serving.call import Call, Peer
from resolverd.serving.targets import Asset

MOST_BYTES = 1 << 62


@dataclass(frozen=True, slots=True)
class Named:
    """What a client means: an asset, or one object.

    Attributes:
        what: As the client called it, without secrets.
        asset: The asset; None when it gave a key.
        key: The object's key; None when it gave a name or a URI.
    """

    what: str
    asset: Asset | None = None
    key: str | None = None


class Keeper(Protocol):
    """What these requests need of the cache; raises the client's errors."""

    async def everything(self) -> list[dict[str, Any]]:
        """Tell of everything that takes room."""

    async def pin(self, named: Sequence[Named]) -> list[dict[str, Any]]:
        """Pin all of them, durably."""

    async def unpin(self, named: Sequence[Named]) -> list[dict[str, Any]]:
        """Unpin all of them, durably."""

    async def remove(self, named: Sequence[Named], *, force: bool) -> list[dict[str, Any]]:
        """Remove all of them that nothing holds."""

    async def collect(self, to: int | None, *, dry_run: bool) -> list[dict[str, Any]]:
        """Remove what nobody needs, or the least recently used down to a number of bytes."""

    def shown(self, uri: str) -> str:
        """Give a URI without what may be secret in it."""


@dataclass(frozen=True, slots=True)
class Admins:
    """Who may change the cache.

    Attributes:
        uids: Users.
        gid: Number of the configured group, if any.
        group: Its name.
    """

    uids: frozenset[int]
    gid: int | None = None
    group: str | None = None

    def check(self, peer: Peer) -> None:
        """Refuse who may not.

        Raises:
            RequestError: ``denied``, with who may, and the remedy.
        """
        if peer.uid in self.uids or (self.gid is not None and self.gid in {peer.gid, *peer.groups}):
            return
        users = ", ".join(f"uid {uid}" for uid in sorted(self.uids))
        remedy = (
            f"be a member of the group {self.group}"
            if self.group
            else "have cache.admin_group name a group that you are in"
        )
        raise RequestError(
            f"uid {peer.uid} may not change the cache: that is for {users}. Ask one of them, or "
            f"{remedy}.",
            code="denied",
        )


class CacheRequests:
    """Answers requests about the cache.

    Args:
        keeper: The cache.
        read: Works out what a target map means; raises errors of the wire.
        admins: Gives who may change the cache, as of now.
    """

    def __init__(
        self,
        keeper: Keeper,
        read: Callable[[object], Sequence[Asset]],
        admins: Callable[[], Admins],
    ) -> None:
        self._keeper = keeper
        self._read = read
        self._admins = admins

    async def everything(self, call: Call) -> object:
        """Answer everything that takes room."""
        return await self._keeper.everything()

    async def pin(self, call: Call, targets: object) -> object:
        """Have objects stay, whatever room is needed."""
        self._admins().check(call.peer)
        return await self._keeper.pin(self._named(targets))

    async def unpin(self, call: Call, targets: object) -> object:
        """Have objects give way again, where room is needed."""
        self._admins().check(call.peer)
        return await self._keeper.unpin(self._named(targets))

    async def remove(self, call: Call, targets: object, options: object = None) -> object:
        """Remove objects, or say what holds them."""
        self._admins().check(call.peer)
        asked = maybe(options, dict, "options") or {}
        known(asked, ("force",), "cache_remove")
        force = check(asked.get("force", False), bool, "force")
        return await self._keeper.remove(self._named(targets), force=force)

    async def collect(self, call: Call, options: object = None) -> object:
        """Clean up; answer what was removed, or would be."""
        asked = maybe(options, dict, "options") or {}
        known(asked, ("to", "dry_run"), "cache_collect")
        dry_run = check(asked.get("dry_run", False), bool, "dry_run")
        if not dry_run:
            self._admins().check(call.peer)
        to = maybe(asked.get("to"), int, "to")
        if to is not None and not 0 <= to <= MOST_BYTES:
            raise RequestError(f"to must be 0 to {MOST_BYTES} bytes, not {to}.")
        return await self._keeper.collect(to, dry_run=dry_run)

    def _named(self, targets: object) -> list[Named]:
        wanted = check(targets, list, "targets")
        return [named for target in wanted for named in self._meant(check(target, dict, "target"))]

    def _meant(self, target: Mapping[str, object]) -> list[Named]:
        if "key" in target:
            known(target, ("key",), "a target with a key")
            key = check(target["key"], str, "key")
            if not key or "/" in key or "\0" in key or key.startswith("."):
                raise AssetNotFoundError(f"the cache has no object {key!r:.80}.")
            return [Named(key, key=key)]
        assets = self._read(target)
        return [Named(self._keeper.shown(asset.name or asset.uri), asset=asset) for asset in assets]
