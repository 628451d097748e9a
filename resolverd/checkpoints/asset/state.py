"""The life of a file, as a table.

    absent -> partial -> complete -> verified -> published -> evicted
                 ^           |                       |
                 +- changed  +---> quarantined <-----+ rotted

Only ``published`` is ever shown to a client. ``verified`` is nowhere written down, so that after a
crash a file is verified again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """Where a file is in its life."""

    ABSENT = "absent"
    PARTIAL = "partial"
    COMPLETE = "complete"
    VERIFIED = "verified"
    PUBLISHED = "published"
    QUARANTINED = "quarantined"
    EVICTED = "evicted"


class Event(Enum):
    """What can happen to it."""

    BEGUN = "begun"
    CHANGED = "changed"
    FILLED = "filled"
    MATCHED = "matched"
    MISMATCHED = "mismatched"
    RELEASED = "released"
    ROTTED = "rotted"
    EVICTED = "evicted"
    REMOVED = "removed"
    CRASHED = "crashed"


class ImpossibleError(Exception):
    """The engine did something out of order: a bug, not a fault of the world."""


TABLE: dict[State, dict[Event, State]] = {
    State.ABSENT: {Event.BEGUN: State.PARTIAL, Event.CRASHED: State.ABSENT},
    State.PARTIAL: {
        Event.CHANGED: State.ABSENT,
        Event.FILLED: State.COMPLETE,
        Event.REMOVED: State.ABSENT,
        Event.CRASHED: State.PARTIAL,
    },
    State.COMPLETE: {
        Event.MATCHED: State.VERIFIED,
        Event.MISMATCHED: State.QUARANTINED,
        Event.CHANGED: State.ABSENT,
        Event.REMOVED: State.ABSENT,
        Event.CRASHED: State.COMPLETE,
    },
    State.VERIFIED: {
        Event.RELEASED: State.PUBLISHED,
        Event.MISMATCHED: State.QUARANTINED,  # an archive or a structure that does not hold
        Event.CRASHED: State.COMPLETE,
    },
    State.PUBLISHED: {
        Event.ROTTED: State.QUARANTINED,
        Event.EVICTED: State.EVICTED,
        Event.CRASHED: State.PUBLISHED,
    },
    State.EVICTED: {
        Event.BEGUN: State.PARTIAL,
        Event.REMOVED: State.ABSENT,
        Event.CRASHED: State.ABSENT,  # what is left of it is swept
    },
    State.QUARANTINED: {
        Event.BEGUN: State.PARTIAL,
        Event.REMOVED: State.ABSENT,
        Event.CRASHED: State.QUARANTINED,
    },
}


def after(state: State, event: Event) -> State:
    """The state that follows.

    Raises:
        ImpossibleError: When ``event`` can't happen in ``state``.
    """
    try:
        return TABLE[state][event]
    except KeyError:
        raise ImpossibleError(
            f"{event.value} can't happen to a file that is {state.value}"
        ) from None


@dataclass(slots=True)
class Life:
    """One file's way through the table."""

    state: State = State.ABSENT

    def on(self, event: Event) -> None:
        """Move on, or raise :class:`ImpossibleError`."""
        self.state = after(self.state, event)
