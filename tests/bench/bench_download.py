"""Downloads of one file, verified by SHA-256 and durable: resolverd beside what else there is.

Run by hand: ``uv run python tests/bench/bench_download.py [--size MIB] [--rounds N]``. It needs
nginx, curl, sha256sum and aria2c, and the environment that ``tests/fairseq2/build_env.py`` makes,
for fairseq2 and huggingface_hub; it says which of them is missing, and goes on without.

All fetch from one nginx on loopback, which sends from the page cache; rounds are interleaved, and
the best of each counts. A time ends when the bytes are verified and synced. SHA-256 on one core and
a plain write with fdatasync are measured between them, as both bound what is possible.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.service import Checkpoints

MIB = 1 << 20
ROOT = Path(__file__).resolve().parents[2]
PEER = ROOT / ".fairseq2-env" / "bin" / "python"
THROTTLED_MIB = 8

NGINX = """
user root; worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000; sendfile_max_chunk 2m;
  server {{
    listen 127.0.0.1:{port}; {tls}
    root {folder}/www;
    location /throttled/ {{ alias {folder}/www/; limit_rate {rate}m; }}
    location /org/repo/resolve/main/ {{
      alias {folder}/www/; add_header X-Repo-Commit 1111111111111111111111111111111111111111;
    }}
  }}
}}
"""

FAIRSEQ2 = """
import hashlib, os, sys, time
from fairseq2.assets import AssetDownloadManager
from fairseq2.composition import _register_library
from fairseq2.runtime.dependency import DependencyContainer
from fairseq2.utils.uri import Uri
container = DependencyContainer()
_register_library(container, no_progress=True)
manager = container.resolve(AssetDownloadManager)
began = time.perf_counter()
path = manager.download_model(Uri.parse(sys.argv[1]))
with open(path, "rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    os.fdatasync(file.fileno())
print(time.perf_counter() - began, digest)
"""

HUB = """
import os, subprocess, sys, time
from huggingface_hub import hf_hub_download
began = time.perf_counter()
path = hf_hub_download("org/repo", "file", cache_dir=sys.argv[1])
digest = subprocess.run(["sha256sum", path], capture_output=True, check=True, text=True).stdout
with open(path, "rb") as file:
    os.fdatasync(file.fileno())
print(time.perf_counter() - began, digest.split()[0])
"""


@dataclass
class Origin:
    """An nginx that serves one file."""

    folder: Path
    port: int
    digest: str
    size: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/file"


@dataclass
class Figures:
    """Seconds of each contestant, and what was seen beside them."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    sha256: list[float] = field(default_factory=list)
    disk: list[float] = field(default_factory=list)
    memory: int = 0

    def add(self, name: str, seconds: float) -> None:
        self.seconds.setdefault(name, []).append(seconds)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--size", type=int, default=2048, help="MiB of the file")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--dir", default="/tmp", help="where, on the disk to measure")
    options.add_argument("--only", default="", help="contestants, separated by commas")
    options.add_argument("--throttled", action="store_true", help="the throttled origin alone")
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rd-bench-", dir=chosen.dir))
    try:
        with origin(folder, chosen.size) as server:
            if not chosen.throttled:
                compare(server, chosen.rounds, chosen.only)
            throttled(server)
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def origin(folder: Path, mib: int) -> Iterator[Origin]:
    """Serve random bytes until the block ends."""
    if missing("nginx"):
        sys.exit("nginx is missing, and nothing can be measured without it: apt install nginx")
    (folder / "www").mkdir()
    hashed = hashlib.sha256()
    with open(folder / "www" / "file", "wb") as file:
        for _ in range(mib):
            piece = os.urandom(MIB)
            hashed.update(piece)
            file.write(piece)
    for name in ("file", "part1", "part8"):
        (folder / "www" / f"{name}.small").write_bytes(b"small")
    os.sync()  # or its write-out would be measured
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, rate=THROTTLED_MIB, tls=""))
    server = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(config)])
    try:
        while not answers(port):
            time.sleep(0.01)
        yield Origin(folder, port, hashed.hexdigest(), mib * MIB)
    finally:
        server.terminate()
        server.wait()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def missing(*programs: str) -> list[str]:
    return [name for name in programs if shutil.which(name) is None]


# -- contestants: each gives the seconds it took


def by_resolverd(server: Origin, work: Path, figures: Figures) -> float:
    """The engine with its worker process, from asking to published."""
    url = f"http://127.0.0.1:{server.port}/file"
    seconds, memory = anyio.run(fetched, work / "cache", 8, Wanted("model", url, server.digest))
    figures.memory = max(figures.memory, memory)
    return seconds


async def fetched(cache: Path, connections: int, wanted: Wanted) -> tuple[float, int]:
    """Seconds, and the most bytes of memory, that the engine takes for a file."""
    service = Checkpoints(cache, Limits(connections=connections), Policy(file_roots=None))
    async with anyio.create_task_group() as group:
        await group.start(service.run)
        # The worker starts once, with the daemon: what it takes is not a download's.
        await service.ensure(Wanted("model", wanted.uri.replace("/throttled", "") + ".small"))
        pid = service.status()["worker"]["pid"]
        with contextlib.suppress(PermissionError):  # as root: on a busy machine all compete alike
            os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0))
        began = time.perf_counter()
        await service.ensure(wanted)
        seconds = time.perf_counter() - began
        memory = peak_memory(pid)
        group.cancel_scope.cancel()
    return seconds, memory


def by_fairseq2(server: Origin, work: Path, _: Figures) -> float:
    environ = {"FAIRSEQ2_CACHE_DIR": str(work), "FAIRSEQ2_NO_PROGRESS": "1"}
    return told([str(PEER), "-c", FAIRSEQ2, server.url], server, environ)


