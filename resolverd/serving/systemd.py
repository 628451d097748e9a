"""What systemd is told of the daemon, and how: see sd_notify(3).

Nothing here blocks: what the manager can't take now is sent again later, and a manager that is gone
costs one line in the log.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping

import anyio

log = logging.getLogger(__name__)

_PAUSE = 2.0
_AGAIN = 0.2
_MORE_TIME = 20.0
_FAILED_PAUSE = 2.0  # a wrong configuration must not keep a core busy with starts
_MOST_WAITING = 64


class Notifier:
    """Tells the service manager how the daemon fares; silent when there is none.

    Args:
        address: Its datagram socket: a path, or ``@`` and an abstract name; None when there is no
            manager.
        watchdog: Seconds without a ping after which it ends the daemon; None when it does not.
    """

    def __init__(self, address: str | None, watchdog: float | None = None) -> None:
        self.watchdog = watchdog
        self._address = address and address.replace("@", "\0", 1)
        self._waiting: deque[bytes] = deque(maxlen=_MOST_WAITING)
        self._status = ""

    @classmethod
    def taken(cls, environ: MutableMapping[str, str]) -> Notifier:
        """Take what the manager passes out of the environment, so that no child uses it."""
        address = environ.pop("NOTIFY_SOCKET", "")
        limit, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        mine = pid in {"", str(os.getpid())} and limit.isdecimal() and int(limit) > 0
        known = address.startswith(("/", "@"))
        return cls(address if known else None, int(limit) / 1e6 if known and mine else None)

    def ready(self) -> None:
        """The daemon serves (again, after a reload)."""
        self._say("READY=1")

    def reloading(self) -> None:
        """The configuration is being read; ``ready`` follows, also when nothing came of it."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._say(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def failed(self, reason: str) -> None:
        """The daemon can't start: say why, and wait a little before the next try can begin."""
        if self._address is not None:
            self._say(f"STATUS=can't start: {reason.splitlines()[0]}")
            time.sleep(_FAILED_PAUSE)

    def stopping(self) -> None:
        """The daemon ends now."""
        self._say("STOPPING=1\nSTATUS=stopping")

    def status(self, line: str) -> None:
        """Show a line to people, if it is another than before."""
        if line != self._status:
            self._status = line
            self._say(f"STATUS={line}")

    async def starting(self) -> None:
        """Ask for more time for as long as the start takes and the loop turns; until cancelled."""
        self.status("reading the stores")
        while True:
            self._say(f"EXTEND_TIMEOUT_USEC={int(_MORE_TIME * 1e6)}")
            await anyio.sleep(_PAUSE)

    async def run(self, line: Callable[[], str], serves: Callable[[], Awaitable[None]]) -> None:
        """Keep the status line, and ping after each proof that the daemon serves; for ever.

        Args:
            line: Makes the status line.
            serves: Returns when the daemon serves; raises or hangs when it does not.
        """
        if self._address is None:
            return
        interval = self.watchdog / 4 if self.watchdog else _PAUSE
        while True:
            self.status(line())
            if self.watchdog is None or await self._proven(serves, self.watchdog / 2):
                self._ping()
                await anyio.sleep(min(interval, _PAUSE))
            else:
                await anyio.sleep(min(interval, _AGAIN))

    async def _proven(self, serves: Callable[[], Awaitable[None]], patience: float) -> bool:
        try:
            with anyio.fail_after(patience):
                await serves()
        except (OSError, EOFError) as error:
            reason = str(error) or f"nothing within {patience:g} s"
            log.error("no answer to a look-up of the daemon's own: %s", reason)  # noqa: TRY400
            return False
        return True

    def _ping(self) -> None:
        if self.watchdog is not None:
            self._say("WATCHDOG=1")
        else:
            self._flush()

    def _say(self, message: str) -> None:
        if self._address is not None:
            self._waiting.append(message.encode("utf-8", "replace"))
            self._flush()

    def _flush(self) -> None:
        """Send what waits, in order, as far as the manager takes it."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.setblocking(False)
                while self._waiting:
                    manager.sendto(self._waiting[0], self._address or "")
                    self._waiting.popleft()
        except BlockingIOError:
            pass
        except OSError as error:
            log.warning("systemd can't be told how the daemon fares: %s", error)
            self._waiting.clear()
