"""The daemon's progress on fairseq2's own progress bars."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any


class Bar:
    """One download on fairseq2's reporter of downloads; none is shown for what is there already.

    Args:
        resolver: fairseq2's; it has no reporter before version 0.6.
    """

    def __init__(self, resolver: Any) -> None:
        self._resolver = resolver
        self._open = ExitStack()
        self._task: Any = None
        self._done = 0

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def show(self, event: dict[str, Any]) -> None:
        """Take a ``progress`` notification of the daemon."""
        done, total = event.get("done") or 0, event.get("total")
        if self._task is None and total:
            self._task = self._begin(total)
        if self._task is not None and done > self._done:
            self._task.step(done - self._done)
            self._done = done

    def _begin(self, total: int) -> Any:
        try:
            from fairseq2.utils.progress import ProgressReporter  # noqa: PLC0415 -- not in 0.5

            reporter = self._resolver.resolve(ProgressReporter, key="download_reporter")
        except Exception:  # noqa: BLE001 -- a download must not fail for want of a progress bar
            return None
        self._open.enter_context(reporter)
        return self._open.enter_context(reporter.create_task("download", total=total))
