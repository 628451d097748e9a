"""Decides what gives way when room is needed; performs nothing.

First what nobody can be given any more, the oldest first (quarantined files, then versions that
another has superseded), then the least recently used: published objects, and downloads that nobody
waits for. Never what is leased, pinned, or being worked on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["object", "partial", "quarantine"]

BLOCK = 4096
"""What a file occupies is counted in whole blocks of this size, as most file systems give them."""


def occupied(size: int) -> int:
    """Bytes that a file of ``size`` bytes takes."""
    return -(-size // BLOCK) * BLOCK


@dataclass(frozen=True, slots=True)
class Item:
    """One thing in the cache that takes room.

    Attributes:
        kind: A published object, an unfinished download, or a quarantined file.
        name: The object's key, the download's asset, the quarantine's folder.
        asset: Whose it is.
        size: Bytes it takes.
        used: When it was last asked for, in seconds since the epoch.
        current: Whether the asset's link leads to it.
        leased: Whether a process holds a lease on it.
        pinned: Whether an operator has pinned it.
        busy: Whether it is being fetched, verified or published.
    """

    kind: Kind
    name: str
    asset: str
    size: int
    used: float
    current: bool = True
    leased: bool = False
    pinned: bool = False
    busy: bool = False

    @property
    def held(self) -> str | None:
        """Why it may not give way; None when it may."""
        if self.leased:
            return "a process holds a lease on it"
        if self.busy:
            return "it is being fetched, verified or published"
        return "it is pinned" if self.pinned else None

    @property
    def removable(self) -> bool:
        """Whether it may give way."""
        return self.held is None


def order(items: Iterable[Item]) -> tuple[Item, ...]:
    """What may give way, in the order in which it does."""
    return tuple(
        sorted(
            (item for item in items if item.removable),
            key=lambda item: (item.kind != "quarantine", item.current, item.used, item.name),
        )
    )


def choose(items: Iterable[Item], short: int) -> tuple[Item, ...] | None:
    """Choose what gives way so that ``short`` more bytes are free.

    Returns:
        As few items as the order allows; None when all of them together are not enough, so that
        nothing is lost for a download that can't have its room anyway.
    """
    chosen = []
    for item in order(items):
        if short <= 0:
            break
        chosen.append(item)
        short -= item.size
    return tuple(chosen) if short <= 0 else None


def collect(items: Sequence[Item], to: int | None, quota: int | None) -> tuple[Item, ...]:
    """Choose what an operator's clean-up removes, in order.

    Args:
        items: All there is.
        to: Bytes to come down to, by the order above. None: all that nobody needs (quarantined
            files, superseded versions, downloads that nobody waits for), and what is over the
            quota.
        quota: ``cache.max_bytes``; None without one.
    """
    bound = quota if to is None else to
    used, chosen = sum(item.size for item in items), []
    for item in order(items):
        needless = to is None and (item.kind != "object" or not item.current)
        if needless or (bound is not None and used > bound):
            chosen.append(item)
            used -= item.size
    return tuple(chosen)


@dataclass(frozen=True, slots=True)
class Totals:
    """What the cache's bytes are there for; each item counts once, at the first that holds."""

    used: int
    leased: int
    pinned: int
    busy: int
    quarantine: int

    @property
    def removable(self) -> int:
        """Bytes that may give way."""
        return self.used - self.leased - self.pinned - self.busy


def totals(items: Sequence[Item]) -> Totals:
    """Add up."""
    leased = [item for item in items if item.leased]
    pinned = [item for item in items if item.pinned and not item.leased]
    busy = [item for item in items if item.busy and not (item.leased or item.pinned)]
    return Totals(
        used=sum(item.size for item in items),
        leased=sum(item.size for item in leased),
        pinned=sum(item.size for item in pinned),
        busy=sum(item.size for item in busy),
        quarantine=sum(item.size for item in items if item.kind == "quarantine"),
    )


@dataclass(frozen=True, slots=True)
class Need:
    """Room that one download asks for.

    Attributes:
        total: Bytes that it takes in all, what it has already included.
        others: Bytes that the rest of the cache takes.
        free: Bytes that are free on the file system, less what running downloads will still take.
        more: Bytes that this one will still take of them.
        quota: ``cache.max_bytes``; None without one.
        keep: ``cache.min_free_bytes``.
    """

    total: int
    others: int
    free: int
    more: int
    quota: int | None
    keep: int

    @property
    def short(self) -> int:
        """Bytes that must give way; none when it is not above 0."""
        over = 0 if self.quota is None else self.others + self.total - self.quota
        return max(over, self.more + self.keep - self.free if self.more > 0 else 0)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no room.

    Attributes:
        text: What is needed, what holds it, and what can be done.
        may_pass: Whether there will be room once the downloads under way have ended.
    """

    text: str
    may_pass: bool


def refusal(root: str, need: Need, items: Sequence[Item]) -> Refusal:
    """Say why there is no room, what holds it, and what can be done."""
    found = totals(items)
    if need.quota is not None and need.total > need.quota:
        return Refusal(
            f"{root}: no room: {need.total:,} bytes are needed, more than cache.max_bytes "
            f"({need.quota:,}) in all. Raise cache.max_bytes.",
            may_pass=False,
        )
    quota = "" if need.quota is None else f", {need.quota:,} allowed (cache.max_bytes)"
    remedies = [
        "end the jobs that hold leases" if found.leased else "",
        "unpin some (resolverctl cache unpin)" if found.pinned else "",
        "wait for the downloads under way" if found.busy else "",
        "set cache.dir to a larger file system, or raise cache.max_bytes"
        if need.quota is not None
        else "free some, set cache.dir to a larger file system, or lower cache.min_free_bytes",
    ]
    advice = "; ".join(filter(None, remedies))
    return Refusal(
        f"{root}: no room: {need.total:,} bytes are needed; {need.others:,} are in use{quota}; "
        f"{need.free:,} are free on the file system, of which {need.keep:,} must stay so "
        f"(cache.min_free_bytes). Of what is in use, {found.leased:,} bytes are leased, "
        f"{found.pinned:,} pinned, {found.busy:,} being fetched or verified, and only "
        f"{found.removable:,} may give way. {advice[0].upper()}{advice[1:]}.",
        may_pass=found.busy > 0 and found.removable + found.busy >= need.short,
    )
