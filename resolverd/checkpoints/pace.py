"""How many connections one file gets: more only as long as more bring more. Pure.

One connection is best where the disk or hashing is the limit, several where each of them is
throttled or far away. Nobody can know beforehand, so it is tried: the number doubles while the rate
grows with it, and goes back by one step when it does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_WINDOW = 0.25
_GAIN = 1.25
_HELD_UP = 0.25
_AGAIN = 10.0


@dataclass(frozen=True, slots=True)
class Pace:
    """What is known of one download.

    Attributes:
        most: Connections it may have.
        connections: Connections it is to have now.
        since: When it came to have them, in seconds.
        done: Bytes that were there then.
        held_up: Seconds that its threads had waited for this node, not for the origin, by then.
        before: Connections it had before that.
        rate: Bytes a second that those brought.
        rests: Until when nothing is tried.
    """

    most: int
    since: float
    connections: int = 1
    done: int = 0
    held_up: float = 0.0
    before: int = 1
    rate: float = 0.0
    rests: float = 0.0


def judged(pace: Pace, now: float, done: int, held_up: float) -> Pace:
    """What follows from how it went.

    Args:
        pace: What was known.
        now: Seconds.
        done: Bytes that have come.
        held_up: Seconds that the threads have waited for this node.

    Returns:
        The same pace while it is too early to tell.
    """
    seconds = now - pace.since
    if seconds < _WINDOW or now < pace.rests:
        return pace
    rate = (done - pace.done) / seconds
    idle = (held_up - pace.held_up) / (seconds * pace.connections)
    here = replace(pace, since=now, done=done, held_up=held_up, rate=rate)
    if pace.connections > pace.before and rate < pace.rate * _GAIN:
        return replace(here, connections=pace.before, rests=now + _AGAIN)
    if idle > _HELD_UP or pace.connections >= pace.most:
        return replace(here, before=pace.connections)
    wider = min(pace.connections * 2, pace.most)
    return replace(here, connections=wider, before=pace.connections)


def refused(pace: Pace, running: int) -> Pace:
    """What follows when the origin takes no more than ``running`` connections."""
    fewer = max(1, running)
    return replace(pace, most=fewer, connections=fewer, before=fewer)
