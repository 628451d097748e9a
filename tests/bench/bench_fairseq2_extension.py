"""What resolverd-client makes of fairseq2's own store: load, lookups, memory; alone and with it.

Run by hand: ``python tests/bench/bench_fairseq2_extension.py [FILES] [ROUNDS]``; it takes fairseq2
from the environment that ``tests/fairseq2/build_env.py`` makes. Every figure is of a fresh process;
the processes of both sides alternate, so that whatever else the machine does weighs on both alike.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
BASE = CARD.replace("base: model_base\n", "").replace("{0}", "base")


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    build_env = importlib.import_module("tests.fairseq2.build_env")
    installed = importlib.import_module("tests.fairseq2.installed")
    running = importlib.import_module("tests.daemon.running")
    env = build_env.default_dir()
    (packages,) = (env / "lib").glob("python*/site-packages")
    with tempfile.TemporaryDirectory(prefix="rd-bench-", dir="/tmp") as name:
        folder = Path(name)
        client = installed.install_client(folder / "site")
        store, empty = folder / "store", folder / "empty"
        make_store(store, files)
        empty.mkdir()
        stores = [str(store), f"package:fairseq2.assets.cards@{packages}"]
        with running.daemon(stores=stores) as node:
            shown = {}
            for what, place in (("large", store), ("shipped", empty)):
                found: dict[str, list[dict[str, float]]] = {"alone": [], "with": []}
                for round_ in range(rounds):
                    for side in ("with", "alone"):
                        # fairseq2 alone takes long enough to need fewer rounds of it
                        found[side].append(job(build_env.python_of(env), client, node, place, side))
                    print(f"{what} {round_}: {found['alone'][-1]} | {found['with'][-1]}")
                shown[what] = found
    show(files, shown)


def make_store(store: Path, files: int) -> None:
    store.mkdir()
    (store / "base.yaml").write_text(BASE)
    for number in range(files - 1):
        below = store / f"team{number % 100}"
        below.mkdir(exist_ok=True)
        (below / f"{number}.yaml").write_text(CARD.format(number))


def job(python: Path, client: Path, node, place: Path, side: str) -> dict[str, float]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("FAIRSEQ2_", "XDG_"))}
    environ |= {"RESOLVERD_SOCKET": str(node.socket), "HOME": str(node.folder)}
    environ |= {"FAIRSEQ2_ASSET_DIR": str(place)}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if side == "with":
        environ["PYTHONPATH"] = str(client)
    done = subprocess.run(
        [python, __file__, "--job"], env=environ, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def measure() -> None:
    """Be the job: open the store as fairseq2 does, and look cards up."""
    importlib.import_module("fairseq2.composition")
    assets = importlib.import_module("fairseq2.assets")
    resolver = importlib.import_module("fairseq2").init_fairseq2(no_progress=True)
    gc.collect()
    before = resident()
    begin = time.perf_counter()
    store = resolver.resolve(assets.AssetStore)
    took = time.perf_counter() - begin
    gc.collect()
    held = resident() - before
    answer = {"load_ms": took * 1e3, "memory_mib": held / 2**20, "names": len(store.asset_names)}
    if "model_base@" in store.asset_names:
        answer["plain_us"] = lookup(store, "model_base")
        answer["based_us"] = lookup(store, "model_1")
    print(json.dumps(answer))


def lookup(store, name: str) -> float:
    """Give the microseconds of a warm retrieval, the best of several series."""
    series = []
    for _ in range(9):
        begin = time.perf_counter()
        for _ in range(1000):
            store.retrieve_card(name)
        series.append((time.perf_counter() - begin) * 1e3)
    return min(series)


def resident() -> int:
    """Give this process's resident bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def show(files: int, found: dict[str, dict[str, list[dict[str, float]]]]) -> None:
    print("medians: fairseq2 alone | with resolverd-client | ratio")
    for what, figures in (("large", ("load_ms", "plain_us", "based_us", "memory_mib")),
                          ("shipped", ("load_ms",))):  # fmt: skip
        for figure in figures:
            alone, ours = (
                statistics.median(each[figure] for each in found[what][side])
                for side in ("alone", "with")
            )
            cards = f"{files:,} files" if what == "large" else "shipped cards"
            print(f"{cards}, {figure}: {alone:.2f} | {ours:.2f} | {alone / max(ours, 1e-9):.2f}x")


if __name__ == "__main__":
    if sys.argv[1:] == ["--job"]:
        measure()
    else:
        main()
