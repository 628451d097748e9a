"""A user's own daemon, under the user's own service manager."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from node import eventually, run, systemctl

PROGRAMS = "/opt/resolverd/bin"
NAME = "carol"
MANAGER = Path("/run/systemd/system/user@.service.d/check.conf")
CARD = "name: mine\nmodel_arch: one\n"
ASK = "from resolverd_client import Client; print(Client(timeout=60).get_metadata('mine'))"


@pytest.fixture(scope="module", autouse=True)
def _a_user() -> Iterator[None]:
    run("useradd", "--create-home", NAME)
    # What pam_systemd does, which so small a system lacks
    MANAGER.parent.mkdir(parents=True)
    MANAGER.write_text("[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n")
    systemctl("daemon-reload")
    systemctl("start", f"user@{pwd.getpwnam(NAME).pw_uid}.service")
    store = Path(f"/home/{NAME}/.config/fairseq2/assets")
    as_her("mkdir", "-p", str(store))
    (store / "mine.yaml").write_text(CARD)
    yield
    systemctl("stop", f"user@{pwd.getpwnam(NAME).pw_uid}.service")
    shutil.rmtree(f"/home/{NAME}")


def as_her(*command: str) -> str:
    """Run a command of hers that must work."""
    runtime = f"/run/user/{pwd.getpwnam(NAME).pw_uid}"
    home = f"/home/{NAME}"
    environ = [f"XDG_RUNTIME_DIR={runtime}", f"HOME={home}", f"PATH={PROGRAMS}:/usr/bin:/bin"]
    return run("runuser", "-u", NAME, "--", "env", "-i", "-C", home, *environ, *command)


def shown(name: str, unit: str = "resolverd.service") -> str:
    return as_her("systemctl", "--user", "show", "--value", f"--property={name}", unit).strip()


def test_a_user_installs_the_units_and_the_first_connection_starts_the_daemon() -> None:
    told = as_her("resolverd", "install-units", "--user")
    commands = [line.strip() for line in told.splitlines() if line.startswith("  systemctl")]
    assert commands
    for command in commands:
        as_her("sh", "-c", command.replace(" resolverd.service", ""))  # the socket alone
    assert shown("ActiveState") == "inactive"
    assert "'model_arch': 'one'" in as_her("python", "-c", ASK)
    eventually(lambda: shown("ActiveState") == "active")
    assert shown("StatusText").startswith("serving 1 card of ")


def test_it_is_hers_alone_and_keeps_its_cache_in_her_home() -> None:
    socket = Path(f"/run/user/{pwd.getpwnam(NAME).pw_uid}/resolverd/resolverd.sock")
    assert socket.stat().st_mode & 0o777 == 0o600
    assert socket.owner() == NAME
    assert Path(f"/home/{NAME}/.cache/resolverd").owner() == NAME


def test_it_reloads_and_is_started_again_when_it_is_killed() -> None:
    as_her("systemctl", "--user", "reload", "resolverd.service")
    before = int(shown("MainPID"))
    os.kill(before, 9)
    assert "'model_arch': 'one'" in as_her("python", "-c", ASK)
    eventually(lambda: int(shown("MainPID")) not in {0, before})


def test_its_sandbox_holds_what_a_users_manager_can_give() -> None:
    told = Path(f"/proc/{shown('MainPID')}/status").read_text()
    assert "\nSeccomp:\t2\n" in told
    assert "\nNoNewPrivs:\t1\n" in told
    assert f"\nUid:\t{pwd.getpwnam(NAME).pw_uid}\t" in told
