"""A file that is evicted between being found and being answered with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from resolverd_client import FetchError

from resolverd.serving.call import Call, Peer
from resolverd.serving.card_requests import CardRequests
from resolverd.serving.checkpoint_requests import CheckpointRequests, Fetcher
from resolverd.serving.targets import Asset

TARGET = {"uri": "http://h/x", "checksum": f"sha256:{'0' * 64}"}  # no card is asked about it
CALL = Call(Peer(1, 1, 1), 1, "path", lambda *_: None, lambda _: None)


@dataclass(frozen=True)
class Found:
    path: str
    key: str = "k"
    size: int = 1
    digest: str | None = None
    trust: str = "card"
    readers: None = None


class Vanishing:
    """Gives paths of which only some are still there when it has given them."""

    cache_dir = "/cache"

    def __init__(self, *paths: Path) -> None:
        self.paths = list(paths)

    async def ensure(
        self, asset: Asset, *, refresh: bool, progress: Callable[[Mapping[str, Any]], None] | None
    ) -> Found:
        return Found(str(self.paths.pop(0)))

    async def readers(self, asset: Asset) -> None:
        return None

    def shown(self, uri: str) -> str:
        return uri


def requests(*paths: Path) -> CheckpointRequests:
    fetcher = cast("Fetcher", Vanishing(*paths))
    return CheckpointRequests(cast("CardRequests", None), fetcher, lambda _: None)


async def test_it_is_fetched_once_more(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.touch()
    answer: Any = await requests(tmp_path / "gone", there).path(CALL, TARGET)
    assert answer["path"] == there


async def test_a_cache_that_can_keep_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="the cache is too small"):
        await requests(*[tmp_path / "gone"] * 3).path(CALL, TARGET)
