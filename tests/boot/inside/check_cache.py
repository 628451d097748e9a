"""Who may ask, and who may read what was fetched."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from node import client, eventually, run, write_card

from resolverd.demo.origin import serving

CACHE = Path("/var/cache/resolverd")
ASK = "from resolverd_client import Client; print(Client(timeout=60).path('tiny'))"
PYTHON = "/opt/resolverd/bin/python"


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A checkpoint, fetched over HTTP from this machine."""
    files = tmp_path_factory.mktemp("origin")
    data = os.urandom(3 << 20)
    (files / "tiny.bin").write_bytes(data)
    with serving(files, 1 << 30) as origin:
        checksum = f"sha256:{hashlib.sha256(data).hexdigest()}"
        write_card("tiny", checkpoint=f"{origin.url}/tiny.bin", checksum=checksum)
        eventually(lambda: client().maybe_get_metadata("tiny"))
        path = client().path("tiny")
        assert Path(path).read_bytes() == data
        yield str(path)


def as_user(name: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["runuser", "-u", name, "--", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        cwd="/",
    )


def test_the_cache_is_the_daemons_and_its_groups(fetched: str) -> None:
    status = CACHE.stat()
    assert run("stat", "-c", "%U:%G", str(CACHE)).strip() == "resolverd:resolverd"
    assert stat.S_IMODE(status.st_mode) == 0o750
    assert os.stat(fetched).st_uid == status.st_uid
    assert stat.S_IMODE(os.stat(fetched).st_mode) & 0o222 == 0


def test_a_member_of_the_group_asks_and_reads(fetched: str) -> None:
    asked = as_user("member", PYTHON, "-c", ASK)
    assert asked.stdout.strip() == fetched, asked
    assert as_user("member", "cmp", fetched, fetched).returncode == 0


def test_an_outsider_is_refused_by_the_socket_and_by_the_cache(fetched: str) -> None:
    asked = as_user("outsider", PYTHON, "-c", ASK)
    assert "no right to connect to /run/resolverd/resolverd.sock" in asked.stderr, asked
    assert "Permission denied" in as_user("outsider", "cat", fetched).stderr


def test_nobody_but_the_daemon_can_change_the_cache_or_take_the_sockets_place(
    fetched: str,
) -> None:
    for place in (fetched, str(Path(fetched).parent / "new"), "/run/resolverd/other.sock"):
        for user in ("member", "outsider"):
            assert as_user(user, "touch", place).returncode != 0
