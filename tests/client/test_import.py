"""Importing the client costs little, and leaving a program costs no noise."""

from __future__ import annotations

import subprocess
import sys

from tests.serving.served import served

HEAVY = ("asyncio", "concurrent", "contextlib", "dataclasses", "inspect", "logging", "pathlib",
         "subprocess", "threading", "typing", "resolverd", "fairseq2")  # fmt: skip


def run(code: str, *arguments: str) -> str:
    # -S: what a machine's site-packages import by themselves is not the client's doing.
    paths = f"import sys; sys.path[:0] = {sys.path!r}; "
    command = [sys.executable, "-S", "-c", paths + code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_the_import_loads_no_heavy_module() -> None:
    code = f"import resolverd_client; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert run(code).strip() == "[]"


def test_a_program_that_closes_nothing_ends_silently() -> None:
    code = (
        "from resolverd_client import Client; client = Client(sys.argv[1]); client.get_names();"
        "lease = client.lease('a'); events = client.watch()"
    )
    with served() as server:
        assert run(code, server.path) == ""
