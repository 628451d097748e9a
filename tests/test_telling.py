"""What the log says of problems and downloads: each once when it comes, once when it goes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from resolverd_client import protocol

from resolverd.cards.file import FileRead, Stamp, StoreChange
from resolverd.cards.problems import Problem, appeared
from resolverd.cards.published import begin
from resolverd.cards.store import Store
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.process.telling import Telling
from resolverd.checkpoints.results import Published
from resolverd.errors import SourceError
from resolverd.publisher import MOST_LINES, Publisher

STORE = Store("path:/s", "/s")
READY = Published("/c/x", "key", "http://h/x", "model", 7, None, "card", ("x",))


def problem(name: str, line: int = 1) -> Problem:
    fault = Problem("bad-value", "path:/s", "/s/a.yaml", "It is bad.", "Mend it.")
    return replace(fault, line=line, name=name)


PROBLEMS = st.lists(st.builds(problem, st.sampled_from("abc"), st.integers(1, 3)), max_size=6)


@given(PROBLEMS, PROBLEMS)
def test_what_appeared_and_what_went_make_the_difference(
    old: list[Problem], new: list[Problem]
) -> None:
    came, went = appeared(old, new), appeared(new, old)
    names = sorted(p.name or "" for p in old) + sorted(p.name or "" for p in came)
    for gone in went:
        names.remove(gone.name or "")
    assert sorted(names) == sorted(p.name or "" for p in new)
    assert {p.name for p in came}.isdisjoint({p.name for p in went})


def test_a_problem_that_moved_in_its_file_is_no_news() -> None:
    assert appeared([problem("a", 3)], [problem("a", 9)]) == []
    assert appeared([problem("a")], [replace(problem("a"), reason="It is worse.")])


def change(*texts: str, size: int) -> StoreChange:
    reads = [
        FileRead(f"/s/{number}.yaml", Stamp(1, 1, size, number), text.encode())
        for number, text in enumerate(texts)
    ]
    return StoreChange("path:/s", reads=tuple(reads))


async def reported(caplog: pytest.LogCaptureFixture, *changes: StoreChange) -> list[list[str]]:
    """Give the lines of the log after each change."""
    caplog.set_level(logging.INFO)
    publisher, lines = Publisher(begin([STORE], {}), protocol), []
    for each in changes:
        await publisher.report([each])
        lines.append([m for m in caplog.messages if not m.startswith("generation")])
        caplog.clear()
    return lines


async def test_a_problem_is_told_once_while_its_file_is_edited_and_once_when_it_is_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = "name: a\nmodel_arch: !!int x\n"
    first, edited, rescanned, mended = await reported(
        caplog,
        change(bad, size=1),
        change(f"name: other\n---\n{bad}", size=2),
        change(f"name: other\n---\n{bad}", size=3),
        change("name: a\n", size=4),
    )
    assert len(first) == 1
    assert first[0].startswith("/s/0.yaml: document 0: ")
    assert edited == rescanned == []
    (line,) = mended
    assert line.startswith("mended: /s/0.yaml: ")


async def test_a_store_of_broken_cards_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (lines,) = await reported(caplog, change(*["["] * 200, size=1))
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == f"and {200 - MOST_LINES} more; see 'resolverctl status'"


async def test_problems_of_stores_that_a_reload_leaves_out_are_told_as_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    publisher = Publisher(begin([STORE], {}), protocol)
    await publisher.report([change("[", size=1)])
    await publisher.serve([], renew=False)
    assert [m for m in caplog.messages if m.startswith("mended: /s/0.yaml: ")]


async def downloads(
    caplog: pytest.LogCaptureFixture, results: Sequence[Published | str]
) -> list[str]:
    """Give what the log says at the level that is usual."""
    caplog.set_level(logging.INFO)
    times = iter(range(100))
    telling = Telling(lambda: float(next(times)))

    async def download(result: Published | str) -> Published:
        if isinstance(result, str):
            raise SourceError(result)
        return result

    for result in results:
        with contextlib.suppress(SourceError):
            await telling.of(Wanted("model", "http://h/x?token=s3cret"), download(result))
    assert "s3cret" not in caplog.text
    return caplog.messages


async def test_a_download_is_told_when_it_begins_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun, ended = await downloads(caplog, [READY])
    assert begun.startswith("downloading http://h/x")
    assert ended == "downloaded http://h/x: 7 bytes in 1.0 s, verified by card"


async def test_a_fault_that_lasts_is_told_once_and_its_end_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = await downloads(caplog, ["no route", "no route", "no route", "404", READY])
    assert [line.partition(" http")[0] for line in told] == [
        "downloading",
        "download failed: no route",
        "download failed: 404",
        "downloaded",
    ]


async def test_a_download_that_nobody_waits_for_any_more_is_told_as_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def endless() -> Published:
        scope.cancel()
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.CancelScope() as scope:
        await Telling().of(Wanted("model", "http://h/x"), endless())
    assert caplog.messages[-1] == "the download of http://h/x is left: nobody waits for it"
