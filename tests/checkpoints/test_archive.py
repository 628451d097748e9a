from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from resolverd.checkpoints import archive
from resolverd.checkpoints.faults import VerificationError
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.process.job import Job
from resolverd.errors import SourceError
from tests.checkpoints.conftest import Bench, limits
from tests.checkpoints.origin import Origin


def member(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def tar(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as made:  # type: ignore[call-overload]
        for info, data in members:
            info.size = info.size or len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members:
            made.writestr(name, data)
    return out.getvalue()


GOOD = [("a.txt", b"one"), ("dir/b.txt", b"two")]
GOOD_TAR = tar(*((member(name), data) for name, data in GOOD))


def unpacked(tmp_path: Path, name: str, data: bytes, bounds: Limits | None = None) -> set[str]:
    (tmp_path / "archive").write_bytes(data)
    tree = tmp_path / "tree"
    job = Job(lambda *_: None)
    files = archive.unpack(str(tmp_path / "archive"), name, str(tree), bounds or Limits(), job)
    for entry in files:
        content = (tree / entry.path).read_bytes()
        assert entry.digests["sha256"] == hashlib.sha256(content).hexdigest()
    return {entry.path for entry in files}


@pytest.mark.parametrize(("name", "data"), [("m.zip", zipped(*GOOD)), ("m.tar", GOOD_TAR)])
def test_an_archive_is_unpacked(tmp_path: Path, name: str, data: bytes) -> None:
    assert unpacked(tmp_path, name, data) == {"a.txt", "dir/b.txt"}


def test_links_that_stay_inside_are_kept(tmp_path: Path) -> None:
    link = member("dir/link", type=tarfile.SYMTYPE, linkname="../a.txt")
    hard = member("hard", type=tarfile.LNKTYPE, linkname="a.txt")
    data = tar((member("a.txt"), b"one"), (link, b""), (hard, b""))
    assert unpacked(tmp_path, "m.tar", data) == {"a.txt", "hard"}
    assert (tmp_path / "tree" / "dir" / "link").read_bytes() == b"one"


SYM, LNK = tarfile.SYMTYPE, tarfile.LNKTYPE
HOSTILE: dict[str, Callable[[], bytes]] = {
    "traversal": lambda: tar((member("../evil"), b"x")),
    "deep traversal": lambda: tar((member("a/../../evil"), b"x")),
    "absolute": lambda: tar((member("/tmp/evil"), b"x")),
    "link out": lambda: tar((member("a"), b"x"), (member("l", type=SYM, linkname="../../x"), b"")),
    "absolute link": lambda: tar(
        (member("a"), b"x"), (member("l", type=SYM, linkname="/etc"), b"")
    ),
    "through a link": lambda: tar(
        (member("l", type=SYM, linkname="."), b""), (member("l/evil"), b"x")
    ),
    "link over a link": lambda: tar(
        (member("d", type=SYM, linkname="."), b""),
        (member("l", type=SYM, linkname="d/../x"), b""),
        (member("a"), b"x"),
    ),
    "hard link out": lambda: tar((member("l", type=LNK, linkname="/etc/passwd"), b"")),
    "device": lambda: tar((member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3), b"")),
    "fifo": lambda: tar((member("pipe", type=tarfile.FIFOTYPE), b"")),
    "twice": lambda: tar((member("a"), b"x"), (member("a"), b"y")),
    "file as a folder": lambda: tar((member("a"), b"x"), (member("a/b"), b"y")),
    "nothing": lambda: tar((member("d", type=tarfile.DIRTYPE), b"")),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_tar_is_refused_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SourceError):
        unpacked(tmp_path, "m.tar", HOSTILE[kind]())
    assert sorted(os.listdir(tmp_path)) == ["archive"]


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil"])
def test_a_hostile_zip_is_refused_by_the_members_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="evil"):
        unpacked(tmp_path, "m.zip", zipped((name, b"x")))
    assert sorted(os.listdir(tmp_path)) == ["archive"]


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    data = zipped(*((f"{n}", bytes(30 << 20)) for n in range(3)))
    with pytest.raises(SourceError, match="more than is allowed"):
        unpacked(tmp_path, "m.zip", data, Limits(archive_ratio=2))
    assert sorted(os.listdir(tmp_path)) == ["archive"]


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    data = zipped(*((f"{n}", b"") for n in range(20)))
    with pytest.raises(SourceError, match="more than is allowed"):
        unpacked(tmp_path, "m.zip", data, Limits(archive_files=10))


@pytest.mark.parametrize(
    ("name", "data"), [("m.zip", zipped(*GOOD)[:-30]), ("m.tar", GOOD_TAR[:700]), ("m.zip", b"PK")]
)
def test_a_cut_archive_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(SourceError):
        unpacked(tmp_path, name, data)


def test_what_only_looks_like_an_archive_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(20000))
    assert not archive.is_archive(str(tmp_path / "zeros"), "zeros.bin")


def test_a_compressed_tar_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(tar((member("a"), b"x"), mode="w:gz"))
    with pytest.raises(SourceError, match="zip and plain tar only"):
        archive.is_archive(str(tmp_path / "a"), "m.tar.gz")


def test_an_archive_is_published_as_its_files(origin: Origin, bench: Bench) -> None:
    origin.put("/m.zip", zipped(*GOOD))
    manifest = bench.fetch(origin.url("/m.zip"), hashlib.sha256(zipped(*GOOD)).hexdigest())
    link = bench.layout.link(manifest.asset)
    assert sorted(os.listdir(link)) == ["a.txt", "dir"]
    assert bench.path(manifest) == bench.layout.object(manifest.key)
    assert Path(link, "dir/b.txt").read_bytes() == b"two"
    assert bench.partial() == []


def test_an_archive_of_one_file_is_given_as_fairseq2_gives_it(origin: Origin, bench: Bench) -> None:
    origin.put("/one.zip", zipped(("a.bin", b"x")))
    origin.put("/deep.zip", zipped(("d/a.bin", b"x")))
    folder = member("empty", type=tarfile.DIRTYPE)
    origin.put("/two.tar", tar((member("a.bin"), b"x"), (folder, b"")))
    paths = {
        name: bench.path(bench.fetch(origin.url(f"/{name}")))
        for name in ("one.zip", "deep.zip", "two.tar")
    }
    assert os.path.basename(paths["one.zip"]) == "a.bin"
    assert os.listdir(paths["deep.zip"]) == ["d"]
    assert sorted(os.listdir(paths["two.tar"])) == ["a.bin", "empty"]


def test_a_map_of_digests_is_held_against_the_members(origin: Origin, bench: Bench) -> None:
    origin.put("/m.tar", GOOD_TAR)
    card = {name: hashlib.sha1(data).hexdigest() for name, data in GOOD}
    assert bench.fetch(origin.url("/m.tar"), card).trust == "card"
    assert bench.fetch(origin.url("/m.tar"), card).fits({})
    with pytest.raises(VerificationError, match=r"a\.txt is not"):
        bench.fetch(origin.url("/m.tar"), {**card, "a.txt": "0" * 40})


def test_a_refused_archive_is_quarantined(origin: Origin, bench: Bench) -> None:
    origin.put("/m.tar", HOSTILE["traversal"]())
    bench.limits = limits(archive_files=10)
    with pytest.raises(VerificationError, match="leads out"):
        bench.fetch(origin.url("/m.tar"))
    assert bench.visible() == set()
    assert bench.partial() == []
    assert len(os.listdir(bench.root / "quarantine")) == 1
