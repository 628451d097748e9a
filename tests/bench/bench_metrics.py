"""What a scrape costs the daemon; run by hand: ``python -m tests.bench.bench_metrics [CARDS]``."""

from __future__ import annotations

import socket
import statistics
import sys
import time
from pathlib import Path

from tests.daemon.running import Daemon, card, daemon, eventually, write

SCRAPES, A_FILE = 200, 100


def scrape(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def cpu_seconds(node: Daemon) -> float:
    assert node.process is not None
    fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main(cards: int) -> None:
    with daemon(start=False) as node:
        for file in range(cards // A_FILE):
            texts = [card(f"c{file}_{i}", checkpoint="https://host/x") for i in range(A_FILE)]
            write(node.store / f"{file}.yaml", "---\n".join(texts))
        page = node.folder / "m"
        config = write(node.folder / "config.toml", f"[metrics]\nlisten = '{page}'\n")
        node.arguments = ["--config", str(config)]
        node.start()
        eventually(page.exists)
        size, times, before = len(scrape(page)), [], cpu_seconds(node)
        for _ in range(SCRAPES):
            begun = time.perf_counter()
            scrape(page)
            times.append((time.perf_counter() - begun) * 1000)
        cost = (cpu_seconds(node) - before) / SCRAPES * 1000
    times.sort()
    print(f"{cards} cards, {size} bytes: p50 {statistics.median(times):.2f} ms, "
          f"p99 {times[SCRAPES * 99 // 100]:.2f} ms, {cost:.2f} ms of processor time")  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 10_000)
