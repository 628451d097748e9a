"""Daemon start to first answer and its memory, with many one-card files, cold and warm.

Run by hand: ``python tests/bench/bench_start.py [FILES] [ROUNDS]``. Beside it, in the same run, a
bare interpreter start is measured, so that figures of different machines can be compared.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from resolverd_client import Client

CARD = """\
name: model_{0}
model_family: llama
model_arch: llama3_8b
base: model_base
checkpoint: "https://models.example.org/llama/{0}/model.safetensors"
model_config:
  max_seq_len: 8192
  dropout_p: 0.1
tokenizer: "https://models.example.org/llama/tokenizer.model"
"""


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    folder = Path(tempfile.mkdtemp(prefix="rd-bench-", dir="/tmp"))
    try:
        make_store(folder / "store", files)
        bare, cold, warm, memory = [], [], [], []
        start(folder, files)  # not counted: it leaves the bytecode that an installation has
        for _ in range(rounds):
            bare.append(timed([sys.executable, "-c", "pass"]))
            shutil.rmtree(folder / "cache", ignore_errors=True)
            cold.append(start(folder, files)[0])
            took, resident = start(folder, files)
            warm.append(took)
            memory.append(resident)
    finally:
        shutil.rmtree(folder)
    print(f"{files} one-card files, {rounds} rounds, medians (all rounds)")
    show("bare interpreter", bare)
    show("cold start to first answer", cold)
    show("warm start to first answer", warm)
    print(f"memory of the daemon: {statistics.median(memory) / 2**20:.0f} MiB resident")


def make_store(store: Path, files: int) -> None:
    store.mkdir()
    (store / "base.yaml").write_text("name: model_base\nmodel_family: llama\n")
    for number in range(files - 1):
        below = store / f"team{number % 100}"
        below.mkdir(exist_ok=True)
        (below / f"{number}.yaml").write_text(CARD.format(number))


def timed(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - begin


def start(folder: Path, files: int) -> tuple[float, int]:
    """Start a daemon, ask it for a card, stop it; give seconds to the answer and its memory."""
    socket = str(folder / "s")
    place = ["--store", str(folder / "store"), "--socket", socket]
    cache = ["--cache-dir", str(folder / "cache"), "--log-level", "error"]
    begin = time.perf_counter()
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "resolverd", "serve", *place, *cache]
    daemon = subprocess.Popen(command, env=environ)
    with Client(socket_path=socket, timeout=60) as client:
        client.get_metadata("model_1")
        took = time.perf_counter() - begin
        assert len(client.get_names()) == files
    time.sleep(2)  # let it write the snapshot and settle, as in life
    resident = memory_of(daemon.pid)
    daemon.send_signal(signal.SIGTERM)
    daemon.wait()
    return took, resident


def memory_of(pid: int) -> int:
    """Give a process's resident bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def show(what: str, seconds: list[float]) -> None:
    every = " ".join(f"{value:.3f}" for value in seconds)
    print(f"{what}: {statistics.median(seconds):.3f} s ({every})")


if __name__ == "__main__":
    main()
