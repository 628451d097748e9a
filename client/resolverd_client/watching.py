"""Card changes as they are published, across restarts of the daemon.

Contract: an event is given for every change after the watch began. What changed while the daemon
was away is told in one event once it is back; a card that had changed shortly before may then be
told once more.
"""

from __future__ import annotations

from collections import deque
from time import monotonic

from resolverd_client.errors import DaemonUnavailableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from resolverd_client.connection import Connection
    from resolverd_client.link import Link


class Watch:
    """An endless iterator of events, on a connection of its own."""

    def __init__(self, link: Link, glob: str | None) -> None:
        self._link = link
        self._glob = glob
        self._events: deque[dict[str, Any]] = deque()
        self._touched: set[str] = set()
        self._connection: Connection | None
        self._connection, _, self._digests = self._subscribe()

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> dict[str, Any]:
        """Wait for the next event."""
        while not self._events:
            if self._connection is None:
                self._catch_up()
                continue
            try:
                self._take(*self._connection.notification())
            except (OSError, DaemonUnavailableError):
                self.close()
            except BaseException:
                self.close()
                raise
        return self._events.popleft()

    def close(self) -> None:
        """End the subscription; the next event would begin it anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _subscribe(self) -> tuple[Connection, int, dict[str, bytes]]:
        deadline = monotonic() + self._link.timeout

        def work(connection: Connection) -> tuple[Connection, int, dict[str, bytes]]:
            connection.call("watch", [self._glob], deadline, self._take)
            (generation, digests), _ = connection.call(
                "digests", [self._glob], deadline, self._take
            )
            return connection, generation, digests

        return self._link.run(work, deadline, keep=True)

    def _take(self, method: str, params: list[Any]) -> None:
        if method == "event":
            event = params[1]
            for names in (event["added"], event["changed"], event["removed"]):
                self._touched.update(names)
            self._events.append(event)

    def _catch_up(self) -> None:
        """Subscribe again, and tell what is different from what this watch knew."""
        before, touched = self._digests, self._touched
        self._touched = set()
        self._connection, generation, after = self._subscribe()
        self._digests = after
        known = before.keys() | touched
        event = {
            "generation": generation,
            "added": sorted(after.keys() - known),
            "changed": sorted(
                name
                for name in after.keys() & known
                if name in touched or before[name] != after[name]
            ),
            "removed": sorted(known - after.keys()),
            "stale": [],
        }
        if event["added"] or event["changed"] or event["removed"]:
            self._events.appendleft(event)
