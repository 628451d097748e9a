from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from resolverd.checkpoints.intake import structure


def safetensors(length: int = 16) -> bytes:
    header = {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, length]}, "__metadata__": {}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(length)


def fault(tmp_path: Path, name: str, data: bytes) -> str | None:
    (tmp_path / name).write_bytes(data)
    return structure.fault(str(tmp_path / name), name)


def test_a_whole_safetensors_file_is_fine(tmp_path: Path) -> None:
    assert fault(tmp_path, "m.safetensors", safetensors()) is None


def headed(header: str, data: bytes = bytes(16)) -> bytes:
    return len(header.encode()).to_bytes(8, "little") + header.encode() + data


def tensor(low: object, high: object, shape: object = (2,), dtype: str = "F32") -> str:
    return json.dumps({"dtype": dtype, "shape": shape, "data_offsets": [low, high]})


BAD_HEADERS = {
    "names 'w' twice": headed(f'{{"w": {tensor(0, 8)}, "w": {tensor(8, 16)}}}'),
    "names 'dtype' twice": headed('{"w": {"dtype": "F32", "dtype": "F32"}}'),
    "'b' overlaps": headed(f'{{"a": {tensor(0, 8)}, "b": {tensor(4, 12)}}}'),
    "'b' leaves a gap": headed(f'{{"a": {tensor(0, 8)}, "b": {tensor(12, 20)}}}', bytes(20)),
    "'a' leaves a gap": headed(f'{{"a": {tensor(8, 16)}}}'),
    "bytes of its shape": headed(f'{{"a": {tensor(0, 16, [5])}}}'),
    "can't be read": headed(f'{{"a": {tensor(0, -8)}}}'),
    "header can't be": headed(f'{{"a": {tensor(0, 1e400)}}}'),
    "header can't": headed(f'{{"a": {tensor(True, 16)}}}'),
    "begin with '{'": headed(f' {{"a": {tensor(0, 16, [4])}}}'),
    "can't hold its header": (1 << 62).to_bytes(8, "little") + b"{}" + bytes(100),
    "its header can't be read": headed("{" + '"a":{' * 100_000),
}


@pytest.mark.parametrize("said", BAD_HEADERS)
def test_what_the_formats_own_reader_refuses_is_told(tmp_path: Path, said: str) -> None:
    assert said in (fault(tmp_path, "m.safetensors", BAD_HEADERS[said]) or "")


@pytest.mark.parametrize(
    "data",
    [
        headed("{}", b""),
        headed('{"__metadata__": {"format": "pt"}}     ', b""),
        headed(f'{{"b": {tensor(8, 16)}, "a": {tensor(0, 8)}, "e": {tensor(16, 16, [0])}}}'),
        headed(f'{{"s": {tensor(0, 4, [])}}}', bytes(4)),
        headed(f'{{"f": {tensor(0, 3, [6], "F4_OF_LATER")}}}', bytes(3)),
    ],
)
def test_what_the_formats_own_reader_takes_is_fine(tmp_path: Path, data: bytes) -> None:
    assert fault(tmp_path, "m.safetensors", data) is None


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


def test_a_torch_file_whose_records_are_not_where_they_should_be_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "whole.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 1000)
        archive.writestr("archive/data/0", b"y" * 1000)
    data = (tmp_path / "whole.pt").read_bytes()
    assert "damaged" in (fault(tmp_path, "a.pt", data[:500] + data[600:]) or "")
    assert "damaged" in (fault(tmp_path, "b.pt", data.replace(b"data/0", b"data/1", 1)) or "")


def test_an_old_torch_file_and_unknown_formats_pass(tmp_path: Path) -> None:
    assert fault(tmp_path, "old.pt", b"\x80\x02pickle") is None
    assert fault(tmp_path, "tokenizer.model", b"anything") is None