def by_hub(server: Origin, work: Path, _: Figures) -> float:
    environ = {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.port}",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return told([str(PEER), "-c", HUB, str(work)], server, environ)


def by_aria2(server: Origin, work: Path, _: Figures) -> float:
    checksum = f"--checksum=sha-256={server.digest}"
    quiet = ["--quiet", "--file-allocation=falloc", "-x8", "-s8", "-d", str(work), "-o", "file"]
    began = time.perf_counter()
    subprocess.run(["aria2c", *quiet, checksum, server.url], check=True)
    sync(work / "file")
    return time.perf_counter() - began


def by_curl(server: Origin, work: Path, _: Figures) -> float:
    target = work / "file"
    began = time.perf_counter()
    subprocess.run(["curl", "-sf", "-o", str(target), server.url], check=True)
    said = subprocess.run(["sha256sum", target], capture_output=True, check=True, text=True)
    sync(target)
    took = time.perf_counter() - began
    assert said.stdout.split()[0] == server.digest
    return took


def told(command: list[str], server: Origin, environ: dict[str, str]) -> float:
    """Run a program that tells seconds and digest: imports do not count."""
    ran = subprocess.run(
        command, env={**os.environ, **environ}, stdout=subprocess.PIPE, check=True, text=True
    )
    seconds, digest = ran.stdout.split()
    assert digest == server.digest
    return float(seconds)


CONTESTANTS: dict[str, Callable[[Origin, Path, Figures], float]] = {
    "resolverd": by_resolverd,
    "fairseq2 + hashlib": by_fairseq2,
    "huggingface_hub + sha256sum": by_hub,
    "aria2c -x8 --checksum": by_aria2,
    "curl, then sha256sum": by_curl,
}


def present(only: str) -> list[str]:
    """The contestants that can take part; the others are named."""
    lacking = {"aria2c -x8 --checksum": missing("aria2c")}
    lacking["curl, then sha256sum"] = missing("curl", "sha256sum")
    peers = [] if PEER.exists() else [f"{PEER} (python3 tests/fairseq2/build_env.py)"]
    lacking["fairseq2 + hashlib"] = lacking["huggingface_hub + sha256sum"] = peers
    for name, what in lacking.items():
        if what:
            print(f"left out: {name}: missing: {', '.join(what)}")
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    return [
        name
        for name in CONTESTANTS
        if not lacking.get(name) and (not wanted or any(part in name for part in wanted))
    ]


# -- what is measured


def compare(server: Origin, rounds: int, only: str) -> None:
    figures, names = Figures(), present(only)
    for number in range(rounds):
        figures.sha256.append(sha256_rate())
        figures.disk.append(disk_rate(server.folder, server.size))
        for name in names:
            work = server.folder / "work"
            work.mkdir()
            figures.add(name, CONTESTANTS[name](server, work, figures))
            shutil.rmtree(work)
        took = ", ".join(f"{name} {figures.seconds[name][-1]:.2f} s" for name in names)
        print(f"round {number + 1}: {took}", flush=True)
    show(figures, server.size)


def show(figures: Figures, size: int) -> None:
    best = {name: size / min(seconds) / 1e9 for name, seconds in figures.seconds.items()}
    bounds = {
        "SHA-256 on one core": max(figures.sha256),
        "a plain write with fdatasync": max(figures.disk),
    }
    ours = best.get("resolverd", 0.0)
    print(f"\n{size // MIB} MiB, best of {len(figures.sha256)} interleaved rounds")
    print(f"{'':32}{'GB/s':>8}{'resolverd is':>16}")
    for name, rate in best.items():
        print(f"{name:32}{rate:8.2f}{ours / rate:15.1f}x")
    for name, rate in bounds.items():
        print(f"{name:32}{rate:8.2f}{ours / rate:15.2f}x")
    print(f"worker memory at its peak: {figures.memory / MIB:.0f} MiB")


def throttled(server: Origin) -> None:
    """One connection against eight, where each is held to the same rate."""
    rates = {}
    for connections, mib in ((1, 6 * THROTTLED_MIB), (8, 36 * THROTTLED_MIB)):
        part = server.folder / "www" / f"part{connections}"
        with open(server.folder / "www" / "file", "rb") as whole:
            part.write_bytes(whole.read(mib * MIB))
        wanted = Wanted("model", f"http://127.0.0.1:{server.port}/throttled/{part.name}")
        cache = server.folder / f"cache{connections}"
        seconds, _ = anyio.run(fetched, cache, connections, wanted)
        rates[connections] = part.stat().st_size / seconds
    print(
        f"at {THROTTLED_MIB} MiB/s a connection: one {rates[1] / MIB:.1f} MiB/s, "
        f"eight {rates[8] / MIB:.1f} MiB/s: {rates[8] / rates[1]:.1f}x"
    )


def sha256_rate() -> float:
    piece, hashed = os.urandom(4 * MIB), hashlib.sha256()
    began = time.perf_counter()
    for _ in range(128):
        hashed.update(piece)
    return 128 * len(piece) / (time.perf_counter() - began) / 1e9


def disk_rate(folder: Path, size: int) -> float:
    piece, path = os.urandom(4 * MIB), folder / "plain"
    began = time.perf_counter()
    with open(path, "wb", buffering=0) as file:
        file.writelines(piece for _ in range(size // len(piece)))
        os.fdatasync(file.fileno())
    took = time.perf_counter() - began
    path.unlink()
    return size / took / 1e9


def sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fdatasync(file.fileno())


def peak_memory(pid: int) -> int:
    """The most bytes a process has had resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024


if __name__ == "__main__":
    main()
