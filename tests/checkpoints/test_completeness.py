from __future__ import annotations

import json
from pathlib import Path

import pytest

from resolverd.checkpoints.intake.completeness import gap


def safetensors(*tensors: str) -> bytes:
    header = {name: {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for name in tensors}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


def index(**shards: str) -> bytes:
    return json.dumps({"metadata": {}, "weight_map": shards}).encode()


def lack(folder: Path, files: dict[str, bytes]) -> str | None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return gap(str(folder), files)


def test_a_set_that_holds_what_its_index_promises_is_whole(tmp_path: Path) -> None:
    files = {
        "sub/model.safetensors.index.json": index(a="1.safetensors", b="2.safetensors"),
        "sub/1.safetensors": safetensors("a"),
        "sub/2.safetensors": safetensors("b", "more"),
        "other.bin": b"",
    }
    assert lack(tmp_path, files) is None


def test_a_set_without_an_index_lacks_nothing(tmp_path: Path) -> None:
    assert lack(tmp_path, {"1.safetensors": safetensors("a")}) is None


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    files = {"m.safetensors.index.json": index(a="1.safetensors")}
    assert "'1.safetensors', which is not there" in (lack(tmp_path, files) or "")


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    files = {
        "m.safetensors.index.json": index(a="1.safetensors", b="1.safetensors"),
        "1.safetensors": safetensors("a"),
    }
    assert "the tensor 'b'" in (lack(tmp_path, files) or "")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"weight_map": 3}', b"[" * 100_000])
def test_an_index_that_can_not_be_read_is_told(tmp_path: Path, data: bytes) -> None:
    assert "weight_map" in (lack(tmp_path, {"m.safetensors.index.json": data}) or "")


def test_an_index_can_not_lead_out_of_the_set(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(safetensors("a"))
    files = {"m.safetensors.index.json": index(a="../secret")}
    (tmp_path / "set").mkdir()
    assert "not there" in (lack(tmp_path / "set", files) or "")
