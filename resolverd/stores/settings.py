"""How stores are watched."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """Paces and bounds, in seconds where not said otherwise.

    Attributes:
        step: How often the event buffer is looked at; a change is seen one to two steps after it
            was made. Below 2 ms the looking alone takes more than 1 % of a core.
        scan_interval: Shortest pause between two full scans of a watched store.
        scan_share: Share of a core that full scans may take; longer pauses keep it.
        poll_interval: Shortest pause between two scans of a polled store.
        patience: How long a file with a writer at work is left alone.
        start_patience: How long the first report waits for a store that does not answer.
        retry: Pause before watching is tried again after it failed.
        burst: Number of hints above which everything is scanned.
        max_file_bytes: Size above which a file is refused.
    """

    step: float = 0.002
    scan_interval: float = 1.0
    scan_share: float = 0.01
    poll_interval: float = 2.0
    patience: float = 1.0
    start_patience: float = 5.0
    retry: float = 30.0
    burst: int = 1000
    max_file_bytes: int = 16 * 1024 * 1024
