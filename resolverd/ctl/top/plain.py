"""A sample for pipes: one fact a line, tabs between the fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from resolverd.ctl.top.sample import Sample


def lines(sample: Sample) -> Iterator[tuple[object, ...]]:
    """Give the rows, each with what it is about first."""
    state, cache = sample.state, sample.state["checkpoints"]
    yield "lookups/s", _number(sample.lookups)
    yield "requests/s", _number(sample.requests)
    yield "fetched bytes/s", _number(sample.fetched)
    yield "clients", state["clients"]
    yield "cards", state["cards"]
    yield "generation", state["generation"]
    yield "problems", state["problem_count"]
    yield "cache bytes", cache["bytes"]
    yield "cache free bytes", cache["free_bytes"]
    for each in cache["downloads"]:
        yield "download", each["uri"], each["state"], each["done"], each["total"], each["rate"]
    for each in state["users"]:
        yield "user", each["uid"], each["clients"], each["lookups"]
    for text in state["warnings"]:
        yield "warning", text
    for problem in state["problems"]:
        yield problem["severity"], problem["text"]


def document(sample: Sample) -> dict[str, Any]:
    """Give all as one JSON object."""
    return {
        "lookups_per_second": sample.lookups,
        "requests_per_second": sample.requests,
        "fetched_bytes_per_second": sample.fetched,
        "status": sample.state,
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
