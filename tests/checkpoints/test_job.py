from __future__ import annotations

from resolverd.checkpoints.process.job import Job


class Heard:
    """A job's listener, and a clock that stands still."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str | None]] = []
        self.job = Job(lambda step, _d, _t, _r, fault: self.events.append((step, fault)), lambda: 0)


def test_a_fault_is_told_at_once_and_stays_known() -> None:
    heard = Heard()
    heard.job.stumble("it broke.")
    heard.job.enter("fetching")
    assert heard.events == [("retrying", "it broke."), ("fetching", "it broke.")]


def test_a_fault_of_a_part_is_told_at_once_too() -> None:
    heard = Heard()
    with heard.job.share() as part:
        part.enter("fetching")
        part.stumble("it broke.")
    assert ("retrying", "it broke.") in heard.events
