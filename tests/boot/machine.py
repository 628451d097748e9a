"""Makes a small Debian with resolverd installed as an operator would, and boots it.

The bare system is made once and kept in the user's cache folder; what a test adds goes with it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSIDE = Path(__file__).with_name("inside")

KEPT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "resolverd-tests")

_SUITE = "bookworm"
_PYTHON = "3.11"  # of that suite
_PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,iproute2,procps"
_PROGRAMS = ("debootstrap", "systemd-nspawn", "unshare", "uv", "pip")

_PREPARE = """
set -eu
python3 -m venv /opt/resolverd
/opt/resolverd/bin/pip install -q --no-index -f /wheels resolverd pytest pytest-timeout
/opt/resolverd/bin/resolverd install-units
systemd-sysusers resolverd.conf
useradd --groups resolverd member
useradd outsider
systemctl --quiet enable resolverd.socket checks.service
systemctl --quiet mask getty.target console-getty.service
"""

_CHECKS = """
[Unit]
Description=What must hold in a booted system
After=basic.target sockets.target

[Service]
Type=oneshot
Environment=HOME=/root PYTHONDONTWRITEBYTECODE=1
ExecStart=/opt/resolverd/bin/python -m pytest /checks --config-file=/checks/pytest.ini
ExecStart=/bin/touch /checks/passed
ExecStopPost=/bin/sh -c 'journalctl -b -o short-monotonic > /checks/journal'
ExecStopPost=systemctl poweroff --force
TimeoutStartSec={seconds}
StandardOutput=file:/checks/output
StandardError=inherit

[Install]
WantedBy=multi-user.target
"""


def missing() -> str | None:
    """Say why no system can be booted here; None when one can."""
    if os.geteuid() != 0:
        return "only root can boot a system"
    absent = [program for program in _PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"there is no {', no '.join(absent)}"
    apart = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return None if apart.returncode == 0 else "this root may not make namespaces"


def boot(folder: Path, seconds: int) -> tuple[bool, str]:
    """Boot a system made in ``folder``, with the checks in it.

    Args:
        folder: Empty; taken up by a few hundred megabytes.
        seconds: What the checks may take.

    Returns:
        Whether every check passed, and what pytest and the journal say.
    """
    wheels = _wheels(folder / "wheels")
    machine = folder / "machine"
    with _alone():
        return _booted(machine, wheels, seconds)


@contextmanager
def _alone() -> Iterator[None]:
    """One machine at a time: each would take the same control groups for its own."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _booted(machine: Path, wheels: Path, seconds: int) -> tuple[bool, str]:
    _run(["cp", "-a", "--reflink=auto", str(_bare_system()), str(machine)])
    shutil.copytree(wheels, machine / "wheels")
    shutil.copytree(INSIDE, machine / "checks")
    shutil.copy(ROOT / "README.md", machine / "checks")
    (machine / "etc/systemd/system/checks.service").write_text(_CHECKS.format(seconds=seconds))
    try:
        _nspawn(machine, ["sh", "-c", _PREPARE], 120)
        _nspawn(machine, ["--boot"], seconds + 60)
        told = [machine / "checks" / name for name in ("output", "journal")]
        return (
            (machine / "checks/passed").exists(),
            "\n".join(file.read_text("utf-8", "replace") for file in told if file.exists()),
        )
    finally:
        shutil.rmtree(machine)


def _bare_system() -> Path:
    """A minimal system, from the cache or made now."""
    made_of = hashlib.sha256(f"{_SUITE} {_PACKAGES}".encode()).hexdigest()[:12]
    kept = KEPT / f"{_SUITE}-{made_of}"
    if not kept.exists():
        staged = kept.with_suffix(f".{os.getpid()}")
        include = ["--variant=minbase", f"--include={_PACKAGES}", _SUITE]
        try:
            _run(["debootstrap", *include, str(staged)], 600)
            staged.rename(kept)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return kept


def _wheels(target: Path) -> Path:
    """Both distributions, and all that they and the checks need, for the system's Python."""
    for source in (ROOT, ROOT / "client"):
        _run(["uv", "build", "--quiet", "--wheel", "--out-dir", str(target), str(source)])
    built = [str(wheel) for wheel in target.glob("*.whl")]
    options = ["--quiet", "--only-binary=:all:", "--python-version", _PYTHON, "--dest", str(target)]
    _run(["pip", "download", *options, *built, "pytest", "pytest-timeout"])
    return target


def _nspawn(machine: Path, what: Sequence[str], seconds: int) -> None:
    """Run something in the system, with a ``/run`` of its own: ours may lie on a disk."""
    command = [
        "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network",
        "--console=pipe", f"--directory={machine}", *what,
    ]  # fmt: skip
    apart = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run; exec "$@"', "sh"]
    _run([*apart, *command], seconds)


def _run(command: Sequence[str], seconds: int = 300) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
        env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
    )
    if done.returncode:
        sys.stderr.write(done.stdout)
        raise RuntimeError(f"{command[0]} failed with {done.returncode}: {done.stdout[-2000:]}")
