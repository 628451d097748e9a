"""The way to the daemon: idle connections, reconnecting, and the replies that still hold.

Contract: no lock, so nothing to deadlock on in threads, signal handlers or forked children: a call
takes a connection out of the idle list (an atomic operation), and puts it back only after it ended
well. A reply is kept for the generation that gave it, and counts only while that is the daemon's
current one and the daemon was seen alive within ``ALIVE_FOR``.
"""

from __future__ import annotations

from time import monotonic, sleep

from resolverd_client import protocol
from resolverd_client.connection import Connection, connect, socket_paths
from resolverd_client.errors import (
    DaemonUnavailableError,
    ProtocolError,
    ResolverdError,
    from_wire,
)
from resolverd_client.page import CLOSED, GENERATION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")

ALIVE_FOR = 0.1
_MAX_IDLE = 8
_MAX_REPLIES = 65_536
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.2


class Replies:
    """Packed replies of one generation of one daemon."""

    __slots__ = ("generation", "instance", "packed", "until", "words")

    def __init__(self, connection: Connection, generation: int) -> None:
        self.words = connection.words or ()
        self.instance = connection.instance
        self.generation = generation
        self.until = 0.0
        self.packed: dict[object, bytes] = {}


class Link:
    """Shares connections to one daemon between the threads of a process."""

    def __init__(self, socket_path: str | None, timeout: float) -> None:
        self.timeout = timeout
        self.paths = [socket_path] if socket_path else socket_paths()
        self.idle: list[Connection] = []
        self.replies: Replies | None = None

    def close(self) -> None:
        """Close what is idle; a later call connects again."""
        self.replies = None
        while self.idle:
            self.idle.pop().close()

    def kept(self, key: object) -> bytes | None:
        """Give the packed reply for ``key``, if somebody still vouches for it."""
        replies = self.replies
        if replies is None:
            return None
        words = replies.words
        if words[GENERATION] != replies.generation or words[CLOSED]:
            self.replies = None
            return None
        if monotonic() >= replies.until and not self._still_alive(replies):
            return None
        return replies.packed.get(key)

    def _still_alive(self, replies: Replies) -> bool:
        try:
            connection = self.idle.pop()
        except IndexError:
            return False
        if connection.instance != replies.instance or not connection.alive():
            connection.close()
            return False
        self.give_back(connection)
        replies.until = monotonic() + ALIVE_FOR
        return True

    def ask(self, key: object, method: str, params: list[object]) -> Any:
        """Make a lookup, and keep its reply.

        Args:
            key: What ``kept`` will find it by.
            method: A method whose result is ``[generation, value]``.
            params: Its parameters.

        Returns:
            The value.
        """
        deadline = monotonic() + self.timeout

        def lookup(connection: Connection) -> Any:
            message, data = connection.lookup(method, params, deadline)
            if message[2] is not None:
                raise from_wire(message[2])
            if type(message[3]) is not list or len(message[3]) != 2:
                raise ProtocolError(f"{method} got a result of no known form: {message[3]!r:.200}")
            if connection.words is not None:
                self._keep(connection, key, message[3][0], data)
            return message[3][1]

        return self.run(lookup, deadline)

    def _keep(self, connection: Connection, key: object, generation: int, data: bytes) -> None:
        replies = self.replies
        if (
            replies is None
            or replies.generation != generation
            or replies.instance != connection.instance
            or len(replies.packed) >= _MAX_REPLIES
        ):
            replies = Replies(connection, generation)
            self.replies = replies
        replies.until = monotonic() + ALIVE_FOR
        # Response head (4 bytes: the ids stay below 128), array head, generation, value.
        replies.packed[key] = data[5 + protocol.uint_size(generation) :]

    def run(
        self, work: Callable[[Connection], T], deadline: float | None, *, keep: bool = False
    ) -> T:
        """Do something with a connection, again with another one when it breaks.

        Args:
            work: What to do; it must bear repetition.
            deadline: When to give up; None waits for the daemon's answer as long as it takes, and
                for the daemon itself for one timeout.
            keep: Whether ``work`` keeps the connection to itself.

        Raises:
            DaemonUnavailableError: The daemon is not there, or silent.
        """
        pause = _FIRST_PAUSE
        limit = monotonic() + self.timeout if deadline is None else deadline
        while True:
            connection: Connection | None = None
            stale = bool(self.idle)
            began = monotonic()
            try:
                connection = self._take(limit)
                result = work(connection)
            except (OSError, DaemonUnavailableError) as error:
                if isinstance(error, DaemonUnavailableError) and connection is None:
                    raise
                failure: Exception = error
            except BaseException as error:
                if connection is not None:
                    self._settle(connection, error)
                raise
            else:
                if not keep:
                    self.give_back(connection)
                return result
            now = monotonic()
            if connection is not None:
                connection.close()
                if deadline is None and now - began > self.timeout:
                    limit, pause = now + self.timeout, _FIRST_PAUSE
                if stale and now < limit:
                    continue
            if now + pause >= limit:
                raise self._unavailable(failure) from failure
            sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _settle(self, connection: Connection, error: BaseException) -> None:
        """Keep a connection whose daemon answered, if not as hoped; drop any other."""
        if isinstance(error, ResolverdError) and not isinstance(error, ProtocolError):
            self.give_back(connection)
        else:
            connection.close()

    def _take(self, deadline: float) -> Connection:
        try:
            return self.idle.pop()
        except IndexError:
            connection = connect(self.paths, deadline)
            # From now on this daemon or none: another one may serve other cards.
            self.paths = [connection.path]
            return connection

    def give_back(self, connection: Connection) -> None:
        """Let another call have the connection."""
        if len(self.idle) < _MAX_IDLE:
            self.idle.append(connection)
        else:
            connection.close()

    def _unavailable(self, cause: Exception) -> DaemonUnavailableError:
        return DaemonUnavailableError(
            f"no answer from resolverd within {self.timeout:g} s ({cause}); is it running? "
            f"Start it with `resolverd serve`, or name its socket in RESOLVERD_SOCKET"
        )
