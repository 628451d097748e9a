"""Every line of the sandbox is in force, while everything that the daemon is for works in it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from node import client, eventually, main_pid, shown, systemctl, write_card

from resolverd.demo.origin import serving

UNIT = Path("/etc/systemd/system/resolverd.service")
PROBE = Path("/run/systemd/system/probe.service")
REFUSED, MISSING, HIDDEN = (
    f"refused: {reason}"
    for reason in ("Operation not permitted", "No such file or directory", "Permission denied")
)
NOTHING = "0" * 16

IN_FORCE: dict[str, Any] = {
    "NoNewPrivileges": "1",
    "CapabilityBoundingSet": NOTHING,
    "AmbientCapabilities": NOTHING,
    "ProtectSystem": "refused: Read-only file system",
    "ProtectHome": HIDDEN,
    "PrivateTmp": MISSING,
    "PrivateDevices": MISSING,
    "ProtectKernelModules": HIDDEN,
    "ProtectControlGroups": 1,
    "ProtectProc": MISSING,
    "ProcSubset": MISSING,
    "RestrictNamespaces": REFUSED,
    "RestrictSUIDSGID": REFUSED,
    "LockPersonality": REFUSED,
    "MemoryDenyWriteExecute": REFUSED,
    "SystemCallFilter": REFUSED,
    "SystemCallFilter ~@resources": REFUSED,
    "SystemCallFilter setpriority": None,
    "RestrictAddressFamilies": "refused: Address family not supported by protocol",
    "RestrictAddressFamilies others": None,
    "LimitCORE": [0, 0],
}
"""By line of the unit, what an attempt from inside comes to."""

OF_ITS_OWN = {"PrivateIPC": "ipc", "PrivateMounts": "mnt", "ProtectHostname": "uts"}
SHARED = {"PrivateNetwork": "net"}

AS_READ = {
    "DevicePolicy": "closed",
    "ProtectKernelTunables": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectClock": "yes",
    "RestrictRealtime": "yes",
    "RemoveIPC": "yes",
    "KeyringMode": "private",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "1",
}
"""Lines that an attempt without privileges can't tell from their absence: as systemd reads them."""


@pytest.fixture(scope="module")
def acts() -> dict[str, Any]:
    """What comes of attempts inside the unit's sandbox, by line."""
    for folder in (Path("/srv/open"), Path("/usr/lib/modules")):
        folder.mkdir(exist_ok=True)
    Path("/srv/open").chmod(0o777)
    Path("/tmp/marker").touch()
    unit = re.sub(
        r"(?m)^(Type|Exec\w+|Restart|Watchdog\w+|Requires|Also)=.*\n", "", UNIT.read_text()
    )
    act = "Type=oneshot\nExecStart=/opt/resolverd/bin/python /checks/faults/acts.py"
    PROBE.write_text(unit.replace("[Service]", f"[Service]\n{act}"))
    systemctl("daemon-reload")
    systemctl("start", "probe.service")
    return dict(json.loads(Path("/var/lib/resolverd/acts.json").read_text()))


@pytest.mark.parametrize("line", IN_FORCE)
def test_a_line_is_in_force(acts: dict[str, Any], line: str) -> None:
    assert acts[line] == IN_FORCE[line]


@pytest.mark.parametrize("line", OF_ITS_OWN)
def test_a_namespace_is_its_own(acts: dict[str, Any], line: str) -> None:
    assert acts[line] != os.readlink(f"/proc/1/ns/{OF_ITS_OWN[line]}")


def test_clients_keep_their_ids_and_origins_are_in_reach(acts: dict[str, Any]) -> None:
    assert acts["PrivateUsers"] == Path("/proc/1/uid_map").read_text().split()
    assert acts["PrivateNetwork"] == os.readlink("/proc/1/ns/net")


@pytest.mark.parametrize("line", AS_READ)
def test_a_line_is_read_as_it_is_meant(line: str) -> None:
    assert shown(line) == AS_READ[line]


def test_no_line_of_the_sandbox_is_left_unchecked(acts: dict[str, Any]) -> None:
    sandbox = UNIT.read_text().partition("# What it can't do")[2].partition("[Install]")[0]
    lines = set(re.findall(r"(?m)^(\w+)=", sandbox))
    assert lines - set(acts) == set(AS_READ)
    assert set(acts) == {*IN_FORCE, *OF_ITS_OWN, *SHARED, "PrivateUsers"}


def test_all_that_the_daemon_is_for_works_in_it(tmp_path: Path) -> None:
    job = client()
    data = os.urandom(8 << 20)
    (tmp_path / "large.bin").write_bytes(data)
    with serving(tmp_path, 1 << 30) as origin:
        checksum = f"sha256:{hashlib.sha256(data).hexdigest()}"
        write_card("large", checkpoint=f"{origin.url}/large.bin", checksum=checksum)
        eventually(lambda: job.maybe_get_metadata("large"))  # inotify saw it
        job.prefetch(["large"], wait=True)
    assert Path(job.path("large")).read_bytes() == data
    status = job.status()
    assert [store["mode"] for store in status["stores"]] == ["watched"]
    worker = status["checkpoints"]["worker"]["pid"]
    assert os.getpriority(os.PRIO_PROCESS, worker) == 19
    for pid in (main_pid(), worker):
        told = Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"(?m)^Seccomp:\s2$", told)
        assert re.search(r"(?m)^NoNewPrivs:\s1$", told)
        assert re.search(r"(?m)^CapEff:\s0+$", told)
