"""A stop ends, whatever does not answer."""

from __future__ import annotations

import logging
import os
import threading

log = logging.getLogger(__name__)

STOP_SECONDS = 1.5
"""What a stop may take: what is orderly takes a fraction of it."""


def end_within(seconds: float) -> None:
    """See to it that the process ends, even where a disk or a mount does not answer any more.

    What is on disk is whole at every moment, so there is nothing that this could cut. A socket file
    of the daemon's own may stay, for the next daemon to replace.

    Args:
        seconds: From now.
    """

    def end() -> None:
        log.warning("something did not end within %g s: ending without it", seconds)
        logging.shutdown()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
