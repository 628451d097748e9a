"""A daemon of the real serving code over a fixed table, as a process of its own.

Run as ``python fixed_server.py SOCKET [--loop uvloop] [--cards N] [--no-page] [--limit name=n]``;
prints ``ready`` once it listens. SIGHUP publishes a new generation, in which ``changing@`` differs.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import resource
import signal
import sys
from pathlib import Path

from resolverd_client.errors import FetchError
from resolverd_client.protocol import pack

from resolverd.serving.call import Call, Reply
from resolverd.serving.limits import Limits
from resolverd.serving.listen import bind
from resolverd.serving.lookups import Lookups
from resolverd.serving.server import Server


def cards(count: int, generation: int) -> dict[str, bytes]:
    base = Path("/cards")
    table = {
        f"card{i}@": pack({"model_family": "llama", "model_arch": f"arch{i}",
                           "checkpoint": f"hg://org/card{i}", "tokenizer": "hg://org/tok",
                           "__base_path__": base}) for i in range(count)
    }  # fmt: skip
    table["changing@"] = pack({"generation": generation, "__base_path__": base})
    table["changing@env"] = pack({"env": True, "__base_path__": base})
    table["large@"] = pack({"text": "x" * 3_000_000})
    return table


class FixedServer:
    def __init__(self, options: argparse.Namespace) -> None:
        self.generation = 1
        self.count = options.cards
        self.watchers: dict[int, tuple[Call, str | None]] = {}
        self.file = options.socket + ".checkpoint"
        Path(self.file).write_text("weights")
        self.fleeting = Path(options.socket + ".cache")
        names = ("resolve", "watch", "slow", "echo", "fail", "crash", "path", "lease", "prefetch",
                 "running", "flood", "status")  # fmt: skip
        handlers = {name: getattr(self, name) for name in names}
        limits = Limits(**dict(options.limit))
        self.server = Server(handlers, version="test", limits=limits)
        if options.no_page:
            self.server.page = None
        self.running_now = 0

    def publish(self) -> None:
        self.server.publish(Lookups(self.generation, cards(self.count, self.generation)))

    def change(self) -> None:
        self.generation += 1
        self.publish()
        event = {"generation": self.generation, "added": [], "changed": ["changing@"],
                 "removed": [], "stale": []}  # fmt: skip
        for call, _ in self.watchers.values():
            call.notify("event", [call.id, event])

    async def resolve(self, call: Call, name: str, env: str | None) -> object:
        fields = {"name": name, "env": env} if name != "unknown" else None
        return [self.generation, fields]

    async def watch(self, call: Call, glob: str | None) -> object:
        key = id(call)
        self.watchers[key] = (call, glob)
        call.on_close(lambda: self.watchers.pop(key))
        return [call.id, self.generation]

    async def status(self, call: Call) -> object:
        return {"watchers": len(self.watchers), "running": self.running_now,
                "connections": self.server.connections, "peer": call.peer.pid,
                "fds": len(os.listdir("/proc/self/fd"))}  # fmt: skip

    async def slow(self, call: Call) -> object:
        self.running_now += 1
        try:
            await asyncio.sleep(3600)
        finally:
            self.running_now -= 1

    async def running(self, call: Call) -> object:
        return self.running_now

    async def echo(self, call: Call, value: object) -> object:
        return value

    async def fail(self, call: Call) -> object:
        raise FetchError("the origin says no", details={"status": 403})

    async def crash(self, call: Call) -> object:
        raise ZeroDivisionError("a bug")

    async def path(self, call: Call, target: dict[str, object], options: object) -> object:
        if target.get("name") == "elsewhere":
            return {"path": "/no/such/mount/objects/model.pt", "cache": "/no/such/mount"}
        if target.get("name") == "fleeting" and not self.fleeting.exists():
            (self.fleeting / "objects").mkdir(parents=True)
            gone = self.fleeting / "objects/k/model.pt"
            return {"path": gone, "inode": 1, "cache": str(self.fleeting)}
        if target.get("name") == "other":
            return {"path": self.file, "inode": 1, "cache": "/var/cache/x"}
        return {"path": self.file, "inode": os.stat(self.file).st_ino}

    async def lease(self, call: Call, target: dict[str, object], options: object) -> object:
        fd = os.open(self.file, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_SH)
        call.notify("progress", [call.id, {"done": 0}])
        return Reply({"path": self.file}, [fd])

    async def prefetch(
        self, call: Call, targets: list[dict[str, object]], options: object
    ) -> object:
        results = []
        for done, target in enumerate(targets):
            call.notify("progress", [call.id, {"done": done}])
            bad = target.get("name") == "bad"
            error = {"code": "verification-failed", "message": "wrong digest", "details": {}}
            results.append({**target, "path": self.file, "error": error if bad else None})
        return results

    async def flood(self, call: Call, count: int, size: int) -> object:
        for _ in range(count):
            call.notify("flood", ["x" * size])
        return None


async def main(options: argparse.Namespace) -> None:
    fixed = FixedServer(options)
    fixed.publish()
    listener = bind(options.socket)
    if options.files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (options.files, options.files))
    await fixed.server.start(listener.socket)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, fixed.change)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await stop.wait()
    await fixed.server.close()
    listener.close()


def pair(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    return name, float(value) if "." in value else int(value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("socket")
    parser.add_argument("--loop", default="asyncio")
    parser.add_argument("--cards", type=int, default=5)
    parser.add_argument("--files", type=int, default=0)
    parser.add_argument("--no-page", action="store_true")
    parser.add_argument("--limit", type=pair, action="append", default=[])
    chosen = parser.parse_args()
    if chosen.loop == "uvloop":
        import uvloop

        uvloop.install()
    asyncio.run(main(chosen))
