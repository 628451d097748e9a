"""How long after a change to a card every connected client sees it.

Run by hand: ``python tests/bench/bench_reload.py [CHANGES] [OTHER_CARDS]``. Times run from
just before the write or rename to the first lookup that returns the new value, in one client.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from resolverd_client import Client


def main() -> None:
    changes = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    others = int(sys.argv[2]) if len(sys.argv) > 2 else 88
    with tempfile.TemporaryDirectory(prefix="rd-bench-", dir="/tmp") as name:
        folder = Path(name)
        store = folder / "store"
        store.mkdir()
        for number in range(others):
            (store / f"other{number}.yaml").write_text(f"name: other{number}\nmodel_arch: a\n")
        arguments = ["--store", str(store), "--socket", str(folder / "s"), "--log-level", "error"]
        command = [sys.executable, "-m", "resolverd", "serve", *arguments]
        daemon = subprocess.Popen([*command, "--cache-dir", str(folder / "cache")])
        try:
            with Client(socket_path=str(folder / "s"), timeout=30) as client:
                client.get_names()
                time.sleep(3)  # let the start's own work end
                print(f"{others} other cards, {changes} changes of each kind, milliseconds")
                card = store / "card.yaml"
                show("written in place", measure(client, changes, card.write_text))
                show("renamed over", measure(client, changes, lambda text: rename(card, text)))
            busy = cpu_seconds(daemon.pid)
            time.sleep(5)
            print(f"idle: {(cpu_seconds(daemon.pid) - busy) / 5 * 100:.2f} % of a core")
        finally:
            daemon.terminate()
            daemon.wait()


def rename(card: Path, text: str) -> None:
    staged = card.with_suffix(".new")
    staged.write_text(text)
    staged.rename(card)


def measure(client: Client, changes: int, write: Callable[[str], object]) -> list[float]:
    taken = []
    for number in range(changes):
        text = f"name: card\nmodel_arch: {number}\nkind: {id(write)}\n"
        begin = time.perf_counter()
        write(text)
        while True:
            found = client.maybe_get_metadata("card")
            if found and found["model_arch"] == number and found["kind"] == id(write):
                break
        taken.append((time.perf_counter() - begin) * 1e3)
        time.sleep(0.02 + number % 7 / 1000)
    return taken


def show(what: str, taken: list[float]) -> None:
    taken.sort()
    p99 = taken[int(len(taken) * 0.99)]
    print(f"{what}: median {statistics.median(taken):.1f}, p99 {p99:.1f}, worst {taken[-1]:.1f}")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main()
