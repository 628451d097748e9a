"""Tries what the unit forbids, from inside of it; writes what happened as JSON."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
NEW_USER_NAMESPACE, NO_RANDOM_ADDRESSES, TRACE_ME = 0x10000000, 0x0040000, 0
HERE = Path(os.environ["STATE_DIRECTORY"])


def call(name: str, *arguments: int) -> None:
    if getattr(LIBC, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


def status(field: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{field}:"))


def suid() -> None:
    file = HERE / "suid"
    file.touch()
    file.chmod(0o4755)


ACTS: dict[str, Callable[[], object]] = {
    "NoNewPrivileges": lambda: status("NoNewPrivs"),
    "CapabilityBoundingSet": lambda: status("CapBnd"),
    "AmbientCapabilities": lambda: status("CapAmb"),
    "ProtectSystem": lambda: Path("/srv/open/file").touch(),
    "ProtectHome": lambda: os.listdir("/home"),
    "PrivateTmp": lambda: os.stat("/tmp/marker"),
    "PrivateDevices": lambda: os.stat("/dev/console"),
    "PrivateIPC": lambda: os.readlink("/proc/self/ns/ipc"),
    "PrivateMounts": lambda: os.readlink("/proc/self/ns/mnt"),
    "ProtectHostname": lambda: os.readlink("/proc/self/ns/uts"),
    "PrivateNetwork": lambda: os.readlink("/proc/self/ns/net"),
    "PrivateUsers": lambda: Path("/proc/self/uid_map").read_text().split(),
    "ProtectKernelModules": lambda: os.listdir("/usr/lib/modules"),
    "ProtectControlGroups": lambda: os.statvfs("/sys/fs/cgroup").f_flag & os.ST_RDONLY,
    "ProtectProc": lambda: os.stat("/proc/1"),
    "ProcSubset": lambda: os.stat("/proc/cpuinfo"),
    "RestrictNamespaces": lambda: call("unshare", NEW_USER_NAMESPACE),
    "RestrictSUIDSGID": suid,
    "LockPersonality": lambda: call("personality", NO_RANDOM_ADDRESSES),
    "MemoryDenyWriteExecute": lambda: mmap.mmap(
        -1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    ),
    "SystemCallFilter": lambda: call("ptrace", TRACE_ME, 0, 0, 0),
    "SystemCallFilter ~@resources": lambda: os.sched_setaffinity(0, {0}),
    "SystemCallFilter setpriority": lambda: os.setpriority(os.PRIO_PROCESS, 0, 19),
    "RestrictAddressFamilies": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "RestrictAddressFamilies others": lambda: socket.socket(socket.AF_INET6).close(),
    "LimitCORE": lambda: resource.getrlimit(resource.RLIMIT_CORE),
}


def tried(act: Callable[[], object]) -> object:
    try:
        return act()
    except OSError as error:
        return f"refused: {os.strerror(error.errno or 0)}"


def shown(value: object) -> object:
    return value if isinstance(value, (int, str, list, tuple, type(None))) else "allowed"


(HERE / "acts.json").write_text(json.dumps({key: shown(tried(act)) for key, act in ACTS.items()}))
