"""A bandwidth limit: kept over any time, whatever comes when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolverd.checkpoints.transfer.bucket import Bucket, charged, pause, quantum


@given(
    st.floats(1e3, 1e10),
    st.lists(st.tuples(st.integers(0, 10**7), st.floats(0.0, 5.0)), max_size=50),
)
def test_who_waits_as_told_never_gets_more_than_the_rate_and_a_burst(
    rate: float, coming: list[tuple[int, float]]
) -> None:
    bucket, now, passed = Bucket(rate, 0.0, 0.0), 0.0, 0
    for count, idle in coming:
        now += idle
        bucket = charged(bucket, count, now)
        passed += count
        now += pause(bucket)
        assert passed <= rate * (now + 0.125) * (1 + 1e-9) + 1


@given(st.floats(1e3, 1e10), st.integers(1, 50))
def test_a_busy_download_gets_all_of_the_rate(rate: float, reads: int) -> None:
    bucket, now, passed = Bucket(rate, 0.0, 0.0), 0.0, 0
    for _ in range(reads):
        bucket = charged(bucket, quantum(rate), now)
        passed += quantum(rate)
        now += pause(bucket)
    assert passed == pytest.approx(rate * now)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = charged(Bucket(100.0, 0.0, 50.0), 1000, 10.0)
    assert (bucket.at, pause(bucket)) == (50.0, 10.0)
