"""fairseq2 0.8.1's own store, for the figures beside resolverd's: load, memory, lookup.

Run by hand with the Python of the environment that ``tests/fairseq2/build_env.py`` makes:
``.fairseq2-env/bin/python tests/bench/bench_fairseq2.py [FILES]``.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from fairseq2.assets import StandardFileAssetMetadataLoader, YamlAssetMetadataFileLoader
from fairseq2.file_system import NativeLocalFileSystem
from fairseq2.utils.yaml import RuamelYamlLoader

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
    system = NativeLocalFileSystem()
    with tempfile.TemporaryDirectory(prefix="rd-bench-", dir="/tmp") as folder:
        for number in range(files):
            Path(folder, f"{number}.yaml").write_text(CARD.format(number))
        before = resident()
        loader = YamlAssetMetadataFileLoader(RuamelYamlLoader(system))
        begin = time.perf_counter()
        provider = StandardFileAssetMetadataLoader(system, loader).load(Path(folder))
        print(f"load of {files} one-card files: {time.perf_counter() - begin:.2f} s")
        print(f"memory: {(resident() - before) / 2**20:.0f} MiB")
    begin = time.perf_counter()
    for _ in range(1000):
        provider.maybe_get_metadata("model_1@")
    print(f"lookup: {(time.perf_counter() - begin) * 1e3:.1f} µs")


def resident() -> int:
    """Give this process's resident bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
