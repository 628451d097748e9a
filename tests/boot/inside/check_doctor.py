"""``resolverctl doctor`` beside the sandboxed daemon, as those who would ask it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from node import client


def doctor(user: str) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        ["runuser", "-u", user, "--", "/opt/resolverd/bin/resolverctl", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        cwd="/",
    )
    return done.returncode, json.loads(done.stdout)["findings"]


def test_who_may_ask_finds_the_node_well() -> None:
    client().status()
    for user in ("root", "member"):
        code, found = doctor(user)
        assert code == 0, found
        assert {"socket", "versions", "worker", "watches", "disk room", "clock"} <= {
            each["check"] for each in found
        }


def test_who_may_not_is_told_which_group_may() -> None:
    code, found = doctor("outsider")
    assert code == 1
    assert found[0]["verdict"] == "error"
    assert "usermod -aG resolverd outsider" in found[0]["remedy"]
