"""The real fairseq2, started once and asked by every test of this folder."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fairseq2 import build_env, installed

COMMAND = "python3 tests/fairseq2/build_env.py"


class Oracle:
    """fairseq2 0.8.1 in a process of its own (see job.py): what it answers, or its refusal."""

    def __init__(self, env: Path, home: Path, beside: Sequence[Path]) -> None:
        # No card and no cache of whoever runs the tests.
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("FAIRSEQ2_", "XDG_"))}
        environ |= {"HOME": str(home), "HF_HUB_OFFLINE": "1", "RESOLVERD_SOCKET": "/nonexistent/s"}
        environ |= {"PYTHONPATH": os.pathsep.join(map(str, beside))}
        (packages,) = (env / "lib").glob("python*/site-packages")
        self.site_dir = packages
        self._process = subprocess.Popen(
            [build_env.python_of(env), Path(__file__).with_name("job.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )

    def ask(self, request: str, /, **arguments: object) -> object:
        """Send one request of job.py and wait for its answer."""
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
def environment():
    env = build_env.default_dir()
    if not build_env.is_up_to_date(env):
        reason = f"no fairseq2 0.8.1 to compare with in {env}; this builds it: {COMMAND}"
        if os.environ.get("RESOLVERD_REQUIRE_FAIRSEQ2"):
            pytest.fail(reason)
        pytest.skip(reason)
    return env


@pytest.fixture(scope="session")
def others(tmp_path_factory):
    """Extensions of others, found before and after resolverd's."""
    folder = tmp_path_factory.mktemp("others")
    return [installed.install_other(folder / name, f"{name}_ours") for name in ("before", "after")]


@pytest.fixture(scope="session")
def fairseq2(environment, others, tmp_path_factory):
    oracle = Oracle(environment, tmp_path_factory.mktemp("home"), others)
    yield oracle
    oracle.close()


@pytest.fixture(scope="session")
def extended(environment, others, tmp_path_factory):
    """fairseq2 with resolverd-client installed beside it, and nothing else done."""
    client = installed.install_client(tmp_path_factory.mktemp("site"))
    before, after = others
    oracle = Oracle(environment, tmp_path_factory.mktemp("home"), [before, client, after])
    yield oracle
    oracle.close()
