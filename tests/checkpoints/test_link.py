"""The worker that can't be started, and the worker that can again."""

from __future__ import annotations

import contextlib
import errno
import logging
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.process import link
from resolverd.errors import CacheError
from tests.checkpoints.conftest import running
from tests.checkpoints.origin import Origin


async def test_a_worker_that_can_not_be_started_fails_the_call_and_nothing_else(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, broken = link._begun, [True]

    async def begun(sock: Any) -> Any:
        if broken[0]:
            raise OSError(errno.EMFILE, "Too many open files")
        return await begin(sock)

    monkeypatch.setattr(link, "_begun", begun)
    monkeypatch.setattr(link, "_PAUSE_MOST", 0.01)
    origin.put("/m", b"x" * 1000)
    wanted = Wanted("model", origin.url("/m"))
    async with running(tmp_path / "cache") as service:
        with pytest.raises(CacheError, match="Too many open files"):
            await service.ensure(wanted)
        broken[0] = False

        async def tried() -> bytes | None:
            with contextlib.suppress(CacheError):
                return await anyio.Path((await service.ensure(wanted)).path).read_bytes()
            return None

        while (content := await tried()) is None:
            pass
        assert content == b"x" * 1000


async def test_a_worker_that_can_never_be_started_does_not_fill_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def begun(_: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(link, "_begun", begun)
    monkeypatch.setattr(link, "_PAUSE_MOST", 0.001)
    caplog.set_level(logging.INFO)
    async with running(tmp_path / "cache") as service:
        while service._link.restarts < 50:
            await anyio.lowlevel.checkpoint()
    assert len(caplog.messages) == link._DEATHS_MOST
    assert set(caplog.messages) == {
        "the fetching process: it can't be started: Too many open files; a new one starts in 0.00 s"
    }
