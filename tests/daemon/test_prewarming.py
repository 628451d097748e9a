"""What configuration, card or an earlier request want on the disk is there before jobs ask."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from resolverd_client import FetchError

from resolverd.prewarming import pause
from tests.checkpoints.origin import Origin
from tests.daemon.running import Daemon, card, daemon, eventually, write


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        for name in ("a", "b", "c"):
            running.put(f"/{name}", name.encode() * 1000)
        yield running


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path / "config.toml", '[fetch]\nprefetch = ["llama*"]\n')


@pytest.fixture
def node(config: Path) -> Iterator[Daemon]:
    with daemon("--config", str(config)) as running:
        yield running


def there(node: Daemon, name: str) -> bytes | None:
    try:
        return node.client().path(name, wait=False).read_bytes()
    except FetchError:
        return None


def put(node: Daemon, name: str, **fields: object) -> None:
    write(node.store / f"{name}.yaml", card(name, **fields))
    eventually(lambda: node.client().maybe_get_metadata(name))


def prefetch(node: Daemon) -> dict[str, Any]:
    return node.client().status()["prefetch"]


def ready(node: Daemon, count: int) -> None:
    eventually(lambda: prefetch(node)["ready"] == count)


def test_cards_that_a_pattern_names_are_fetched_unasked(node: Daemon, origin: Origin) -> None:
    put(node, "llama3", checkpoint=origin.url("/a"), tokenizer=origin.url("/b"))
    put(node, "qwen", checkpoint=origin.url("/c"))
    ready(node, 2)
    assert origin.resources["/a"].sent == origin.resources["/b"].sent == 1000
    assert origin.resources["/c"].requests == []
    assert "prefetch: 2 of 2 ready" in node.ctl("status").stdout


def test_a_card_can_ask_for_it_and_a_base_does_not_ask_for_its_heirs(
    node: Daemon, origin: Origin
) -> None:
    put(node, "base", checkpoint=origin.url("/a"), prefetch="true")
    put(node, "heir", base="base", checkpoint=origin.url("/b"))
    put(node, "said_no", checkpoint=origin.url("/c"), prefetch="false")
    ready(node, 1)
    assert prefetch(node)["wanted"] == 1


def test_a_changed_card_is_fetched_at_once_and_the_old_file_stays(
    node: Daemon, origin: Origin
) -> None:
    put(node, "llama3", checkpoint=origin.url("/a"))
    ready(node, 1)
    old = node.client().path("llama3")
    write(node.store / "llama3.yaml", card("llama3", checkpoint=origin.url("/b")))
    eventually(lambda: origin.resources["/b"].sent == 1000)
    eventually(lambda: there(node, "llama3") == b"b" * 1000)
    assert old.read_bytes() == b"a" * 1000


def test_a_name_that_was_prefetched_by_request_is_kept_fresh(node: Daemon, origin: Origin) -> None:
    put(node, "m", checkpoint=origin.url("/a"))
    node.client().prefetch(["m"])
    write(node.store / "m.yaml", card("m", checkpoint=origin.url("/b")))
    eventually(lambda: origin.resources["/b"].sent == 1000)


def test_what_fails_is_told_with_the_time_of_the_next_try(node: Daemon, origin: Origin) -> None:
    put(node, "llama_lost", checkpoint=origin.url("/nowhere"))
    put(node, "llama_odd", checkpoint="3")
    put(node, "llama3", checkpoint=origin.url("/a"))
    ready(node, 1)
    eventually(lambda: len(prefetch(node)["failed"]) == 1)
    (failed,) = prefetch(node)["failed"]
    assert failed["name"] == "llama_lost"
    assert "404" in failed["error"]
    eventually(lambda: prefetch(node)["failed"][0]["next_try"] is not None)
    assert "prefetch of llama_lost checkpoint failed" in node.ctl("status").stdout


def test_a_card_that_is_gone_is_wanted_no_more(node: Daemon, origin: Origin) -> None:
    put(node, "llama_lost", checkpoint=origin.url("/nowhere"))
    eventually(lambda: prefetch(node)["wanted"] == 1)
    (node.store / "llama_lost.yaml").unlink()
    eventually(lambda: prefetch(node) == {"wanted": 0, "ready": 0, "failed": []})


def test_a_reload_brings_new_patterns(node: Daemon, origin: Origin, config: Path) -> None:
    put(node, "qwen", checkpoint=origin.url("/c"))
    config.write_text('[fetch]\nprefetch = ["qw?n"]\n')
    node.signal(signal.SIGHUP)
    eventually(lambda: there(node, "qwen") == b"c" * 1000)


@pytest.mark.parametrize("failures", [1, 2, 8, 1000])
def test_the_pause_grows_to_an_hour_and_never_to_nothing(failures: int) -> None:
    assert 15.0 <= pause(failures, 0.0) <= pause(failures, 1.0) <= 3600.0
    assert pause(failures, 0.0) < pause(failures, 1.0)
