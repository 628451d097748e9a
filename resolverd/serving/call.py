"""What a handler is given and what it may return.

Contract: a handler runs in a task of its own, which is cancelled when its client is gone. What it
raises becomes an error of the wire: a ``resolverd_client`` error by its code, message and details,
anything else as ``internal``, with the traceback in the log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end, as the kernel vouches for it.

    Attributes:
        pid: Its number.
        uid: Its user, when it connected.
        gid: Its group.
        groups: Its further groups.
    """

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One request being answered.

    Attributes:
        peer: Who asks.
        id: The request's id, as ``progress`` notifications repeat it.
        method: The method asked for.
        notify: Sends a notification on the same connection; does nothing once that is closed.
        on_close: Has a function called once the connection ends (at once, if it has ended).
    """

    peer: Peer
    id: int
    method: str
    notify: Callable[[str, Sequence[object]], None]
    on_close: Callable[[Callable[[], None]], None]


@dataclass(frozen=True, slots=True)
class Reply:
    """A result that needs more than its value.

    Attributes:
        value: The result.
        fds: Descriptors to send along; the server closes them once sent, or when it can't.
        packed: The value as already packed bytes, in place of ``value``.
    """

    value: object = None
    fds: Sequence[int] = ()
    packed: bytes | None = None


Handler = Callable[..., Awaitable[object]]
"""``async (call, *params) -> value or Reply``; its signature says which parameters it takes."""
