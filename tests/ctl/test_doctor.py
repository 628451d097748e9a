"""What the doctor makes of the facts."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from resolverd.ctl.doctor import daemon, host, sockets
from resolverd.ctl.doctor.finding import Finding
from resolverd.stores.mounts import Mount, read_mounts

STATE: dict[str, Any] = {
    "version": "1.0",
    "warnings": [],
    "cards": 2,
    "generation": 3,
    "problem_count": 0,
    "stores": [
        {"source": "path:/a", "state": "ok", "optional": False, "reason": "", "cards": 2},
        {"source": "path:/b", "state": "missing", "optional": True, "reason": "", "cards": 0},
    ],
    "checkpoints": {"worker": {"pid": 7, "restarts": 0}},
    "prefetch": {"wanted": 2, "ready": 2, "failed": []},
}


def verdicts(found: list[Finding]) -> set[str]:
    return {each.verdict for each in found}


def wrong(found: list[Finding]) -> Finding:
    (bad,) = (each for each in found if each.verdict != "ok")
    assert bad.remedy
    return bad


def test_a_healthy_daemon_has_nothing_wrong() -> None:
    assert verdicts(daemon.findings(STATE)) == {"ok"}


def test_a_store_that_must_be_there_and_is_not_is_an_error() -> None:
    store = {"source": "path:/a", "state": "missing", "optional": False, "reason": "", "cards": 2}
    bad = wrong(daemon.findings({**STATE, "stores": [store]}))
    assert (bad.verdict, "path:/a" in bad.text) == ("error", True)


def test_a_file_system_that_hangs_is_an_error() -> None:
    store = {**STATE["stores"][0], "answering": False}
    assert "does not answer" in wrong(daemon.findings({**STATE, "stores": [store]})).text


def test_a_worker_that_is_gone_is_an_error_and_one_that_dies_often_a_warning() -> None:
    for worker, verdict in (
        ({"pid": None, "restarts": 9}, "error"),
        ({"pid": 3, "restarts": 9}, "warning"),
    ):
        state = {**STATE, "checkpoints": {"worker": worker}}
        assert wrong(daemon.findings(state)).verdict == verdict


def test_problems_of_cards_are_a_warning() -> None:
    assert "5 problems" in wrong(daemon.findings({**STATE, "problem_count": 5})).text


def test_another_version_of_the_daemon_is_named() -> None:
    told = daemon.versions(STATE, command="2.0", client="2.0")
    assert "daemon 1.0" in told.text
    assert "restart" in told.remedy


@pytest.mark.parametrize(
    ("directories", "verdict"), [(10, "ok"), (700, "warning"), (1000, "error")]
)
def test_watches_are_held_against_the_limit(
    monkeypatch: pytest.MonkeyPatch, directories: int, verdict: str
) -> None:
    monkeypatch.setattr(host, "_number", lambda _name: 1000)
    told = host.watches([host.Store("a", "/a", directories)])
    assert told.verdict == verdict
    assert ("sysctl" in told.remedy) == (verdict != "ok")


def test_the_file_system_of_each_store_is_told() -> None:
    mounts = [Mount("/", "ext4", "x"), Mount("/nfs", "nfs4", "server:/x")]
    near, far = host.file_systems([host.Store("a", "/a"), host.Store("b", "/nfs/b")], mounts)
    assert "ext4, watched" in near.text
    assert "nfs4, polled" in far.text


def test_a_cache_on_a_network_file_system_or_in_memory_is_a_warning(tmp_path: Path) -> None:
    for kind in ("nfs4", "tmpfs"):
        mounts = [Mount("/", kind, "x")]
        found = host.cache(str(tmp_path), mounts, min_free=0, free_known=1 << 40)
        assert "cache.dir" in wrong(found).remedy


@pytest.mark.parametrize(("free", "verdict"), [(5, "error"), (15, "warning"), (25, "ok")])
def test_disk_room_is_held_against_what_must_stay_free(
    tmp_path: Path, free: int, verdict: str
) -> None:
    mounts = [Mount("/", "ext4", "x")]
    found = host.cache(str(tmp_path / "not/yet"), mounts, min_free=10, free_known=free)
    assert found[1].verdict == verdict


def test_files_from_the_future_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").touch()
    now = (tmp_path / "a.yaml").stat().st_mtime
    store = host.Store("path:/a", str(tmp_path))
    assert len(host.clock([store], now=lambda: now)) == 1
    assert "in the future" in host.clock([store], now=lambda: now - 3600)[1].text


def test_this_nodes_own_facts_can_be_read() -> None:
    assert host.watches([]).verdict == "ok"
    assert host.file_systems([host.Store("here", "/")], read_mounts())
    assert host.clock([])


def test_each_reason_why_nobody_answers_has_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "_ANSWER_SECONDS", 0.1)
    plain, dead, full = tmp_path / "file", tmp_path / "dead", tmp_path / "full"
    plain.touch()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(dead))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(full))
        sock.listen(4)
        seen = [sockets.look(str(each)) for each in (tmp_path / "none", plain, dead, full)]
    assert [each.fault for each in seen] == ["missing", "other", "refused", "silent"]
    assert seen[3].pid == os.getpid()
    found = sockets.findings(seen)
    assert verdicts(found) == {"error"}
    assert all(each.remedy for each in found)


def test_a_stopped_daemon_is_told_from_one_that_hangs() -> None:
    stopped = sockets.findings([sockets.Socket("/s", "silent", "stopped", "", 7)])
    assert stopped[0].remedy.endswith("kill -CONT 7")


def test_who_may_not_connect_is_told_which_group_may() -> None:
    denied = sockets.findings([sockets.Socket("/s", "denied", "", "0660 root:resolverd")])
    assert "usermod -aG resolverd" in denied[0].remedy


def test_a_socket_that_is_tried_first_and_fails_is_a_warning() -> None:
    good = sockets.Socket("/b", None, "", "0666 root:root", 7, STATE)
    found = sockets.findings([sockets.Socket("/a", "refused", "refused"), good])
    assert [each.verdict for each in found] == ["warning", "ok"]
    missing = sockets.findings([sockets.Socket("/a", "missing"), good])
    assert verdicts(missing) == {"ok"}
