"""The daemon's state in the words of Prometheus; pure: plain data in, metric families out.

Contract: labels hold store names, method names and words of a fixed list, never an asset, a URI or
a user, so that neither secrets nor the number of cards reach a time series database. Only imported
when somebody wants metrics: the library costs more to import than the daemon has to start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from resolverd.serving.counts import Histogram, Timings

State = Mapping[str, Any]
LOOKUPS = ("get", "names", "digests", "resolve")
STEPS = ("waiting", "connecting", "fetching", "retrying", "verifying", "unpacking", "publishing")
REASONS = ("denied", "origin", "verification", "cache", "damaged")
SEVERITIES = ("error", "warning")

_GAUGES: tuple[tuple[str, str, Callable[[State], float | None]], ...] = (
    ("generation", "Number of the generation that is served.", lambda s: s["generation"]),
    ("clients", "Open connections of clients.", lambda s: s["clients"]),
    ("users", "Users with open connections.", lambda s: len(s["users"])),
    ("warnings", "What is wrong with the daemon itself.", lambda s: len(s["warnings"])),
    ("uptime_seconds", "Since the daemon started.", lambda s: s["uptime"]),
    ("cache_bytes", "Bytes that the cache takes in all.", lambda s: s["checkpoints"]["bytes"]),
    ("cache_objects", "Published checkpoints.", lambda s: s["checkpoints"]["objects"]),
    (
        "cache_leased_bytes",
        "Bytes that jobs hold leases on.",
        lambda s: s["checkpoints"]["leased_bytes"],
    ),
    ("cache_pinned_bytes", "Bytes that are pinned.", lambda s: s["checkpoints"]["pinned_bytes"]),
    (
        "cache_partial_bytes",
        "Bytes of unfinished downloads.",
        lambda s: s["checkpoints"]["partial_bytes"],
    ),
    (
        "cache_quarantine_bytes",
        "Bytes that were found bad.",
        lambda s: s["checkpoints"]["quarantine_bytes"],
    ),
    ("cache_max_bytes", "What the cache may take.", lambda s: s["checkpoints"]["max_bytes"]),
    ("cache_usable", "Whether the cache works.", lambda s: s["checkpoints"]["problem"] is None),
    (
        "scrub_last_timestamp_seconds",
        "When an object was last hashed again and found right.",
        lambda s: s["checkpoints"]["verified"],
    ),
    (
        "scrub_oldest_timestamp_seconds",
        "When that was of the object that waits longest.",
        lambda s: s["checkpoints"]["verified_first"],
    ),
    (
        "cache_free_bytes",
        "Room on the cache's file system.",
        lambda s: s["checkpoints"]["free_bytes"],
    ),
    (
        "worker_up",
        "Whether the process that fetches and hashes runs.",
        lambda s: s["checkpoints"]["worker"]["pid"] is not None,
    ),
    ("prefetch_wanted", "Files to be kept at hand unasked.", lambda s: s["prefetch"]["wanted"]),
    ("prefetch_ready", "Those of them that are there.", lambda s: s["prefetch"]["ready"]),
    ("prefetch_failed", "Those that can't be had now.", lambda s: len(s["prefetch"]["failed"])),
)
_COUNTERS: tuple[tuple[str, str, Callable[[State], float]], ...] = (
    (
        "clients_refused",
        "Connections refused because there were too many.",
        lambda s: s["counts"]["refused"],
    ),
    ("cache_hits", "Requests answered from the cache.", lambda s: _engine(s)["hits"]),
    ("cache_misses", "Requests that waited for the worker.", lambda s: _engine(s)["misses"]),
    ("fetched_bytes", "Bytes that came from origins.", lambda s: _engine(s)["fetched_bytes"]),
    (
        "verified_bytes",
        "Bytes of files whose digests were found right.",
        lambda s: _engine(s)["verified_bytes"],
    ),
    ("evictions", "What gave way in the cache.", lambda s: _engine(s)["evictions"]),
    ("evicted_bytes", "Bytes that gave way.", lambda s: _engine(s)["evicted_bytes"]),
    (
        "worker_restarts",
        "Times the fetching process had to be started again.",
        lambda s: s["checkpoints"]["worker"]["restarts"],
    ),
)
_STORE_GAUGES: tuple[tuple[str, str, Callable[[State], float]], ...] = (
    ("store_up", "Whether the store can be read now.", lambda s: s["state"] == "ok"),
    ("store_optional", "Whether the store may be absent.", lambda s: s["optional"]),
    ("store_cards", "Cards served of the store.", lambda s: s["cards"]),
    ("store_stale_cards", "Cards kept though their files are bad.", lambda s: s["stale"]),
    ("store_files", "Card files of the store.", lambda s: s["files"]),
    ("store_problems", "What is wrong in the store's files.", lambda s: s["problems"]),
    ("store_polled", "Whether the store is polled.", lambda s: s["mode"] == "polled"),
    (
        "store_scan_seconds",
        "Length of the last full scan.",
        lambda s: s.get("last_scan_seconds", 0),
    ),
)


class _Fixed(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def registry(state: State, timings: Timings, process: State) -> CollectorRegistry:
    """Make what the library's encoders take.

    Args:
        state: The answer to ``status``.
        timings: What was timed.
        process: ``cpu_seconds``, ``resident_bytes``, ``open_fds`` and ``max_fds``.
    """
    made = CollectorRegistry(auto_describe=False)
    made.register(_Fixed(list(families(state, timings, process))))
    return made


def families(state: State, timings: Timings, process: State) -> Iterator[Metric]:
    """Give every family; see :func:`registry`."""
    build = GaugeMetricFamily("resolverd_build_info", "The version.", labels=["version"])
    build.add_metric([state["version"]], 1)
    yield build
    for name, about, gauge in _GAUGES:
        value = gauge(state)
        if value is not None:
            yield GaugeMetricFamily(f"resolverd_{name}", about, value=float(value))
    for name, about, counter in _COUNTERS:
        yield CounterMetricFamily(f"resolverd_{name}", about, value=float(counter(state)))
    yield from _stores(state["stores"])
    yield from _requests(state["counts"])
    yield from _checkpoints(state)
    yield from _timed(timings)
    yield from _process(process)


def _stores(stores: Sequence[State]) -> Iterator[Metric]:
    for name, about, gauge in _STORE_GAUGES:
        family = GaugeMetricFamily(f"resolverd_{name}", about, labels=["store"])
        for store in stores:
            family.add_metric([_label(store["source"])], float(gauge(store)))
        yield family
    lost = CounterMetricFamily(
        "resolverd_store_lost_events",
        "Changes that a scan found because their event was lost.",
        labels=["store"],
    )
    for store in stores:
        lost.add_metric([_label(store["source"])], store.get("recoveries", 0))
    yield lost


def _requests(counts: State) -> Iterator[Metric]:
    asked = counts["requests"]
    lookups = {method: asked.get(method, 0) for method in LOOKUPS}
    others = {method: count for method, count in asked.items() if method not in LOOKUPS}
    yield _counted("lookups", "Lookups that reached the daemon.", "method", lookups)
    yield _counted("requests", "Requests other than lookups.", "method", others)
    yield _counted("request_errors", "Answers that were errors.", "code", counts["errors"])


def _checkpoints(state: State) -> Iterator[Metric]:
    failures = {**dict.fromkeys(REASONS, 0), **_engine(state)["failures"]}
    yield _counted("failures", "Checkpoints that failed, by reason.", "reason", failures)
    states = Counter(each["state"] for each in state["checkpoints"]["downloads"])
    downloads = GaugeMetricFamily("resolverd_downloads", "Under way, by step.", labels=["step"])
    for step in STEPS:
        downloads.add_metric([step], states[step])
    yield downloads
    severities: State = state["severities"]
    problems = GaugeMetricFamily(
        "resolverd_problems", "What is wrong with cards and stores.", labels=["severity"]
    )
    for severity in SEVERITIES:
        problems.add_metric([severity], severities.get(severity, 0))
    yield problems


def _timed(timings: Timings) -> Iterator[Metric]:
    yield _histogram("lookup_seconds", "Time spent on a lookup, of one in 64.", timings.lookup)
    yield _histogram("reload_seconds", "From a change read to its generation.", timings.reload)
    yield _histogram("loop_lag_seconds", "How late the event loop was.", timings.lag)


def _process(process: State) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "resolverd_process_cpu_seconds", "Processor time.", value=process["cpu_seconds"]
    )
    for name, about in (
        ("resident_bytes", "Memory in use."),
        ("open_fds", "Open file descriptors."),
        ("max_fds", "Most file descriptors that may be open."),
    ):
        yield GaugeMetricFamily(f"resolverd_process_{name}", about, value=process[name])


def _counted(name: str, about: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"resolverd_{name}", about, labels=[label])
    for key, count in sorted(counts.items()):
        family.add_metric([key], count)
    return family


def _histogram(name: str, about: str, timed: Histogram) -> Metric:
    family = HistogramMetricFamily(f"resolverd_{name}", about)
    buckets: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*map(str, timed.bounds), "+Inf"), timed.counts, strict=True):
        total += count
        buckets.append((bound, total))
    family.add_metric([], buckets, timed.sum)
    return family


def _engine(state: State) -> State:
    counts: State = state["checkpoints"]["counts"]
    return counts


def _label(text: str) -> str:
    """A label's value: UTF-8 can't say every file name."""
    return text.encode("utf-8", "backslashreplace").decode()
