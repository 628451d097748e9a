"""Who may download now. Pure.

Large downloads never take every slot, so that a small file gets through while they run. Whoever has
waited longest goes first, among those that may go at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from resolverd.checkpoints.limits import Limits


@dataclass(frozen=True, slots=True)
class Turn:
    """One download.

    Attributes:
        number: Its own.
        host: Where it comes from.
        large: Whether it is known to be.
    """

    number: int
    host: str
    large: bool = False


@dataclass(frozen=True, slots=True)
class Slots:
    """All downloads, in the order in which they came.

    Attributes:
        running: Those that have a slot.
        waiting: Those that wait for one.
    """

    running: tuple[Turn, ...] = ()
    waiting: tuple[Turn, ...] = ()

    def has(self, number: int) -> bool:
        """Whether a download has a slot."""
        return any(turn.number == number for turn in self.running)


def large_most(slots: int) -> int:
    """How many of some slots large downloads may have: all but a quarter, and but one at least."""
    return max(1, slots - max(1, slots // 4))


def joined(slots: Slots, turn: Turn, limits: Limits) -> Slots:
    """With one more download, which waits where it has to."""
    return advanced(replace(slots, waiting=(*slots.waiting, turn)), limits)


def left(slots: Slots, number: int, limits: Limits) -> Slots:
    """Without a download, wherever it was."""
    return advanced(Slots(_but(slots.running, number), _but(slots.waiting, number)), limits)


def grown(slots: Slots, number: int, limits: Limits) -> Slots:
    """With a running download known to be large; it waits where these have all of theirs."""
    (turn,) = (each for each in slots.running if each.number == number)
    others = replace(slots, running=_but(slots.running, number))
    large = replace(turn, large=True)
    if _fits(others.running, large, limits):
        return replace(others, running=(*others.running, large))
    return joined(others, large, limits)


def advanced(slots: Slots, limits: Limits) -> Slots:
    """With a slot for everyone who may have one."""
    running, waiting = slots.running, []
    for turn in slots.waiting:
        if _fits(running, turn, limits):
            running = (*running, turn)
        else:
            waiting.append(turn)
    return Slots(running, tuple(waiting))


def _fits(running: tuple[Turn, ...], turn: Turn, limits: Limits) -> bool:
    near = tuple(each for each in running if each.host == turn.host)
    bounds = ((running, limits.concurrency), (near, limits.host_concurrency))
    return all(_below(among, turn, most) for among, most in bounds if most)


def _below(among: Iterable[Turn], turn: Turn, most: int) -> bool:
    sizes = [each.large for each in among]
    return len(sizes) < most and (not turn.large or sum(sizes) < large_most(most))


def _but(turns: tuple[Turn, ...], number: int) -> tuple[Turn, ...]:
    return tuple(turn for turn in turns if turn.number != number)
