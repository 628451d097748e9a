"""Who listens where, and if nobody does, why."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from resolverd_client import Client, ResolverdError
from resolverd_client.connection import SYSTEM_SOCKET

from resolverd.ctl.doctor.finding import Finding, error, ok, warning

_UNITS = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
_ANSWER_SECONDS = 5.0
_STOPPED, _WAITING = "stopped", "waiting for a disk or a file system"


@dataclass(frozen=True, slots=True)
class Socket:
    """One place where a daemon may listen.

    Attributes:
        path: The place.
        fault: Why nobody answers there: ``missing``, ``other`` (no socket), ``denied``,
            ``refused``, ``silent``, ``failed``; None when a daemon does.
        detail: The fault in the system's words; of a silent daemon what its process is doing.
        mode: Such as ``0666 root:root``; empty when nothing is there.
        pid: The process that listens, where the kernel tells.
        state: The daemon's status.
    """

    path: str
    fault: str | None
    detail: str = ""
    mode: str = ""
    pid: int | None = None
    state: dict[str, Any] | None = None


def look(path: str) -> Socket:
    """Find out about one socket; takes seconds at most."""
    try:
        found = os.stat(path)
    except OSError as fault:
        kind = "denied" if isinstance(fault, PermissionError) else "missing"
        return Socket(path, kind, fault.strerror or str(fault))
    mode = f"{stat.S_IMODE(found.st_mode):04o} {_user(found.st_uid)}:{_group(found.st_gid)}"
    if not stat.S_ISSOCK(found.st_mode):
        return Socket(path, "other", mode=mode)
    try:
        pid = _listener(path)
    except PermissionError as fault:
        return Socket(path, "denied", fault.strerror or "", mode)
    except TimeoutError:
        return Socket(path, "silent", mode=mode)
    except OSError as fault:
        return Socket(path, "refused", fault.strerror or str(fault), mode)
    return _asked(path, mode, pid)


def _asked(path: str, mode: str, pid: int) -> Socket:
    try:
        state = Client(socket_path=path, timeout=_ANSWER_SECONDS).status()
    except ResolverdError as fault:
        if fault.code == "unavailable":
            return Socket(path, "silent", _doing(pid), mode, pid)
        return Socket(path, "failed", str(fault), mode, pid)
    return Socket(path, None, "", mode, pid, state)


def _listener(path: str) -> int:
    """Give the process that listens; 0 when the kernel hides it."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(_ANSWER_SECONDS)
        sock.connect(path)
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[0])


def _doing(pid: int) -> str:
    """Say what a process that does not answer is doing."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            letter = file.read().rpartition(") ")[2][:1]
    except OSError:
        return ""
    return {"T": _STOPPED, "t": _STOPPED, "D": _WAITING}.get(letter, "")


def findings(sockets: Sequence[Socket]) -> list[Finding]:
    """Judge the places where a daemon may listen; one that answers is enough."""
    for each in sockets:
        if each.fault is None:
            who = f"pid {each.pid}" if each.pid else "a daemon"
            return [*_passed_over(sockets), ok("socket", f"{each.path} ({each.mode}): {who}")]
    return [error("socket", *_said(each)) for each in sockets]


def _passed_over(sockets: Sequence[Socket]) -> list[Finding]:
    """Name a socket that clients try first and fail at."""
    before = [each for each in sockets if each.fault is not None]
    return [warning("socket", *_said(each)) for each in before if each.fault != "missing"]


def _said(each: Socket) -> tuple[str, str]:
    text, remedy = _SAYINGS[each.fault or ""](each)
    return f"{each.path}: {text}", remedy


def _start(path: str) -> str:
    if path != SYSTEM_SOCKET:
        return "start the daemon: resolverd serve"
    if any(os.path.exists(f"{folder}/resolverd.socket") for folder in _UNITS):
        return "start it: systemctl enable --now resolverd.socket; its log: journalctl -u resolverd"
    return "install the units (see the README), or start the daemon: resolverd serve"


def _restart(path: str) -> str:
    if path == SYSTEM_SOCKET:
        return "restart it: systemctl restart resolverd; its log: journalctl -u resolverd"
    return "restart it: resolverd serve"


def _denied(each: Socket) -> tuple[str, str]:
    who = f" ({each.mode})" if each.mode else ""
    group = each.mode.rpartition(":")[2]
    join = f"usermod -aG {group} {_user(os.getuid())}, then log in again; " if group else ""
    return f"this user may not connect{who}", f"{join}or widen daemon.socket_mode"


def _silent(each: Socket) -> tuple[str, str]:
    remedies = {_STOPPED: f"let it go on: kill -CONT {each.pid}", _WAITING: "see why: dmesg"}
    doing = f", which is {each.detail}," if each.detail else ""
    who = f"pid {each.pid}" if each.pid else "the daemon"
    return f"{who}{doing} does not answer", remedies.get(each.detail, _restart(each.path))


_SAYINGS: dict[str, Callable[[Socket], tuple[str, str]]] = {
    "missing": lambda s: (f"nobody listens ({s.detail})", _start(s.path)),
    "other": lambda _: ("is no socket", "remove it, or choose another daemon.socket"),
    "denied": _denied,
    "refused": lambda s: (f"nobody listens any more ({s.detail})", _restart(s.path)),
    "silent": _silent,
    "failed": lambda s: (s.detail, "see the versions below, and the daemon's log"),
}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
