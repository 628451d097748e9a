"""The socket starts the service, and the service says when it serves."""

from __future__ import annotations

from node import client, configure, eventually, main_pid, shown, write_card


def test_the_first_connection_starts_the_service_and_is_answered() -> None:
    configure('[stores]\npaths = ["/srv/assets"]\n')
    write_card("first", model_arch="one")
    assert shown("ActiveState") == "inactive"
    assert shown("ActiveState", "resolverd.socket") == "active"
    assert client().get_metadata("first")["model_arch"] == "one"


def test_the_service_is_active_once_it_serves_and_says_how_it_fares() -> None:
    eventually(lambda: shown("ActiveState") == "active")
    assert shown("Type") == "notify"
    assert client().status()["pid"] == main_pid()
    eventually(lambda: shown("StatusText") == "serving 1 card of 1 store")
