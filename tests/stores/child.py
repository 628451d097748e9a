"""A watch in a process of its own: prints each report, then the status, as lines of JSON.

Arguments: a JSON object with ``root``, and optionally ``settings``, ``uid`` to run as, and
``limits`` of a new user namespace (sysctl names below ``/proc/sys/user`` and their values).
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import json
import os
import sys
import threading
from collections.abc import Sequence

import anyio.to_thread
import watchfiles  # noqa: F401  (before the identity changes: it may not be readable afterwards)

from resolverd.cards.file import StoreChange
from resolverd.cards.store import Store
from resolverd.stores.settings import WatchSettings
from resolverd.stores.status import WatchStatus
from resolverd.stores.watch import watch

CLONE_NEWUSER = 0x10000000
CLONE_NEWNS = 0x00020000


def enter_namespace(limits: dict[str, int]) -> None:
    """Become root of a user namespace, where anyone may lower the limits of inotify."""
    uid = os.getuid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "user namespaces are not allowed here")
    with open("/proc/self/uid_map", "w") as stream:
        stream.write(f"0 {uid} 1")
    for name, value in limits.items():
        with open(f"/proc/sys/user/{name}", "w") as stream:
            stream.write(str(value))


def mount_on_command(root: str) -> None:
    """Cover the root with an empty file system, and uncover it, for each line that is read."""
    libc = ctypes.CDLL(None, use_errno=True)
    target = root.encode()
    for line in sys.stdin:
        done = (
            libc.mount(b"tmpfs", target, b"tmpfs", 0, None)
            if line == "mount\n"
            else libc.umount2(target, 2)
        )
        if done != 0:
            raise OSError(ctypes.get_errno(), f"can't {line.strip()}")


def say(kind: str, value: object) -> None:
    print(json.dumps({kind: value}), flush=True)


async def become(order: dict) -> None:
    """Change identity late, once all modules are loaded."""
    await anyio.to_thread.run_sync(int)
    if "uid" in order:
        os.setgroups([])
        os.setgid(order["uid"])
        os.setuid(order["uid"])


async def main(order: dict) -> None:
    await become(order)
    status = WatchStatus()

    async def report(changes: Sequence[StoreChange]) -> None:
        for change in changes:
            say(
                "report",
                {
                    "state": change.state,
                    "reason": change.reason,
                    "files": {
                        one.path: None if one.data is None else one.data.decode()
                        for one in change.reads
                    },
                    "removed": sorted(change.removed),
                    "unreadable": dict(change.unreadable),
                },
            )

    async def show() -> None:
        last = None
        while True:
            line = next(iter(status.stores.values()), None)
            now = {
                "problem": status.problem and dataclasses.asdict(status.problem),
                "watched": status.watched_directories,
                "rebuilds": status.rebuilds,
                "recoveries": line.recoveries if line else 0,
                "scans": line.scans if line else 0,
            }
            if now != last:
                last = now
                say("status", now)
            await asyncio.sleep(0.01)

    root = order["root"]
    settings = WatchSettings(**order.get("settings", {}))
    asyncio.get_running_loop().create_task(show())
    await watch([Store(f"path:{root}", root)], {}, report, settings, status=status)


if __name__ == "__main__":
    command = json.loads(sys.argv[1])
    if "limits" in command:
        enter_namespace(command["limits"])
        threading.Thread(target=mount_on_command, args=[command["root"]], daemon=True).start()
    asyncio.run(main(command))
