"""kill -9 at random moments; see :mod:`tests.daemon.crashes`."""

from __future__ import annotations

import pytest

from tests.daemon.crashes import crash


def test_kills_at_random_moments_lose_nothing_and_cost_nothing_that_was_journalled() -> None:
    tally = crash(seed=1, count=10)
    assert tally.kills == 10
    assert tally.resumed > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [11, 12, 13, 14])
def test_two_hundred_kills_lose_nothing(seed: int) -> None:
    print(crash(seed, count=50))
