"""path, lease, prefetch and watch as a caller sees them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from resolverd_client import (
    Client,
    DaemonUnavailableError,
    FetchError,
    RequestError,
    ResolverdError,
    VerificationError,
)

from tests.client.test_trouble import in_child
from tests.serving.served import Served, eventually, served


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as each:
        yield each


@pytest.fixture
def client(server: Served) -> Iterator[Client]:
    with server.client() as each:
        yield each


def test_path_gives_a_path(server: Served, client: Client) -> None:
    assert client.path("llama") == Path(server.path + ".checkpoint")
    assert client.path(uri="hg://org/repo", kind="model").read_text() == "weights"


def test_path_says_which_mount_is_missing(client: Client) -> None:
    with pytest.raises(FetchError, match="mount /no/such/mount into this container") as caught:
        client.path("elsewhere")
    assert caught.value.code == "not-local"
    assert caught.value.details["mount"] == "/no/such/mount"


def test_path_asks_again_for_what_was_evicted_just_now(server: Served, client: Client) -> None:
    assert client.path("fleeting") == Path(server.path + ".checkpoint")


@pytest.mark.parametrize("call", ["prefetch", "verify", "cache_pin", "cache_unpin", "cache_remove"])
def test_one_name_in_place_of_a_list_is_not_taken_apart(client: Client, call: str) -> None:
    with pytest.raises(RequestError, match=r"give a list of names, not one name: \['llama'\]"):
        getattr(client, call)("llama")


def test_path_knows_another_file_of_the_same_name(client: Client) -> None:
    with pytest.raises(FetchError, match="is another file"):
        client.path("other")


def test_path_wants_a_name_or_a_uri(client: Client) -> None:
    for wrong in ({}, {"name": "a", "uri": "file:///b"}, {"name": "a", "fields": "typo"}):
        with pytest.raises(RequestError):
            client.path(**wrong)


def locked(path: str) -> bool:
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def test_a_lease_holds_its_lock_to_the_end_of_the_block(server: Served, client: Client) -> None:
    with client.lease("llama") as path:
        assert locked(str(path))
    eventually(lambda: not locked(str(path)))


def test_a_lease_outlives_the_daemon_and_ends_with_the_process() -> None:
    with served() as server, server.client() as client:
        lease = client.lease("llama")
        server.stop()
        assert locked(str(lease.path))
        lease.release()
        server.start()

        def leave_without_release() -> bool:
            client.lease("llama").path.stat()
            held = client.lease("llama")
            return locked(str(held.path))

        assert in_child(leave_without_release)
        eventually(lambda: not locked(str(lease.path)))


def test_no_descriptor_is_left_at_the_daemon(client: Client) -> None:
    before = client.status()["fds"]
    for _ in range(20):
        with client.lease("llama"):
            pass
    assert client.status()["fds"] == before


def test_prefetch_reports_progress_and_results(client: Client) -> None:
    seen: list[object] = []
    results = client.prefetch(["a", "hg://org/b"], progress=seen.append, kind="model")
    assert seen == [{"done": 0}, {"done": 1}]
    assert [each.get("name", each.get("uri")) for each in results] == ["a", "hg://org/b"]


def test_prefetch_raises_what_one_target_failed_of(client: Client) -> None:
    with pytest.raises(VerificationError, match="wrong digest") as caught:
        client.prefetch(["a", "bad"])
    assert len(caught.value.details["results"]) == 2  # type: ignore[arg-type]


def test_prefetch_names_all_failures_of_several(client: Client) -> None:
    with pytest.raises(FetchError, match="2 of 3 failed"):
        client.prefetch(["bad", "a", "bad"])


def test_a_callback_that_raises_ends_the_call_and_not_the_client(client: Client) -> None:
    with pytest.raises(ZeroDivisionError):
        client.prefetch(["a"], progress=lambda event: 1 // 0)  # type: ignore[arg-type,return-value]
    assert client.prefetch(["a"])


def test_errors_carry_code_and_details(client: Client) -> None:
    with pytest.raises(FetchError) as caught:
        client.call("fail")
    assert (caught.value.code, caught.value.details) == ("fetch-failed", {"status": 403})
    with pytest.raises(ResolverdError, match="a bug"):
        client.call("crash")


def test_watch_yields_changes_from_its_call_on(server: Served, client: Client) -> None:
    events = client.watch()
    server.change()
    event = next(events)
    assert event["changed"] == ["changing@"]
    assert set(event) == {"generation", "added", "changed", "removed", "stale"}
    assert client.get_metadata("changing")["generation"] == event["generation"]
    events.close()  # type: ignore[attr-defined]
    eventually(lambda: client.status()["watchers"] == 0)


def test_watch_tells_after_a_restart_what_changed_meanwhile() -> None:
    with served() as server, server.client(timeout=20) as client:
        events = client.watch()
        server.change()
        assert next(events)["generation"] == 2
        server.stop()
        server.start("--cards", "7")
        event = next(events)
        assert event["added"] == ["card5@", "card6@"]
        assert event["changed"] == ["changing@"]
        assert event["removed"] == []
        server.change()
        assert next(events)["generation"] == 2


def test_watch_gives_up_when_the_daemon_stays_away() -> None:
    with served() as server, server.client(timeout=0.3) as client:
        events = client.watch()
        server.stop()
        with pytest.raises(DaemonUnavailableError):
            next(events)
