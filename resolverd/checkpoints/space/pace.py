"""How many connections one file gets: more while they wait for the origin, fewer when not. Pure.

One connection is best where the disk or hashing is the limit, several where each of them is
throttled or far away. What more of them bring can't be measured in the time there is: many origins
send fast at first and throttle then. What threads wait for can.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

_WINDOW = 0.2
_MORE_ABOVE = 0.6
_FEWER_BELOW = 0.25


@dataclass(frozen=True, slots=True)
class Pace:
    """What is known of one download.

    Attributes:
        most: Connections it may have.
        since: When it was judged last, in seconds.
        connections: Connections it is to have now.
        waited: Seconds that its threads had waited for the origin, in all, by then.
    """

    most: int
    since: float
    connections: int = 1
    waited: float = 0.0


def judged(pace: Pace, now: float, waited: float) -> Pace:
    """What follows from how it went.

    Args:
        pace: What was known.
        now: Seconds.
        waited: Seconds that the threads have waited for the origin, in all.

    Returns:
        The same pace while it is too early to tell.
    """
    seconds = now - pace.since
    if seconds < _WINDOW:
        return pace
    part = (waited - pace.waited) / (seconds * pace.connections)
    connections = pace.connections
    if part > _MORE_ABOVE:
        connections = min(connections * 2, pace.most)
    elif part < _FEWER_BELOW:
        connections = max(connections // 2, 1)
    return replace(pace, since=now, waited=waited, connections=connections)


def refused(pace: Pace, running: int) -> Pace:
    """What follows when the origin takes no more than ``running`` connections."""
    fewer = max(1, running)
    return replace(pace, most=fewer, connections=fewer)
