"""What goes wrong at origins: each fault with a real server."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import threading
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from resolverd.checkpoints import disk
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.faults import Cancelled, VerificationError
from resolverd.checkpoints.process.job import Job
from resolverd.errors import CacheError, SourceError
from tests.checkpoints.conftest import PART, Bench, limits
from tests.checkpoints.origin import Origin, Resource

BIG = os.urandom(3 * PART + 7)
CARD = hashlib.sha256(BIG).hexdigest()


def test_a_body_that_breaks_off_is_continued_where_it_broke(origin: Origin, bench: Bench) -> None:
    resource = origin.put("/a", BIG, close_after=[1, 100_000, 0, 65536, 70_000])
    bench.limits = limits(connections=1, attempts=6)
    assert bench.content(bench.fetch(origin.url("/a"), CARD)) == BIG
    assert resource.sent == len(BIG)


def test_a_body_that_always_breaks_off_is_given_up_with_the_count(
    origin: Origin, bench: Bench
) -> None:
    origin.put("/a", BIG, close_after=[10] * 1000)
    with pytest.raises(
        SourceError, match=r"ended after \d+ of \d+ bytes. Given up after 4 attempts"
    ):
        bench.fetch(origin.url("/a"), CARD)
    assert bench.visible() == set()


def test_a_server_that_stalls_is_left_after_a_while(origin: Origin, bench: Bench) -> None:
    origin.put("/a", BIG, stall_after=[1000])
    bench.limits = limits(stall_timeout=0.2)
    assert bench.content(bench.fetch(origin.url("/a"), CARD)) == BIG


def test_a_server_without_ranges_sends_the_file_in_one_piece(origin: Origin, bench: Bench) -> None:
    resource = origin.put("/a", BIG, ignore_range=True)
    assert bench.content(bench.fetch(origin.url("/a"), CARD)) == BIG
    assert resource.sent == len(BIG)


def test_without_ranges_a_broken_download_begins_anew(origin: Origin, bench: Bench) -> None:
    origin.put("/a", BIG, ignore_range=True, close_after=[100_000])
    assert bench.content(bench.fetch(origin.url("/a"), CARD)) == BIG


def test_a_server_that_forgets_ranges_half_way_is_coped_with(origin: Origin, bench: Bench) -> None:
    origin.put("/a", BIG, ignore_range_after=2)
    assert bench.content(bench.fetch(origin.url("/a"), CARD)) == BIG


def test_without_a_validator_parts_are_not_put_together(origin: Origin, bench: Bench) -> None:
    resource = origin.put("/a", BIG, etag=None)
    assert bench.content(bench.fetch(origin.url("/a"), CARD)) == BIG
    assert "range" not in resource.requests[-1]


def test_a_weak_validator_is_none(origin: Origin, bench: Bench) -> None:
    resource = origin.put("/a", BIG, etag='W/"1"')
    assert bench.fetch(origin.url("/a"), CARD).stamp is None
    assert "range" not in resource.requests[-1]


def test_an_old_date_is_as_good_as_a_tag(origin: Origin, bench: Bench) -> None:
    modified = formatdate(1_600_000_000, usegmt=True)
    resource = origin.put("/a", BIG, etag=None, modified=modified)
    assert bench.content(bench.fetch(origin.url("/a"), CARD)) == BIG
    assert resource.requests[-1]["if-range"] == modified


def test_a_file_that_changes_between_parts_is_never_mixed(origin: Origin, bench: Bench) -> None:
    other = BIG[::-1]

    def change(resource: Resource) -> None:
        if len(resource.requests) == 2:
            resource.data, resource.etag = other, '"new"'

    origin.put("/a", BIG, etag='"old"', before=change)
    bench.limits = limits(connections=1)
    manifest = bench.fetch(origin.url("/a"))
    assert bench.content(manifest) == other
    assert manifest.stamp == 'etag:"new"'


def test_a_file_that_changes_all_the_time_is_given_up(origin: Origin, bench: Bench) -> None:
    def change(resource: Resource) -> None:
        resource.etag = f'"{len(resource.requests)}"'

    origin.put("/a", BIG, before=change)
    with pytest.raises(SourceError, match="changes faster"):
        bench.fetch(origin.url("/a"))


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, "ask its owner for access"),
        (403, "ask its owner for access"),
        (404, "There is no such file"),
        (410, "There is no such file"),
        (400, "Check the URI"),
    ],
)
def test_a_refusal_is_told_at_once_with_what_to_do(
    origin: Origin, bench: Bench, status: int, text: str
) -> None:
    resource = origin.put("/a", BIG, statuses=[(status, {})] * 9)
    with pytest.raises(SourceError, match=f"{status}.*{text}"):
        bench.fetch(origin.url("/a"))
    assert len(resource.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
def test_an_overloaded_server_is_tried_again(origin: Origin, bench: Bench, status: int) -> None:
    resource = origin.put("/a", BIG, statuses=[(status, {})] * 2)
    assert bench.content(bench.fetch(origin.url("/a"), CARD)) == BIG
    assert len(resource.requests) > 2


def test_retry_after_is_heeded(origin: Origin, bench: Bench) -> None:
    origin.put("/a", BIG, statuses=[(429, {"Retry-After": "1"})])
    began = time.monotonic()
    bench.fetch(origin.url("/a"), CARD)
    assert time.monotonic() - began >= 1.0


def test_a_server_that_wants_an_hour_is_told_of(origin: Origin, bench: Bench) -> None:
    later = formatdate(time.time() + 3600, usegmt=True)
    origin.put("/a", BIG, statuses=[(503, {"Retry-After": later})])
    with pytest.raises(SourceError, match=r"come back in 3[56]"):
        bench.fetch(origin.url("/a"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_and_name_the_file(
    origin: Origin, bench: Bench, status: int
) -> None:
    origin.put("/real/model.bin", BIG)
    origin.put("/a", b"", redirect=origin.url("/real/model.bin"), redirect_status=status)
    manifest = bench.fetch(origin.url("/a"), CARD)
    assert manifest.files[0].path == "model.bin"


def test_a_redirect_loop_ends(origin: Origin, bench: Bench) -> None:
    origin.put("/a", b"", redirect="/a")
    with pytest.raises(SourceError, match="more than 10 redirects"):
        bench.fetch(origin.url("/a"))


@pytest.mark.parametrize("target", ["ftp://h/x", "file:///etc/passwd", "http://169.254.169.254/"])
def test_a_redirect_to_what_is_forbidden_is_refused(
    origin: Origin, bench: Bench, target: str
) -> None:
    origin.put("/a", b"", redirect=target)
    with pytest.raises(SourceError):
        bench.fetch(origin.url("/a"))


def test_a_length_that_is_too_long_is_told(origin: Origin, bench: Bench) -> None:
    origin.put("/a", BIG, ignore_range=True, length=len(BIG) + 10)
    with pytest.raises(SourceError, match=f"ended after {len(BIG)} of {len(BIG) + 10} bytes"):
        bench.fetch(origin.url("/a"))
    assert bench.visible() == set()


def test_a_range_of_another_length_than_announced_is_refused(origin: Origin, bench: Bench) -> None:
    origin.put("/a", BIG, length=len(BIG) + 10)
    with pytest.raises(SourceError, match="two different lengths"):
        bench.fetch(origin.url("/a"))


def test_a_chunked_body_is_taken_whole(origin: Origin, bench: Bench) -> None:
    origin.put("/a", BIG, ignore_range=True, chunked=True)
    assert bench.content(bench.fetch(origin.url("/a"))) == BIG


def test_a_chunked_body_that_breaks_off_is_not_taken_for_whole(
    origin: Origin, bench: Bench
) -> None:
    origin.put("/a", BIG, ignore_range=True, chunked=True, close_after=[70_000] * 9)
    with pytest.raises(SourceError, match="Given up"):
        bench.fetch(origin.url("/a"))


def test_a_body_of_unknown_length_needs_a_digest(origin: Origin, bench: Bench) -> None:
    origin.put("/a", BIG, ignore_range=True, no_length=True)
    with pytest.raises(SourceError, match="give a checksum"):
        bench.fetch(origin.url("/a"))
    assert bench.content(bench.fetch(origin.url("/a"), CARD)) == BIG


def test_a_cut_body_of_unknown_length_is_a_mismatch(origin: Origin, bench: Bench) -> None:
    origin.put("/a", BIG, ignore_range=True, no_length=True, close_after=[1000])
    with pytest.raises(VerificationError):
        bench.fetch(origin.url("/a"), CARD)


def test_an_encoded_body_is_refused(origin: Origin, bench: Bench) -> None:
    origin.put("/a.bin", BIG, encoding="gzip")
    with pytest.raises(SourceError, match="gzip-encoded"):
        bench.fetch(origin.url("/a.bin"))


def test_a_host_that_does_not_exist_is_told(bench: Bench) -> None:
    with pytest.raises(SourceError, match="can't be resolved"):
        bench.fetch("http://nowhere.invalid/a")


def test_a_port_where_nobody_listens_is_told(bench: Bench) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(SourceError, match="no connection: Connection refused"):
            bench.fetch(f"http://127.0.0.1:{unused.getsockname()[1]}/a")


def test_a_server_that_speaks_no_tls_is_told(origin: Origin, bench: Bench) -> None:
    with pytest.raises(SourceError, match="TLS"):
        bench.fetch(f"https://127.0.0.1:{origin.port}/a")


def test_a_proxy_is_used_and_named_in_errors(
    origin: Origin, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{origin.port}")
    monkeypatch.setenv("no_proxy", "")
    resource = origin.put("/a.bin", BIG)
    assert bench.content(bench.fetch("http://only-the-proxy-knows.invalid/a.bin", CARD)) == BIG
    assert resource.requests[0]["host"] == "only-the-proxy-knows.invalid"


def test_what_was_fetched_before_a_failure_is_not_fetched_again(
    origin: Origin, bench: Bench
) -> None:
    resource = origin.put("/a", BIG, close_after=[PART, 5] + [0] * 20)
    bench.limits = limits(connections=1)
    with pytest.raises(SourceError):
        bench.fetch(origin.url("/a"), CARD)
    resource.faults.close_after = []
    bench.fetch(origin.url("/a"), CARD)
    assert resource.sent == len(BIG)


def test_a_download_stops_at_once_when_nobody_wants_it(origin: Origin, bench: Bench) -> None:
    gate = threading.Event()
    origin.put("/a", BIG, gate=gate, gate_at=200_000)
    bench.limits = limits(stall_timeout=600.0)  # so that it is no timeout which ends it
    job = Job(lambda *_: None)
    failure: list[BaseException] = []

    def fetch() -> None:
        try:
            bench.engine.fetch(Wanted("model", origin.url("/a")), job)
        except Cancelled as error:
            failure.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    deadline = time.monotonic() + 10
    while origin.resources["/a"].sent < 3 * 65_536 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.5)  # nothing tells that the receiver has come to wait for more
    job.stop()
    thread.join(60)  # its last sync may wait for a busy disk
    assert not thread.is_alive()
    assert isinstance(failure[0], Cancelled)
    assert bench.visible() == set()


def test_a_source_that_the_kernel_can_not_copy_from_is_read_instead(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(*_: object) -> int:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "copy_file_range", stale)
    (tmp_path / "w.bin").write_bytes(BIG)
    assert bench.content(bench.fetch(str(tmp_path / "w.bin"), CARD, localise=True)) == BIG


def test_a_source_that_can_not_be_read_is_named_and_not_the_cache(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w.bin").write_bytes(BIG)
    read = os.preadv

    def broken(fd: int, *rest: Any) -> int:
        if os.readlink(f"/proc/self/fd/{fd}").endswith("w.bin"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(fd, *rest)

    monkeypatch.setattr(os, "copy_file_range", broken)
    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(SourceError, match=r"w\.bin: Input/output error\. Given up after 4"):
        bench.fetch(str(tmp_path / "w.bin"), CARD, localise=True)


def test_a_full_disk_is_told_with_a_remedy(bench: Bench) -> None:
    error = OSError(28, "No space left on device", "/cache/partial/x")
    with pytest.raises(CacheError, match=r"No space left on device. Free some room"):  # noqa: SIM117
        with disk.explained(bench.layout):
            raise error
