"""Lookups through a real socket, and the replies that a client keeps."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from resolverd_client import (
    AssetNotFoundError,
    Client,
    DaemonUnavailableError,
    RequestError,
    page,
)

from resolverd.serving.page import Page
from tests.serving.served import Served, eventually, served


@pytest.fixture(params=["asyncio", "uvloop"], scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Served]:
    with served("--loop", request.param) as each:
        yield each


@pytest.fixture
def client(server: Served) -> Iterator[Client]:
    with server.client() as each:
        yield each


def requests_sent(client: Client) -> list[int]:
    return [each._ident for each in client._link.idle]


def test_a_card_comes_as_fairseq2_since_0_5_gives_it(client: Client) -> None:
    card = client.maybe_get_metadata("card1@")
    assert card is not None
    assert card["model_arch"] == "arch1"
    assert isinstance(card["__base_path__"], Path)
    assert "name" not in card


def test_a_name_without_at_stands_for_the_one_with_it(client: Client) -> None:
    assert client.maybe_get_metadata("card1") == client.maybe_get_metadata("card1@")


def test_a_card_comes_with_its_name_as_fairseq2_before_0_5_gives_it(client: Client) -> None:
    assert client.get_metadata("card1@")["name"] == "card1"
    assert client.get_metadata("changing@env")["name"] == "changing@env"


def test_a_miss_is_none_or_an_exception(client: Client) -> None:
    assert client.maybe_get_metadata("unknown") is None
    with pytest.raises(AssetNotFoundError, match="unknown") as caught:
        client.get_metadata("unknown")
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize("name", ["", "@", "a@b@c", "a\nb", "\ud800", "x" * 100_000])
def test_an_impossible_name_is_a_miss(client: Client, name: str) -> None:
    assert client.maybe_get_metadata(name) is None


@pytest.mark.parametrize("name", [None, 1, b"card1", ["card1"], {"card1@": 1}])
def test_a_name_that_is_no_str_is_refused(client: Client, name: object) -> None:
    with pytest.raises(RequestError, match="must be a str"):
        client.maybe_get_metadata(name)  # type: ignore[arg-type]


def test_names_are_canonical_in_both_forms(client: Client) -> None:
    names = client.get_names()
    assert "card1@" in names
    assert "changing@env" in names
    assert client.asset_names == set(names)


def test_every_call_returns_a_fresh_object(client: Client) -> None:
    for call in (lambda: client.maybe_get_metadata("card1"), lambda: client.resolve("card1")):
        first = call()
        assert first is not None
        first["added"] = True
        assert "added" not in call()
    client.get_names().clear()
    assert client.get_names()


def test_a_kept_reply_costs_no_request(client: Client) -> None:
    client.get_names()
    client.get_metadata("card1")
    client.maybe_get_metadata("unknown")
    sent = requests_sent(client)
    for _ in range(100):
        client.get_metadata("card1")
        client.get_names()
        assert client.maybe_get_metadata("unknown") is None
    assert requests_sent(client) == sent


def test_clear_cache_asks_again(client: Client) -> None:
    client.get_metadata("card1")
    sent = requests_sent(client)
    client.clear_cache()
    client.get_metadata("card1")
    assert requests_sent(client) != sent


def test_a_new_generation_voids_every_kept_reply(server: Served, client: Client) -> None:
    before = client.get_metadata("changing")["generation"]
    server.change()
    eventually(lambda: client.get_metadata("changing")["generation"] == before + 1)


def test_resolve_gives_merged_fields_or_an_exception(client: Client) -> None:
    assert client.resolve("x", env="cluster") == {"name": "x", "env": "cluster"}
    assert client.resolve("x") == {"name": "x", "env": None}
    with pytest.raises(AssetNotFoundError):
        client.resolve("unknown")


def test_a_reply_of_megabytes_arrives_whole(client: Client) -> None:
    assert len(client.get_metadata("large")["text"]) == 3_000_000


def test_source_and_repr_name_the_socket(server: Served, client: Client) -> None:
    assert client.source == f"resolverd:{server.path}"
    assert server.path in repr(client)


def test_without_a_page_every_lookup_asks() -> None:
    with served("--no-page") as server, server.client() as client:
        client.get_metadata("card1")
        sent = requests_sent(client)
        client.get_metadata("card1")
        assert requests_sent(client) != sent
        before = client.get_metadata("changing")["generation"]
        server.change()
        eventually(lambda: client.get_metadata("changing")["generation"] == before + 1)


def test_a_page_that_could_shrink_is_not_trusted() -> None:
    fd = os.memfd_create("unsealed", os.MFD_ALLOW_SEALING)
    os.write(fd, page.MAGIC + bytes(16) + b"i" * 16 + bytes(page.SIZE))
    assert page.open_page(fd, b"i" * 16) is None


def test_a_page_of_another_daemon_is_not_trusted() -> None:
    mine = Page(b"m" * 16)
    assert page.open_page(os.dup(mine.fd), b"o" * 16) is None
    words = page.open_page(os.dup(mine.fd), b"m" * 16)
    assert words is not None
    mine.publish(12)
    assert words[page.GENERATION] == 12
    mine.close()
    assert words[page.CLOSED] == 1


def test_an_orderly_stop_voids_kept_replies_at_once() -> None:
    with served() as server, server.client(timeout=0.2) as client:
        client.get_metadata("card1")
        server.stop(signal.SIGTERM)
        with pytest.raises(DaemonUnavailableError):
            client.get_metadata("card1")
