"""Metrics that can't be told now are told later, and cost the daemon nothing."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from resolverd.config import MetricsSettings
from resolverd.metering import Metering
from resolverd.serving.counts import Histogram, Timings


async def broken() -> Mapping[str, Any]:
    raise RuntimeError("the state can't be told")


@asynccontextmanager
async def metering(settings: MetricsSettings) -> AsyncIterator[Metering]:
    timings = Timings(*(Histogram((1.0,)) for _ in range(3)))
    made = Metering(settings, broken, timings, socket_mode=0o600)
    made.retry_after = 0.01
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.run)
        yield made
        tasks.cancel_scope.cancel()


async def answer(path: Path) -> bytes:
    with anyio.fail_after(30):
        while True:
            try:
                stream = await anyio.connect_unix(path)
                break
            except OSError:
                await anyio.sleep(0.01)
        async with stream:
            await stream.send(b"GET /metrics HTTP/1.1\r\n\r\n")
            return b"".join([part async for part in stream])


async def test_a_state_that_cannot_be_told_is_an_error_of_that_page_alone(tmp_path: Path) -> None:
    settings = MetricsSettings(listen=str(tmp_path / "m"), textfile=str(tmp_path / "x.prom"))
    async with metering(settings) as made:
        for _ in range(2):
            assert b" 500 " in await answer(tmp_path / "m")
        assert made.warnings == []


async def test_an_address_that_breaks_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, failed = socket.socket.accept, anyio.Event()

    def out_of_descriptors(self: socket.socket) -> Any:
        if not failed.is_set():
            failed.set()
            raise OSError(24, "Too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", out_of_descriptors)
    async with metering(MetricsSettings(listen=str(tmp_path / "m"))) as made:
        with anyio.fail_after(30):
            await failed.wait()
        assert b" 500 " in await answer(tmp_path / "m")
        assert made.warnings == []
