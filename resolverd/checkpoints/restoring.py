"""Fetches objects again that have gone bad, in the background, wherever it is known how."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio.abc
import anyio.to_thread

from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.process import messages
from resolverd.checkpoints.process.counts import Counts
from resolverd.errors import ResolverdError

log = logging.getLogger(__name__)

Recall = Callable[[str], "Wanted | None"]
"""Gives what to ask for to have an asset again, where a card knows."""


class Restoring:
    """What happens once an object was found bad, and put away.

    Args:
        recall: Asks the cards; what they say comes before what the manifest said.
        ensure: Has something fetched.
        counts: Of what has gone wrong.
    """

    def __init__(
        self, recall: Recall, ensure: Callable[[Wanted], Awaitable[object]], counts: Counts
    ) -> None:
        self._recall = recall
        self._ensure = ensure
        self._counts = counts
        self._group: anyio.abc.TaskGroup | None = None

    def begin(self, group: anyio.abc.TaskGroup) -> None:
        """Fetch in ``group`` from now on."""
        self._group = group

    def end(self) -> None:
        """Fetch nothing any more."""
        self._group = None

    def hear(self, event: str, params: dict[str, Any]) -> None:
        """Take in what the worker says unasked: that it has found an object bad."""
        if event == "rotted" and self._group is not None:
            log.warning("%s went bad: %s", params["uri"], "; ".join(params["faults"]))
            self._group.start_soon(self.restore, params)

    async def restore(self, verdict: dict[str, Any]) -> bool:
        """Have an object fetched again, in the background; tells whether it can be.

        Args:
            verdict: See :func:`resolverd.checkpoints.process.messages.verdict`.
        """
        self._counts.failures["damaged"] += 1
        if self._group is None:
            return False
        named = await anyio.to_thread.run_sync(self._recall, verdict["asset"])
        wanted = named or messages.origin_of(verdict)
        if wanted is None:
            log.warning(
                "%s is fetched again when it is next asked for", verdict["uri"] or verdict["asset"]
            )
            return False
        self._group.start_soon(self._fetch, wanted)
        return True

    async def _fetch(self, wanted: Wanted) -> None:
        try:
            await self._ensure(wanted)
        except ResolverdError as error:
            log.warning("%s went bad, and can't be fetched again: %s", wanted.shown, error)
        except Exception:
            log.exception("%s went bad, and can't be fetched again", wanted.shown)
