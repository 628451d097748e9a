from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from resolverd.checkpoints import structure


def safetensors(length: int = 16) -> bytes:
    header = {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, length]}, "__metadata__": {}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(length)


def fault(tmp_path: Path, name: str, data: bytes) -> str | None:
    (tmp_path / name).write_bytes(data)
    return structure.fault(str(tmp_path / name), name)


def test_a_whole_safetensors_file_is_fine(tmp_path: Path) -> None:
    assert fault(tmp_path, "m.safetensors", safetensors()) is None


@pytest.mark.parametrize(
    "data",
    [
        safetensors()[:-1],
        safetensors() + b"x",
        b"",
        b"1234",
        b"\xff" * 40,
        (3).to_bytes(8, "little") + b"[1]",
    ],
)
def test_a_damaged_safetensors_file_is_told(tmp_path: Path, data: bytes) -> None:
    assert fault(tmp_path, "m.safetensors", data) is not None


def test_a_torch_file_without_its_zip_directory_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "whole.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 1000)
    data = (tmp_path / "whole.pt").read_bytes()
    assert fault(tmp_path, "a.pt", data) is None
    assert "cut short" in (fault(tmp_path, "b.pt", data[:-60]) or "")


def test_an_old_torch_file_and_unknown_formats_pass(tmp_path: Path) -> None:
    assert fault(tmp_path, "old.pt", b"\x80\x02pickle") is None
    assert fault(tmp_path, "tokenizer.model", b"anything") is None
