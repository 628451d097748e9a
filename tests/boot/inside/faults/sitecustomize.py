"""Makes a daemon break when it is told to: imported by every Python that has this on its path."""

from __future__ import annotations

import signal
import time


def hang_the_loop(*_: object) -> None:
    time.sleep(3600)


def answer_nobody(*_: object) -> None:
    from resolverd.serving.session import Session  # noqa: PLC0415 -- every Python runs this

    Session.data_received = lambda self, data: None  # type: ignore[method-assign]


signal.signal(signal.SIGUSR1, hang_the_loop)
signal.signal(signal.SIGUSR2, answer_nobody)
