"""What one client may cost the daemon."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds; beyond one, a request or a connection is refused with the reason.

    Attributes:
        connections: Open connections in all.
        connections_per_uid: Open connections of one user.
        pending: Requests of one connection that wait for their handlers.
        buffered: Bytes that wait for one client to read them, beyond one message.
        stalled: Seconds for which a client may read nothing of what waits for it.
        hello: Seconds for a new connection to say hello.
    """

    connections: int = 8192
    connections_per_uid: int = 4096
    pending: int = 128
    buffered: int = 8 << 20
    stalled: float = 30.0
    hello: float = 10.0
