"""What ``resolverctl top`` makes of the daemon's states."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from resolverd.ctl.top.sample import sample, seconds_left
from resolverd.ctl.top.screen import screen, spark


def state(uptime: float = 1.0, gets: int = 0, fetched: int = 0, **others: Any) -> dict[str, Any]:
    counts = {"hits": 3, "misses": 1, "fetched_bytes": fetched}
    checkpoints = {
        "bytes": 5 << 30,
        "max_bytes": 10 << 30,
        "objects": 2,
        "free_bytes": 1 << 40,
        "downloads": others.pop("downloads", []),
        "counts": counts,
    }
    asked = {"get": gets, "resolve": 1, "status": int(uptime)}
    return {
        "pid": 7,
        "version": "1.0",
        "uptime": uptime,
        "generation": 4,
        "cards": 12_345,
        "stores": [{"stale": 0}],
        "problem_count": 0,
        "problems": [],
        "warnings": [],
        "clients": 2,
        "users": [{"uid": 0, "clients": 2, "lookups": gets}],
        "counts": {"requests": asked},
        "checkpoints": checkpoints,
        **others,
    }


def drawn(now: dict[str, Any], rows: int = 24) -> str:
    console = Console(file=io.StringIO(), width=80, height=rows, color_system=None)
    console.print(screen(sample(state(), now), [1, 4, 2], rows))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_rates_are_by_the_daemons_own_clock() -> None:
    seen = sample(state(10.0, gets=100), state(12.0, gets=700, fetched=4096))
    assert (seen.lookups, seen.requests, seen.fetched) == (300, 1, 2048)


def test_another_daemon_has_no_rates_yet() -> None:
    assert sample(state(10.0), {**state(12.0), "pid": 8}).lookups is None
    assert sample(state(10.0), state(1.0)).lookups is None


def test_a_download_shows_its_name_bar_share_rate_and_time() -> None:
    download = {
        "uri": "https://host/folder/llama3_8b_instruct_consolidated.safetensors",
        "state": "fetching",
        "done": 10 << 30,
        "total": 40 << 30,
        "rate": float(1 << 30),
        "fault": "the connection broke",
    }
    (line,) = (line for line in drawn(state(downloads=[download])).splitlines() if "━" in line)
    for part in ("_consolidated.safetensors"[2:], "25% of 40.0 GiB", "1.0 GiB/s", "30 s"):
        assert part in line, line
    assert "the connection broke" in drawn(state(downloads=[download]))


def test_nothing_is_wider_than_80_columns_or_longer_than_the_terminal() -> None:
    downloads = [
        {"uri": f"https://host/{'x' * 90}{i}", "state": "retrying", "done": i, "total": None,
         "rate": 0.0, "fault": None} for i in range(50)
    ]  # fmt: skip
    problems = [{"severity": "error", "text": f"/a/{i}.yaml: it is broken"} for i in range(50)]
    users = [{"uid": 70_000 + i, "clients": 1, "lookups": 0} for i in range(50)]
    lines = drawn(
        state(downloads=downloads, problems=problems, problem_count=50, users=users), rows=30
    ).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 30
    assert sum("more" in line for line in lines) == 3


def test_what_a_store_or_an_origin_says_cannot_steer_the_terminal() -> None:
    problems = [{"severity": "error", "text": "/a/\x1b[2J.yaml: [bold]broken"}]
    text = drawn(state(problems=problems, problem_count=1))
    assert "\x1b" not in text
    assert "[bold]broken" in text


def test_history_is_a_line_of_blocks() -> None:
    assert spark([0, 4, 8]) == "▁▅█"
    assert spark([]) == spark([0, 0]) == ""


def test_time_left_is_unknown_without_a_size_or_a_rate() -> None:
    assert seconds_left({"total": None, "done": 0, "rate": 1.0}) is None
    assert seconds_left({"total": 5, "done": 0, "rate": 0.0}) is None
    assert seconds_left({"total": 5, "done": 1, "rate": 2.0}) == 2.0
