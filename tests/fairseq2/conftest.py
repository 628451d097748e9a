"""The real fairseq2, started once and asked by every test of this folder."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.fairseq2 import build_env

COMMAND = "python3 tests/fairseq2/build_env.py"


class Oracle:
    """fairseq2 0.8.1 in a process of its own (see oracle.py): what it answers, or its refusal."""

    def __init__(self, env: Path, home: Path) -> None:
        # No card and no cache of whoever runs the tests.
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("FAIRSEQ2_", "XDG_"))}
        environ |= {"HOME": str(home), "HF_HUB_OFFLINE": "1"}
        (packages,) = (env / "lib").glob("python*/site-packages")
        self.site_dir = packages
        self._process = subprocess.Popen(
            [build_env.python_of(env), Path(__file__).with_name("oracle.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )

    def ask(self, request: str, /, **arguments: object) -> object:
        """Send one request of oracle.py and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([request, arguments]), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, "the process that runs fairseq2 has ended: see its output"
        return json.loads(answer)

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()


@pytest.fixture(scope="session")
def fairseq2(tmp_path_factory):
    env = build_env.default_dir()
    if not build_env.is_up_to_date(env):
        reason = f"no fairseq2 0.8.1 to compare with in {env}; this builds it: {COMMAND}"
        if os.environ.get("RESOLVERD_REQUIRE_FAIRSEQ2"):
            pytest.fail(reason)
        pytest.skip(reason)
    oracle = Oracle(env, tmp_path_factory.mktemp("home"))
    yield oracle
    oracle.close()
