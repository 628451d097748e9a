"""A gated origin, a daemon with its token, and users who are no members of the group."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from resolverd_client import FetchError

from tests.checkpoints.origin import Origin
from tests.daemon.running import Daemon, card, daemon, eventually, write

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")
SECRET = "hush-0123456789abcdef"
DATA = os.urandom(1 << 20)
STRANGER = 60000


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


@pytest.fixture
def node(origin: Origin, tmp_path: Path) -> Iterator[Daemon]:
    """Knows the token of what is below ``/gated/``, which the group ``daemon`` may read."""
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "token").chmod(0o600)
    groups = 'read_groups = ["daemon"]' if os.geteuid() == 0 else ""
    text = f"""
    [[fetch.rules]]
    from = "{origin.url("/gated/")}"
    token_file = "{tmp_path}/token"
    {groups}
    """
    config = write(tmp_path / "config.toml", text)
    with daemon("--config", str(config)) as running:
        yield running


def put(node: Daemon, name: str, uri: str) -> None:
    write(node.store / f"{name}.yaml", card(name, checkpoint=uri))
    eventually(lambda: node.client().maybe_get_metadata(name))


def asked_by(node: Daemon, call: str, *groups: int) -> str:
    """What a user who is in some groups is told; ``call`` is an expression of a client."""
    code = (
        "import os, sys, fcntl, pathlib; from resolverd_client import Client, local\n"
        "socket, call, *groups = sys.argv[1:]\n"
        "Client(socket_path=socket).maybe_get_metadata('x')  # a stranger may import nothing here\n"
        f"os.setgroups(list(map(int, groups))); os.setgid({STRANGER}); os.setuid({STRANGER})\n"
        "client = Client(socket_path=socket, timeout=30)\n"
        "try: print(eval(call))\n"
        "except Exception as error: print(getattr(error, 'code', type(error).__name__), error)\n"
    )
    command = [sys.executable, "-c", code, str(node.socket), call, *map(str, groups)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@needs_root
def test_a_stranger_is_told_nothing_of_a_gated_file(node: Daemon, origin: Origin) -> None:
    origin.put("/gated/m.bin", DATA)
    put(node, "m", origin.url("/gated/m.bin"))
    for call in ("client.path('m')", "client.path('m', wait=False)", "client.prefetch(['m'])"):
        told = asked_by(node, call)
        assert "only members of daemon" in told
        assert "objects" not in told
    assert not origin.resources["/gated/m.bin"].requests  # nor is anything fetched for him
    path = node.client().path("m")
    assert path.read_bytes() == DATA
    for call in (
        "client.path('m')",
        "client.path('m', wait=False)",
        "client.lease('m').__enter__()",
        f"client.path(uri={origin.url('/gated/m.bin')!r}, kind='model')",
        f"client.path(uri={origin.url('/x/../gated/m.bin')!r}, kind='model')",
    ):
        told = asked_by(node, call)
        assert "denied" in told
        assert "objects" not in told
    told = asked_by(node, "client.prefetch(['m'], wait=False)")
    assert "denied" in told
    assert str(path) not in told


@needs_root
def test_a_stranger_reads_no_byte_of_it_on_disk(node: Daemon, origin: Origin) -> None:
    origin.put("/gated/m.bin", DATA)
    put(node, "m", origin.url("/gated/m.bin"))
    node.client().path("m")
    code = (
        "import os, sys\n"
        f"os.setgroups([]); os.setgid({STRANGER}); os.setuid({STRANGER})\n"
        "for folder, _, names in os.walk(sys.argv[1], followlinks=True):\n"
        "    for name in names:\n"
        "        try: sys.stdout.buffer.write(open(os.path.join(folder, name), 'rb').read())\n"
        "        except OSError: pass\n"
    )
    command = [sys.executable, "-c", code, str(node.cache)]
    seen = subprocess.run(command, capture_output=True, check=True).stdout
    assert b"m.bin" in seen  # the manifest
    assert DATA[:64] not in seen


@needs_root
def test_a_member_of_the_group_has_it(node: Daemon, origin: Origin) -> None:
    import grp  # noqa: PLC0415 -- of one test

    origin.put("/gated/m.bin", DATA)
    put(node, "m", origin.url("/gated/m.bin"))
    member = grp.getgrnam("daemon").gr_gid
    call = "len(client.path('m').read_bytes())"
    assert asked_by(node, call, member).strip() == str(len(DATA))


@needs_root
def test_another_rule_holds_from_the_reload_on(
    node: Daemon, origin: Origin, tmp_path: Path
) -> None:
    origin.put("/gated/m.bin", DATA)
    put(node, "m", origin.url("/gated/m.bin"))
    path = node.client().path("m")
    config = tmp_path / "config.toml"
    config.write_text(config.read_text().replace('["daemon"]', '["*"]'))
    node.signal(signal.SIGHUP)
    eventually(lambda: "objects" in asked_by(node, "client.path('m')"))
    assert path.stat().st_mode & 0o777 == 0o444
    config.write_text(config.read_text().replace('["*"]', "[]"))
    node.signal(signal.SIGHUP)
    eventually(lambda: "only the daemon's own user" in asked_by(node, "client.path('m')"))
    assert node.client().path("m") == path
    assert path.stat().st_mode & 0o777 == 0o400


def test_the_secret_is_nowhere_that_anyone_looks(node: Daemon, origin: Origin) -> None:
    origin.put("/gated/m.bin", DATA)
    echo = {"Location": f"http://127.0.0.1:1/{SECRET}?x={SECRET}"}
    origin.put("/gated/echo", b"", statuses=[(302, echo)] * 50)
    put(node, "m", origin.url("/gated/m.bin"))
    put(node, "echo", origin.url("/gated/echo"))
    node.client().path("m")
    assert origin.resources["/gated/m.bin"].requests[0]["authorization"] == f"Bearer {SECRET}"
    with pytest.raises(FetchError) as caught:
        node.client().path("echo", timeout=3)
    told = [str(caught.value), json.dumps(node.client().status(), default=str)]
    told += [node.ctl("status").stdout, node.ctl("--json", "status").stdout, node.log]
    told += [node.ctl("show", "m").stdout, json.dumps(node.client().verify(), default=str)]
    for folder, _, names in os.walk(node.cache):
        told += [Path(folder, name).read_bytes().decode("latin-1") for name in names]
    worker = node.client().status()["checkpoints"]["worker"]["pid"]
    assert node.process is not None
    for pid in (worker, node.process.pid):
        told.append(Path(f"/proc/{pid}/cmdline").read_text())
        told.append(Path(f"/proc/{pid}/environ").read_text())
    assert not [text for text in told if SECRET in text]
