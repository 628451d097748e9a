"""The way to the daemon: idle connections, reconnecting, and the replies that still hold.

Contract: no lock, so nothing to deadlock on in threads, signal handlers or forked children: a call
takes a connection out of the idle list (an atomic operation), and puts it back only after it ended
well. A reply is kept for the generation that gave it, and counts only while that is the daemon's
current one and the daemon was seen alive within ``ALIVE_FOR``.
"""

from __future__ import annotations

import os
from time import monotonic, sleep

from resolverd_client.connection import Connection, connect, socket_paths
from resolverd_client.errors import (
    DaemonUnavailableError,
    ProtocolError,
    RequestError,
    ResolverdError,
    from_wire,
)
from resolverd_client.page import CLOSED, GENERATION
from resolverd_client.protocol import unpackb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")
    _Reply = tuple[Connection, list[Any], bytes]

ALIVE_FOR = 0.1
_MAX_IDLE = 8
_MAX_REPLIES = 65_536
_MOST_SECONDS = 10**9
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.2


def value(reply: bytes) -> Any:
    """Unpack the value that a kept reply, ``[1, id, nil, [generation, value]]``, carries."""
    return unpackb(reply)[3][1]


def seconds(value: object, what: str) -> float:
    """Check a length of time that the caller gave.

    Raises:
        RequestError: It is none.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= _MOST_SECONDS:  # type: ignore[operator]  # it is a number
        raise RequestError(f"{what} must be 0 to {_MOST_SECONDS} seconds, not {value!r:.40}")
    return float(value)  # type: ignore[arg-type]


class SilentError(Exception):
    """The daemon holds the connection, and does not answer; the cause is for the caller."""


class Replies:
    """Packed replies of one generation of one daemon."""

    __slots__ = ("generation", "instance", "packed", "until", "words")

    def __init__(self, connection: Connection, generation: int) -> None:
        self.words = connection.words or ()
        self.instance = connection.instance
        self.generation = generation
        self.until = 0.0
        self.packed: dict[object, Any] = {}


class Link:
    """Shares connections to one daemon between the threads of a process."""

    def __init__(self, socket_path: str | os.PathLike[str] | None, timeout: float) -> None:
        try:
            self.timeout = seconds(timeout, "timeout")
            self.paths = [os.fsdecode(socket_path)] if socket_path else socket_paths()
        except TypeError:
            raise RequestError(f"socket_path must be a path, not {socket_path!r:.80}") from None
        self.idle: list[Connection] = []
        self.replies: Replies | None = None

    def close(self) -> None:
        """Close what is idle; a later call connects again."""
        self.replies = None
        while self.idle:
            self.idle.pop().close()

    def kept(self, key: object) -> Any:
        """Give what is kept for ``key``, if somebody still vouches for it: see ``value``."""
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
        connection, (generation, result), data = self.reply(method, params)
        self.keep(connection, generation, {key: data})
        return result

    def reply(self, method: str, params: list[object]) -> _Reply:
        """Make a lookup.

        Returns:
            The connection that answered, the result (``[generation, value]``), the whole reply.
        """
        deadline = monotonic() + self.timeout
        reply = self._ask_idle(method, params, deadline)
        if reply is None:
            reply = self.run(lambda each: _judged(each, method, params, deadline), deadline)
        return reply

    def _ask_idle(self, method: str, params: list[object], deadline: float) -> _Reply | None:
        """Do as ``run`` does, in the one case that must be fast: a connection is there and good."""
        try:
            connection = self.idle.pop()
        except IndexError:
            return None
        try:
            message, data = connection.lookup(method, params, deadline)
        except OSError:
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise
        self.idle.append(connection)
        result = message[3]
        if type(result) is not list or len(result) != 2:
            return None
        return connection, result, data

    def keep(self, connection: Connection, generation: int, entries: dict[object, Any]) -> None:
        """Keep what was answered, for as long as its generation lasts: what ``kept`` finds.

        Args:
            connection: Who answered.
            generation: Of the answer.
            entries: What to keep, by key; never changed afterwards.
        """
        if connection.words is None:
            return
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
        replies.packed.update(entries)

    @property
    def generation(self) -> int | None:
        """The generation that is served at this moment; None when no page tells it."""
        idle = self.idle[-1:]
        words = idle[0].words if idle else None
        return None if words is None else words[GENERATION]

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
            stale, began, connection = bool(self.idle), monotonic(), None
            try:
                connection = self._take(limit)
                result = work(connection)
            except BaseException as error:  # noqa: BLE001 (_settle raises most of them again)
                failure = self._settle(connection, error)
            else:
                if not keep:
                    self.give_back(connection)
                return result
            now = monotonic()
            if connection is not None and deadline is None and now - began > self.timeout:
                limit, pause = now + self.timeout, _FIRST_PAUSE
            if now >= limit:
                raise self._unavailable(failure) from failure
            if connection is None or not stale:
                sleep(min(pause, limit - now))
                pause = min(2 * pause, _LONGEST_PAUSE)

    def probe(self) -> None:
        """Make sure that the daemon answers, on another connection, within half of the timeout.

        Raises:
            SilentError: It does not.
        """
        deadline = monotonic() + self.timeout / 2
        try:
            self.run(lambda each: each.lookup("get", [""], deadline), deadline)
        except DaemonUnavailableError as error:
            raise SilentError from error

    def _settle(self, connection: Connection | None, error: BaseException) -> Exception:
        """Keep the connection if its daemon answered, else drop it.

        Returns:
            The error, if another attempt may mend it; any other is raised again.
        """
        answered = isinstance(error, ResolverdError) and not isinstance(
            error, (ProtocolError, DaemonUnavailableError)
        )
        if connection is not None:
            if answered:
                self.give_back(connection)
            else:
                connection.close()
        hopeless = connection is None and isinstance(error, DaemonUnavailableError)
        if hopeless or not isinstance(error, OSError):
            raise error
        return error

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


def _judged(connection: Connection, method: str, params: list[object], deadline: float) -> _Reply:
    message, data = connection.lookup(method, params, deadline)
    if message[2] is not None:
        raise from_wire(message[2])
    result = message[3]
    if type(result) is not list or len(result) != 2:
        raise ProtocolError(f"{method} got a result of no known form: {result!r:.200}")
    return connection, result, data
