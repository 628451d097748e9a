"""The units that ``resolverd install-units`` writes, judged by systemd's own tools."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from resolverd.units import UnitsError, folder, hidden, install
from tests.daemon.running import card, daemon, eventually, write

MOST_EXPOSED = "14"  # tenths: what the unit must leave open is said in it
EXAMPLES = folder() / "examples"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze"
)


def run(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        timeout=60,
        check=False,
    )


def resolverd(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run(str(Path(sys.executable).with_name("resolverd")), *arguments, **environ)


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Where the system's units were installed."""
    done = resolverd("install-units", "--prefix", str(tmp_path))
    assert done.returncode == 0, done
    return tmp_path / "etc/systemd/system"


@needs_systemd
def test_systemd_finds_no_fault_with_the_systems_units(system: Path) -> None:
    units = [str(unit) for unit in sorted(system.iterdir())]
    done = run("systemd-analyze", "verify", "--man=no", *units)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_systemd_finds_no_fault_with_the_users_units(tmp_path: Path) -> None:
    resolverd("install-units", "--user", XDG_CONFIG_HOME=str(tmp_path))
    units = [str(unit) for unit in sorted((tmp_path / "systemd/user").iterdir())]
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = run("systemd-analyze", "--user", "verify", "--man=no", *units, **runtime)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_the_service_exposes_no_more_than_it_must(system: Path) -> None:
    unit = str(system / "resolverd.service")
    done = run("systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", unit)
    assert done.returncode == 0, done.stdout[-200:]


@needs_systemd
@pytest.mark.parametrize("drop_in", sorted(EXAMPLES.glob("*.conf")), ids=lambda path: path.name)
def test_systemd_finds_no_fault_with_an_example(system: Path, drop_in: Path) -> None:
    kind = "socket" if "socket" in drop_in.name else "service"
    target = system / f"resolverd.{kind}.d" / drop_in.name
    target.parent.mkdir()
    shutil.copy(drop_in, target)
    units = [str(unit) for unit in sorted(system.iterdir()) if unit.is_file()]
    done = run("systemd-analyze", "verify", "--man=no", *units)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes users")
def test_the_user_and_the_sockets_folder_are_made(system: Path) -> None:
    root = system.parents[2]
    made = [
        run("systemd-sysusers", f"--root={root}", "resolverd.conf"),
        run("systemd-tmpfiles", "--create", f"--root={root}", "resolverd.conf"),
    ]
    assert [done.returncode for done in made] == [0, 0], made
    assert "/var/lib/resolverd:/usr/sbin/nologin" in (root / "etc/passwd").read_text()
    status = (root / "run/resolverd").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o755, 0)


def test_the_units_start_this_very_program(system: Path) -> None:
    program = Path(sys.executable).with_name("resolverd")
    text = (system / "resolverd.service").read_text()
    assert f"\nExecStart={program} serve\n" in text
    assert f"\nExecReload={program} check-config\n" in text
    assert "/usr/bin/resolverd" not in text


def test_what_was_written_and_what_comes_next_is_told(tmp_path: Path) -> None:
    told = resolverd("install-units", "--user", XDG_CONFIG_HOME=str(tmp_path)).stdout
    assert f"wrote {tmp_path}/systemd/user/resolverd.service\n" in told
    assert "  systemctl --user enable --now resolverd.socket resolverd.service\n" in told
    assert f"examples: {EXAMPLES}" in told


def test_units_are_written_anew_over_older_ones(system: Path) -> None:
    unit = system / "resolverd.service"
    unit.write_text("[Service]\nExecStart=/old")
    resolverd("install-units", "--prefix", str(system.parents[2]))
    assert "ExecStart=/old" not in unit.read_text()
    assert stat.S_IMODE(unit.stat().st_mode) == 0o644


def test_a_folder_that_can_not_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    file = write(tmp_path / "file", "")
    done = resolverd("install-units", "--prefix", str(file))
    assert done.returncode == 1
    assert f"{file}" in done.stderr
    assert "give --user or --prefix DIR" in done.stderr


def test_a_program_that_the_unit_hides_is_warned_of() -> None:
    (warning,) = [each for each in hidden("/home/me/bin/resolverd") if "/home/me" in each]
    assert "ProtectHome=" in warning
    assert "install resolverd outside" in warning


def test_a_program_whose_path_is_no_word_to_systemd_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = write(tmp_path / "a b" / "resolverd", "#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    with pytest.raises(UnitsError, match="install elsewhere"):
        install(tmp_path, user=False)


def slurm(script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a prolog or epilog with resolverctl on its path."""
    text = (
        (EXAMPLES / script)
        .read_text()
        .replace("/opt/resolverd/bin", str(Path(sys.executable).parent))
    )
    return run("sh", "-c", text, **environ)


@pytest.mark.parametrize("script", ["slurm-prolog.sh", "slurm-epilog.sh"])
def test_slurms_scripts_never_drain_a_node(script: str) -> None:
    done = slurm(script, SLURM_JOB_COMMENT="assets=a", RESOLVERD_SOCKET="/" + 200 * "x")
    assert "choose a shorter" in done.stderr or "name a shorter" in done.stderr
    assert done.returncode == 0


def test_slurms_prolog_fetches_what_the_job_names_and_nothing_else(tmp_path: Path) -> None:
    with daemon() as node:
        for name in ("one", "two", "three"):
            file = write(node.store / f"{name}.bin", name)
            write(node.store / f"{name}.yaml", card(name, checkpoint=f"file://{file}"))
        eventually(lambda: len(node.client().asset_names) == 3)
        asked = "assets=one,*,--all,$(touch x),http://127.0.0.1:1/x,two"
        done = slurm("slurm-prolog.sh", SLURM_JOB_COMMENT=asked, RESOLVERD_SOCKET=str(node.socket))
        assert done.returncode == 0
        refused = [line for line in done.stderr.splitlines() if "no name of a card" in line]
        assert len(refused) == 4, done.stderr
        assert all(name not in done.stderr for name in ("three", "three@"))
