"""Files and answers with bytes changed anywhere: taken or refused, and nothing else happens."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from resolverd.checkpoints import archive
from resolverd.checkpoints.intake import structure
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.process.job import Job
from resolverd.errors import ResolverdError, SourceError
from tests.checkpoints.conftest import Bench, limits
from tests.checkpoints.scripted import chunked, scripted, whole
from tests.checkpoints.test_structure import safetensors

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
DATA = bytes(range(256)) * 8


def tar_of(form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        for name in ("a", "d/" + "b" * 120, "d/\u00fc"):
            info = tarfile.TarInfo(name)
            info.size = 600
            made.addfile(info, io.BytesIO(DATA))
        link = tarfile.TarInfo("l")
        link.type, link.linkname = tarfile.SYMTYPE, "d/../a"
        made.addfile(link)
    return out.getvalue()[: 20 * 512]


def zip_of(method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        made.writestr("a", DATA)
        made.writestr("d/b", b"small")
    return out.getvalue()


ARCHIVES = [
    *(("m.tar", tar_of(form)) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)),
    *(("m.zip", zip_of(method)) for method in (0, 8, 12, 14)),
]
CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.one_of(st.binary(max_size=12), st.integers(1))),
    min_size=1,
    max_size=6,
)


def changed(data: bytes, changes: list[tuple[float, bytes | int]]) -> bytes:
    """``data`` with bytes overwritten, or that many of them cut out, at some places."""
    made = bytearray(data)
    for place, change in changes:
        at = int(place * len(made))
        if isinstance(change, int):
            del made[at : at + change % 700]
        else:
            made[at : at + len(change)] = change
    return bytes(made)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as made:
        yield Path(made)


def try_to_unpack(name: str, data: bytes) -> None:
    """Unpack, and look at what came out; only a refusal may be raised, and then nothing is left."""
    with folder() as place:
        path, tree = place / "archive", place / "around" / "tree"
        tree.parent.mkdir()
        path.write_bytes(data)
        bounds = Limits(archive_bytes=1 << 20, archive_files=100)
        try:
            archive.is_archive(str(path), name)
            files = archive.unpack(str(path), name, str(tree), bounds, Job(lambda *_: None))
        except SourceError:
            assert list(tree.parent.iterdir()) == []
            return
        for entry in files:
            made = (tree / entry.path).read_bytes()
            assert hashlib.sha256(made).hexdigest() == entry.digests["sha256"]
        assert list(tree.parent.iterdir()) == [tree]
        for link in tree.rglob("*"):
            assert link.resolve().is_relative_to(tree.resolve())


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(ARCHIVES), changes=CHANGES)
def test_an_archive_with_bytes_changed_is_unpacked_inside_or_refused_without_a_trace(
    kind: tuple[str, bytes], changes: list[tuple[float, bytes | int]]
) -> None:
    name, data = kind
    try_to_unpack(name, changed(data, changes))


NAMES = st.sampled_from([b"a", b"a/b", b"b", b"../x", b"/x", b"a/", b".", b"", b"x\xff", b"d/./b"])
SIZES = st.sampled_from([0, 1, 600, 1 << 30]).map(lambda size: b"%011o\0" % size) | st.binary(
    min_size=12, max_size=12
)
BODIES = st.sampled_from(
    [b"", b"x" * 600, b"11 path=../x\n", b"13 size=9999\n", b"15 linkpath=/x\n", b"../x\0"]
) | st.binary(max_size=40)
HEADERS = st.tuples(NAMES, SIZES, st.sampled_from(b"0125LKxgS37MZ"), NAMES, BODIES)


def sealed(name: bytes, size: bytes, kind: int, target: bytes, body: bytes) -> bytes:
    """A member whose header has the checksum that readers look for, and any content."""
    head = bytearray(512)
    head[: len(name)], head[124:136], head[156] = name, size, kind
    head[157 : 157 + len(target)], head[257:265] = target, b"ustar\x0000"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + body.ljust(-(-len(body) // 512) * 512, b"\0")


@settings(max_examples=200, deadline=None)
@given(headers=st.lists(HEADERS, min_size=1, max_size=5))
def test_a_tar_with_any_headers_is_unpacked_inside_or_refused_without_a_trace(
    headers: list[tuple[bytes, bytes, int, bytes, bytes]],
) -> None:
    try_to_unpack("m.tar", b"".join(sealed(*header) for header in headers) + bytes(1024))


@settings(max_examples=200, deadline=None)
@given(changes=CHANGES, header=st.none() | st.binary(max_size=60))
def test_a_file_of_tensors_with_bytes_changed_is_judged(
    changes: list[tuple[float, bytes | int]], header: bytes | None
) -> None:
    data = changed(safetensors(64), changes)
    if header is not None:
        data = struct.pack("<Q", len(header)) + header + data[8:]
    with folder() as place:
        for name, content in (("m.safetensors", data), ("m.pt", changed(zip_of(0), changes))):
            (place / name).write_bytes(content)
            said = structure.fault(str(place / name), name)
            assert said is None or said.startswith(("is ", "has "))


ANSWERS = [whole(DATA, 'ETag: "1"'), whole(DATA), chunked(DATA[:900], DATA[900:])]


@settings(max_examples=60, deadline=None)
@given(answer=st.sampled_from(ANSWERS), changes=CHANGES)
def test_an_answer_with_bytes_changed_never_gives_another_file_than_the_card_names(
    answer: bytes, changes: list[tuple[float, bytes | int]]
) -> None:
    head, empty, body = answer.partition(b"\r\n\r\n")
    spoilt = changed(head + empty, changes) + body
    with folder() as place, scripted(lambda *_: spoilt) as server:
        bench = Bench(place / "cache")
        bench.limits = limits(attempts=2, stall_timeout=2.0)
        try:
            found = bench.fetch(server.url(), hashlib.sha256(DATA).hexdigest())
        except ResolverdError:
            assert bench.visible() == set()
        else:
            assert bench.content(found) == DATA
