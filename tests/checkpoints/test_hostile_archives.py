"""Archives made to do harm, or damaged: refused by the member's name, and nothing is left."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolverd.checkpoints import archive
from resolverd.checkpoints.archive.rules import leads_out
from resolverd.checkpoints.faults import VerificationError
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.process.job import Job
from resolverd.errors import SourceError
from tests.checkpoints.conftest import Bench, limits
from tests.checkpoints.origin import Origin
from tests.checkpoints.test_archive import LNK, SYM, member, tar, unpacked, zipped

BLOCK = 512


def files(*names: str) -> bytes:
    return tar(*((member(name), b"x") for name in names))


def linked(*links: tuple[str, str]) -> bytes:
    made = [(member(name, type=SYM, linkname=target), b"") for name, target in links]
    return tar((member("a"), b"x"), *made)


def special(kind: bytes) -> bytes:
    return tar((member("a"), b"x"), (member("odd", type=kind), b""))


def hard_links(count: int, size: int) -> bytes:
    links = [(member(f"l{n}", type=LNK, linkname="a"), b"") for n in range(count)]
    return tar((member("a"), bytes(size)), *links)


def raw_header(name: str, size: bytes, kind: bytes) -> bytes:
    """A header whose size is no number that a library would write."""
    head = bytearray(member(name).tobuf(tarfile.GNU_FORMAT))
    head[124:136], head[156:157], head[148:156] = size, kind, b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def chained(kind: bytes, count: int) -> bytes:
    link = raw_header("long", b"%011o\0" % 1, kind) + b"x".ljust(BLOCK, b"\0")
    return link * count + files("a")


def hole(size: int, mapped: bytes = b"0\n") -> bytes:
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "hole"}
    info = member("x", pax_headers={**sparse, "GNU.sparse.realsize": str(size)})
    return tar((info, mapped.ljust(BLOCK, b"\0")))


HUGE, NEGATIVE = b"%011o\0" % ((1 << 33) - 1), b"\xff" * 11 + b"\0"

TARS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "absolute": ("/x", lambda: files("a", "/x")),
    "dots": ("d/../../x", lambda: files("a", "d/../../x")),
    "dots that stay inside": ("d/../x", lambda: files("a", "d/../x")),
    "the same path": ("d/./b", lambda: files("d/b", "d/./b")),
    "the same path, more slashes": ("d//b", lambda: files("d/b", "d//b")),
    "letter case": ("A.bin", lambda: files("a.bin", "A.bin")),
    "letter case of a folder": ("D/c", lambda: files("d/b", "D/c")),
    "composed and decomposed": ("e\u0301", lambda: files("\u00e9", "e\u0301")),
    "sharp s": ("STRASSE", lambda: files("stra\u00dfe", "STRASSE")),
    "a folder that becomes a file": ("d", lambda: files("d/b", "d")),
    "a file that becomes a folder": ("d/b", lambda: files("d", "d/b")),
    "a name too long": ("n" * 256, lambda: files("a", "n" * 256)),
    "a path too long": ("n/" * 1100 + "x", lambda: files("a", "n/" * 1100 + "x")),
    "no name": ("", lambda: files("a", "")),
    "only dots": ("./.", lambda: files("a", "./.")),
    "link to an absolute path": ("l", lambda: linked(("l", "/etc/passwd"))),
    "link out": ("l", lambda: linked(("l", "../x"))),
    "link out and in again": ("l", lambda: linked(("l", "../tree/a"))),
    "link out through a link": ("l", lambda: linked(("d/up", ".."), ("l", "d/up/../x"))),
    "link to itself": ("l", lambda: linked(("l", "l"))),
    "links in a circle": ("l", lambda: linked(("l", "m"), ("m", "l"))),
    "link to nothing": ("l", lambda: linked(("l", ""))),
    "hard link out": ("l", lambda: tar((member("l", type=LNK, linkname="/etc/passwd"), b""))),
    "hard link to what is not there": (
        "l",
        lambda: tar((member("l", type=LNK, linkname="a"), b""), (member("a"), b"x")),
    ),
    "hard link to a link": (
        "h",
        lambda: tar(
            (member("a"), b"x"),
            (member("l", type=SYM, linkname="a"), b""),
            (member("h", type=LNK, linkname="l"), b""),
        ),
    ),
    "fifo": ("odd", lambda: special(tarfile.FIFOTYPE)),
    "character device": ("odd", lambda: special(tarfile.CHRTYPE)),
    "block device": ("odd", lambda: special(tarfile.BLKTYPE)),
    "multi-volume": ("odd", lambda: special(b"M")),
    "hard links as a bomb": ("l6", lambda: hard_links(90, 10 << 20)),
    "a hole as a bomb": ("hole", lambda: hole(1 << 50)),
    "negative size in an extended header": (
        "a",
        lambda: tar((member("a", pax_headers={"size": "-5000"}), b"x")),
    ),
    "negative size": ("a", lambda: raw_header("a", NEGATIVE, b"0") + files("b")),
}


@pytest.mark.parametrize("kind", TARS)
def test_a_tar_is_refused_by_the_members_name(tmp_path: Path, kind: str) -> None:
    name, made = TARS[kind]
    data = made()
    with pytest.raises(SourceError) as caught:
        looked_at(tmp_path, "m.tar", data)
    assert f"member {name!r}" in str(caught.value)
    with pytest.raises(SourceError, match="refused"):
        unpacked(tmp_path, "m.tar", data, Limits(archive_ratio=1))
    assert sorted(os.listdir(tmp_path)) == ["archive"]


def looked_at(tmp_path: Path, name: str, data: bytes) -> int:
    (tmp_path / "archive").write_bytes(data)
    bounds = Limits(archive_ratio=1)
    return archive.unpacked_size(str(tmp_path / "archive"), name, bounds, Job(lambda *_: None))


DAMAGED: dict[str, Callable[[], bytes]] = {
    "cut between two members": lambda: files("a", "b")[: 2 * BLOCK],
    "cut in a header": lambda: files("a", "b")[: 2 * BLOCK + 100],
    "cut in a body": lambda: tar((member("a"), bytes(5000)))[: 2 * BLOCK],
    "a broken header": lambda: files("a")[: 2 * BLOCK] + b"\xff" * BLOCK + files("b"),
    "a huge name": lambda: files("a")[: 2 * BLOCK] + raw_header("n", HUGE, b"L") + bytes(6 << 20),
    "a huge extended header": lambda: (
        files("a")[: 2 * BLOCK] + raw_header("n", HUGE, b"x") + bytes(6 << 20)
    ),
    "names without end": lambda: files("a")[: 2 * BLOCK] + chained(b"L", 3000),
    "extended headers without end": lambda: files("a")[: 2 * BLOCK] + chained(b"x", 3000),
    "a name of negative length": lambda: files("a")[: 2 * BLOCK] + raw_header("n", NEGATIVE, b"L"),
    "a sparse file without a map": lambda: hole(5, b"1\n9"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_tar_is_refused_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SourceError, match=r"m\.tar: "):
        unpacked(tmp_path, "m.tar", DAMAGED[kind]())
    assert sorted(os.listdir(tmp_path)) == ["archive"]


@pytest.mark.parametrize("kind", ["a huge name", "a huge extended header", "names without end"])
def test_what_begins_with_such_a_header_is_refused_too(tmp_path: Path, kind: str) -> None:
    (tmp_path / "m.bin").write_bytes(DAMAGED[kind]()[2 * BLOCK :])
    with pytest.raises(SourceError, match=r"m\.bin: can't be unpacked"):
        archive.is_archive(str(tmp_path / "m.bin"), "m.bin")


@pytest.mark.parametrize("how", ["gz", "bz2", "xz"])
def test_a_compressed_tar_is_refused_whatever_its_name(tmp_path: Path, how: str) -> None:
    """fairseq2 takes it for a tar, by its content, and fails to read it."""
    (tmp_path / "m.bin").write_bytes(tar((member("a"), b"x"), mode=f"w:{how}"))
    with pytest.raises(SourceError, match=r"m\.bin: is a compressed tar"):
        archive.is_archive(str(tmp_path / "m.bin"), "m.bin")


@pytest.mark.parametrize(
    "data", [b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0", b"\x1f\x8b" + bytes(50), b""]
)
def test_what_only_begins_as_if_it_were_compressed_is_a_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.bin").write_bytes(data)
    assert not archive.is_archive(str(tmp_path / "m.bin"), "m.bin")


@pytest.mark.parametrize("form", ["gnu", "pax", "oldgnu"])
def test_a_sparse_file_gets_its_holes_back(tmp_path: Path, form: str) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.seek(3 << 20)
        file.write(b"data")
        file.truncate(5 << 20)
    command = ["tar", "-S", f"--format={form}", "-cf", "made", "holes"]
    subprocess.run(command, cwd=tmp_path, check=True)
    data = (tmp_path / "made").read_bytes()
    assert len(data) < 1 << 20
    assert unpacked(tmp_path, "m.tar", data) == {"holes"}
    assert (tmp_path / "tree/holes").read_bytes() == (tmp_path / "holes").read_bytes()


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_kept(tmp_path: Path, form: int) -> None:
    name = "/".join(["d" * 200] * 5 + ["\u00fc" * 120])
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        made.addfile(member(name, size=1), io.BytesIO(b"x"))
    assert unpacked(tmp_path, "m.tar", out.getvalue()) == {name}


def test_no_member_keeps_its_owner_or_its_rights(origin: Origin, bench: Bench) -> None:
    data = tar((member("tool", mode=0o6777, uid=1234, gid=1234), b"#!"))
    origin.put("/m.tar", data)
    status = os.stat(bench.path(bench.fetch(origin.url("/m.tar"))))
    assert (status.st_mode & 0o7777, status.st_uid) == (0o444, os.getuid())


def test_folders_count_too(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="files and folders"):
        unpacked(tmp_path, "m.tar", files("/".join("abcdefgh"), "x"), Limits(archive_files=8))


def test_there_is_a_limit_whatever_the_ratio(tmp_path: Path) -> None:
    data = tar((member("a"), bytes(3 << 20)))
    with pytest.raises(SourceError, match=r"member 'a' unpacks to more than 2,097,152 bytes"):
        unpacked(tmp_path, "m.tar", data, Limits(archive_bytes=2 << 20))


# -- zip


def patched(data: bytes, *changes: tuple[bytes, int, bytes]) -> bytes:
    """``data`` with bytes replaced at an offset behind the first of some marks."""
    made = bytearray(data)
    for mark, offset, value in changes:
        at = made.index(mark) + offset
        made[at : at + len(value)] = value
    return bytes(made)


LOCAL, LISTED = b"PK\x03\x04", b"PK\x01\x02"
TWO = zipped(("a.bin", b"one" * 100), ("b.bin", b"two" * 100))


def odd_mode(kind: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        info = zipfile.ZipInfo("a.bin")
        info.external_attr = (kind | 0o777) << 16
        made.writestr(info, b"/etc/passwd")
    return out.getvalue()


def packed_by(method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        made.writestr("a.bin", bytes(range(256)) * 100)
    return patched(out.getvalue(), (b"a.bin", 60, b"\x55" * 30))


ZIPS: dict[str, Callable[[], bytes]] = {
    "encrypted": lambda: patched(TWO, (LOCAL, 6, b"\x01"), (LISTED, 8, b"\x01")),
    "an unknown method": lambda: patched(TWO, (LOCAL, 8, b"\x61"), (LISTED, 10, b"\x61")),
    "another name before the bytes": lambda: patched(TWO, (b"a.bin", 0, b"z.bin")),
    "another checksum before the bytes": lambda: patched(TWO, (LOCAL, 14, b"zzzz")),
    "another size before the bytes": lambda: patched(TWO, (LOCAL, 22, b"zzzz")),
    "another method before the bytes": lambda: patched(TWO, (LOCAL, 8, b"\0")),
    "no header where the directory says": lambda: patched(TWO, (LOCAL, 0, b"XX")),
    "bytes of another member": lambda: patched(TWO, (LISTED, 42, struct.pack("<I", 5))),
    "a zero byte in its name": lambda: TWO.replace(b"a.bin", b"a.b\0n"),
    "a link": lambda: odd_mode(0o120000),
    "a device": lambda: odd_mode(0o020000),
    "a socket": lambda: odd_mode(0o140000),
    "damaged, deflated": lambda: packed_by(zipfile.ZIP_DEFLATED),
    "damaged, bzip2": lambda: packed_by(zipfile.ZIP_BZIP2),
    "damaged, lzma": lambda: packed_by(zipfile.ZIP_LZMA),
    "wrong bytes": lambda: packed_by(zipfile.ZIP_STORED),
    "twice": lambda: TWO.replace(b"b.bin", b"a.bin"),
    "letter case": lambda: TWO.replace(b"b.bin", b"A.bin"),
    "the same path": lambda: zipped(("d/a.bin", b"x"), ("d/./a.bin", b"x")),
}


@pytest.mark.parametrize("kind", ZIPS)
def test_a_zip_is_refused_by_the_members_name(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SourceError, match=r"m\.zip: member '(a|d/\./a|A|a\.b)"):
        unpacked(tmp_path, "m.zip", ZIPS[kind]())
    assert sorted(os.listdir(tmp_path)) == ["archive"]


def test_zip64_is_read(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made, made.open("a.bin", "w", force_zip64=True) as big:
        big.write(b"x" * 1000)
    assert unpacked(tmp_path, "m.zip", out.getvalue()) == {"a.bin"}


def test_a_zip_that_was_written_as_a_stream_is_read(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise OSError

    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.bin", b"x" * 1000)
    assert unpacked(tmp_path, "m.zip", out.getvalue()) == {"a.bin"}


def test_a_directory_larger_than_any_real_one_is_not_read(tmp_path: Path) -> None:
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, 200 << 20, 0, 0)
    with (tmp_path / "archive").open("wb") as file:
        file.truncate(200 << 20)
        file.seek(0, os.SEEK_END)
        file.write(end)
    with pytest.raises(SourceError, match="larger than any real one"):
        archive.unpacked_size(str(tmp_path / "archive"), "m.zip", Limits(), Job(lambda *_: None))


# -- as a whole


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("m.tar", TARS["link out and in again"][1](), "member 'l' links out"),
        ("m.tar", TARS["letter case"][1](), r"member 'A\.bin' differs"),
        ("m.zip", ZIPS["encrypted"](), r"member 'a\.bin' is encrypted"),
        ("m.zip", ZIPS["damaged, deflated"](), r"member 'a\.bin': can't be unpacked"),
        ("m.bin", tar((member("a"), b"x"), mode="w:gz"), "compressed tar"),
        ("m.tar", DAMAGED["cut between two members"](), "cut off"),
    ],
)
def test_nothing_is_left_of_a_refused_archive_but_itself_in_quarantine(
    origin: Origin, bench: Bench, name: str, data: bytes, said: str
) -> None:
    origin.put(f"/{name}", data)
    bench.limits = limits(archive_files=10)
    with pytest.raises(VerificationError, match=said):
        bench.fetch(origin.url(f"/{name}"))
    left = {folder: os.listdir(bench.root / folder) for folder in ("objects", "partial", "assets")}
    assert left == {"objects": [], "partial": [], "assets": []}
    (kept,) = (bench.root / "quarantine").glob("*/data-*")
    assert kept.read_bytes() == data


PARTS = st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=4)
PATHS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)


@settings(max_examples=200, deadline=None)
@given(links=st.dictionaries(PATHS, PARTS.map("/".join), max_size=6))
def test_no_link_that_is_allowed_leads_out_for_the_kernel_either(
    tmp_path_factory: pytest.TempPathFactory, links: dict[str, str]
) -> None:
    links = {
        path: target
        for path, target in links.items()
        if not any(path.startswith(other + "/") for other in links)
    }
    root = tmp_path_factory.mktemp("links")
    for path, target in links.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(target)
    for path in links:
        if not leads_out(path, links):
            led = os.path.realpath(root / path)
            assert led == str(root) or led.startswith(f"{root}/")
