"""What the log says of downloads: when one begins and ends, and a fault once while it lasts."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

import anyio

from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.results import Published
from resolverd.errors import ResolverdError
from resolverd.journal import event

log = logging.getLogger(__name__)

_MOST_KEPT = 1000


class Telling:
    """Logs downloads.

    Args:
        clock: Seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._faults: dict[str, str] = {}

    async def of(self, wanted: Wanted, download: Awaitable[Published]) -> Published:
        """Await a download, and log it; one that fails as it did before is no news."""
        uri, again, began = wanted.shown, wanted.asset in self._faults, self._clock()
        level = logging.DEBUG if again else logging.INFO
        log.log(level, "downloading %s", uri, extra=event("download", uri=uri))
        try:
            published = await download
        except ResolverdError as error:
            self._failed(wanted, str(error))
            raise
        except anyio.get_cancelled_exc_class():
            extra = event("download-left", uri=uri)
            log.log(level, "the download of %s is left: nobody waits for it", uri, extra=extra)
            raise
        self._faults.pop(wanted.asset, None)
        self._finished(published, self._clock() - began)
        return published

    def _finished(self, published: Published, seconds: float) -> None:
        log.info(
            "downloaded %s: %d bytes in %.1f s, verified by %s",
            published.uri,
            published.size,
            seconds,
            published.trust,
            extra=event(
                "downloaded",
                uri=published.uri,
                bytes=published.size,
                seconds=round(seconds, 3),
                trust=published.trust,
                key=published.key,
            ),
        )

    def _failed(self, wanted: Wanted, fault: str) -> None:
        uri = wanted.shown
        known = self._faults.pop(wanted.asset, None) == fault
        self._faults[wanted.asset] = fault
        if len(self._faults) > _MOST_KEPT:
            del self._faults[next(iter(self._faults))]
        level = logging.DEBUG if known else logging.WARNING
        log.log(level, "download failed: %s", fault, extra=event("download-failed", uri=uri))
