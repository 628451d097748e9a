"""The daemon's side, with a real worker process: sharing, cancelling, dying, leases."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import resource as limits_of
import signal
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import pytest

from resolverd.checkpoints import leases
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.faults import Denied, VerificationError
from resolverd.checkpoints.service import Progress, Published
from resolverd.checkpoints.space.eviction import occupied
from resolverd.errors import CacheError, SourceError
from tests.checkpoints.conftest import PART, running, until
from tests.checkpoints.origin import Origin

BIG = os.urandom(8 * PART + 99)
CARD = hashlib.sha256(BIG).hexdigest()


def content(published: Published) -> bytes:
    return Path(published.path).read_bytes()


async def test_many_who_ask_at_once_share_one_download(origin: Origin, tmp_path: Path) -> None:
    gate = threading.Event()
    resource = origin.put("/a", BIG, gate=gate)
    wanted = Wanted("model", origin.url("/a"), CARD)
    async with running(tmp_path) as service:
        asked = [asyncio.ensure_future(service.ensure(wanted)) for _ in range(20)]
        await until(lambda: resource.requests)
        gate.set()
        found = await asyncio.gather(*asked)
    assert {published.path for published in found} == {found[0].path}
    assert content(found[0]) == BIG
    assert resource.sent == len(BIG)


async def test_everyone_who_waits_is_told_of_progress(origin: Origin, tmp_path: Path) -> None:
    gate = threading.Event()
    origin.put("/a", BIG, gate=gate)
    told: list[list[Progress]] = [[], []]
    wanted = Wanted("model", origin.url("/a"), CARD)
    async with running(tmp_path) as service:
        asked = [
            asyncio.ensure_future(service.ensure(wanted, progress=heard.append)) for heard in told
        ]
        await until(lambda: all(heard for heard in told))
        gate.set()
        await asyncio.gather(*asked)
    for heard in told:
        assert heard[0].state in {"waiting", "connecting", "fetching"}
        assert heard[-1].state == "publishing"
        assert (heard[-1].done, heard[-1].total) == (len(BIG), len(BIG))


async def test_one_who_leaves_does_not_take_the_download_from_the_others(
    origin: Origin, tmp_path: Path
) -> None:
    gate = threading.Event()
    resource = origin.put("/a", BIG, gate=gate)
    wanted = Wanted("model", origin.url("/a"), CARD)
    async with running(tmp_path) as service:
        stays = asyncio.ensure_future(service.ensure(wanted))
        leaves = asyncio.ensure_future(service.ensure(wanted))
        await until(lambda: resource.requests)
        leaves.cancel()
        gate.set()
        assert content(await stays) == BIG


async def test_the_last_who_leaves_ends_the_download(origin: Origin, tmp_path: Path) -> None:
    gate = threading.Event()
    resource = origin.put("/a", BIG, gate=gate, gate_at=100_000)
    wanted = Wanted("model", origin.url("/a"), CARD)
    async with running(tmp_path) as service:
        asked = asyncio.ensure_future(service.ensure(wanted))
        await until(lambda: resource.sent)
        asked.cancel()
        await until(lambda: service.status()["downloads"] == [])
        gate.set()
        assert service.find(wanted) is None
        assert content(await service.ensure(wanted)) == BIG


async def test_what_is_there_is_found_without_the_worker(origin: Origin, tmp_path: Path) -> None:
    origin.put("/a", BIG)
    wanted = Wanted("model", origin.url("/a"), CARD)
    async with running(tmp_path) as service:
        assert service.find(wanted) is None
        published = await service.ensure(wanted)
        assert service.find(wanted) == published
    async with running(tmp_path) as service:
        assert service.find(wanted) == published
        assert service.find(Wanted("model", origin.url("/a"), "0" * 64)) is None


async def test_a_worker_that_is_killed_costs_no_byte_that_was_journalled(
    origin: Origin, tmp_path: Path
) -> None:
    gate = threading.Event()
    resource = origin.put("/a", BIG, gate=gate, gate_at=PART)
    wanted = Wanted("model", origin.url("/a"), CARD)
    resource.before = lambda found: None
    async with running(tmp_path, connections=1, journal_seconds=0.05) as service:
        resource.faults.gate = None
        hold = threading.Event()

        def after_four(found: object) -> None:
            if len(resource.requests) == 5:
                resource.faults.gate, resource.faults.gate_at = hold, 0

        resource.before = after_four
        asked = asyncio.ensure_future(service.ensure(wanted))
        await until(lambda: len(resource.requests) == 5)
        journal = next((tmp_path / "partial").glob("*/journal-*"))
        await until(lambda: f"[[0,{4 * PART}]]" in journal.read_text())
        first = service.status()["worker"]["pid"]
        os.kill(first, signal.SIGKILL)
        resource.faults.gate = None
        hold.set()
        published = await asked
        assert service.status()["worker"]["restarts"] == 1
        assert service.status()["worker"]["pid"] != first
    assert content(published) == BIG
    assert resource.sent <= len(BIG) + PART  # the part that was under way, at most


async def test_a_new_daemon_goes_on_where_the_old_one_was_stopped(
    origin: Origin, tmp_path: Path
) -> None:
    hold = threading.Event()
    resource = origin.put("/a", BIG)

    def after_three(_: object) -> None:
        if len(resource.requests) == 4:
            resource.faults.gate = hold

    resource.before = after_three
    wanted = Wanted("model", origin.url("/a"), CARD)
    async with running(tmp_path, connections=1, journal_seconds=0.05) as service:
        asked = asyncio.ensure_future(service.ensure(wanted))
        await until(lambda: resource.sent == 3 * PART)
        await until(lambda: journal_of(tmp_path).endswith(f'{{"ranges":[[0,{3 * PART}]]}}\n'))
        asked.cancel()
    resource.faults.gate, resource.before = None, None
    hold.set()
    async with running(tmp_path) as service:
        assert content(await service.ensure(wanted)) == BIG
    assert "range" in resource.requests[-1]
    assert resource.sent <= len(BIG) + PART


def journal_of(root: Path) -> str:
    return "".join(path.read_text() for path in root.glob("partial/*/journal-*"))


async def test_a_worker_that_can_never_start_is_told_of(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolverd.checkpoints.process.link._PAUSE_MOST", 0.01)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    async with running(tmp_path) as service:
        with pytest.raises(CacheError, match="fetching process"):
            await service.ensure(Wanted("model", origin.url("/a")))


async def test_the_worker_is_nice_and_ends_with_the_daemon(tmp_path: Path) -> None:
    script = (
        "import sys, anyio\n"
        "from resolverd.checkpoints.service import Checkpoints\n"
        "async def main():\n"
        "    async with anyio.create_task_group() as group:\n"
        "        service = Checkpoints(sys.argv[1])\n"
        "        await group.start(service.run)\n"
        "        while service.status()['worker']['pid'] is None: await anyio.sleep(0.01)\n"
        "        print(service.status()['worker']['pid'], flush=True)\n"
        "        await anyio.sleep(60)\n"
        "anyio.run(main)\n"
    )
    with started([sys.executable, "-c", script, str(tmp_path)]) as daemon:
        assert daemon.stdout is not None
        worker = int(daemon.stdout.readline())
        try:
            await until(lambda: os.getpriority(os.PRIO_PROCESS, worker) == 19)
        finally:
            daemon.kill()
        await until(lambda: not os.path.exists(f"/proc/{worker}") or _is_zombie(worker))


def started(command: list[str], *fds: int) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=fds)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_a_disk_that_fills_up_fails_the_download_and_nothing_else(
    origin: Origin, tmp_path: Path
) -> None:
    small, big = os.urandom(1000), Wanted("model", origin.url("/big"))
    origin.put("/small", small)
    origin.put("/big", BIG)
    async with running(tmp_path) as service:
        await service.ensure(Wanted("model", origin.url("/small")))
        worker = service.status()["worker"]["pid"]
        limits_of.prlimit(worker, limits_of.RLIMIT_FSIZE, (PART, limits_of.RLIM_INFINITY))
        with pytest.raises(CacheError, match="Free some room"):
            await service.ensure(big)
        assert content(await service.ensure(Wanted("model", origin.url("/small"))))
        limits_of.prlimit(worker, limits_of.RLIMIT_FSIZE, (limits_of.RLIM_INFINITY,) * 2)
        assert content(await service.ensure(big)) == BIG


async def test_an_unusable_cache_is_told_and_used_once_it_is_mended(
    origin: Origin, tmp_path: Path
) -> None:
    origin.put("/a", BIG)
    (tmp_path / "cache").write_text("in the way")
    async with running(tmp_path / "cache") as service:
        with pytest.raises(CacheError):
            await service.ensure(Wanted("model", origin.url("/a")))
        (tmp_path / "cache").unlink()
        assert content(await service.ensure(Wanted("model", origin.url("/a"))))


async def test_two_daemons_do_not_share_a_cache(origin: Origin, tmp_path: Path) -> None:
    origin.put("/a", BIG)
    wanted = Wanted("model", origin.url("/a"))
    async with running(tmp_path) as one:
        await one.ensure(wanted)
        async with running(tmp_path) as other:
            with pytest.raises(CacheError, match="in use by another resolverd"):
                await other.ensure(wanted, refresh=True)


async def test_errors_of_the_worker_keep_their_kind(origin: Origin, tmp_path: Path) -> None:
    origin.put("/a", BIG)
    async with running(tmp_path) as service:
        with pytest.raises(VerificationError):
            await service.ensure(Wanted("model", origin.url("/a"), "0" * 64))
        with pytest.raises(SourceError, match="404"):
            await service.ensure(Wanted("model", origin.url("/b")))
        with pytest.raises(Denied):
            await service.ensure(Wanted("model", "http://169.254.169.254/x"))
        with pytest.raises(Denied):
            await service.ensure(Wanted("model", "nonsense"))


async def test_verify_finds_the_rotten_one(origin: Origin, tmp_path: Path) -> None:
    origin.put("/a", BIG)
    origin.put("/b", BIG[1:])
    async with running(tmp_path) as service:
        good = await service.ensure(Wanted("model", origin.url("/a")))
        bad = await service.ensure(Wanted("model", origin.url("/b")))
        os.chmod(bad.path, 0o644)
        os.truncate(bad.path, 5)
        verdicts = {verdict.key: verdict for verdict in await service.verify()}
        assert verdicts[good.key].ok
        assert not verdicts[bad.key].ok
        assert "5 bytes" in verdicts[bad.key].reason
        assert service.find(Wanted("model", origin.url("/b"))) is None


async def test_status_shows_downloads_and_objects(origin: Origin, tmp_path: Path) -> None:
    gate = threading.Event()
    origin.put("/a", BIG)
    resource = origin.put("/b", BIG, gate=gate, gate_at=PART)
    async with running(tmp_path) as service:
        await service.ensure(Wanted("model", origin.url("/a")))
        asked = asyncio.ensure_future(service.ensure(Wanted("model", origin.url("/b"))))
        await until(lambda: resource.sent)
        await until(lambda: service.status()["partial_bytes"] == occupied(len(BIG)))
        status = service.status()
        gate.set()
        await asked
    assert (status["objects"], status["bytes"]) == (1, 2 * occupied(len(BIG)))
    (download,) = status["downloads"]
    assert download["uri"] == origin.url("/b")
    assert download["requesters"] == 1


async def test_whoever_waits_and_status_are_told_why_it_takes_long(
    origin: Origin, tmp_path: Path
) -> None:
    told: list[Progress] = []
    origin.put("/a", BIG, statuses=[(503, {})] * 1000)
    wanted = Wanted("model", origin.url("/a"))
    async with running(tmp_path, attempts=1000) as service:
        asked = asyncio.ensure_future(service.ensure(wanted, progress=told.append))
        await until(lambda: told and told[-1].fault)
        (download,) = service.status()["downloads"]
        asked.cancel()
    assert "503" in download["fault"]
    assert {event.state for event in told if event.fault} <= {"retrying", "connecting"}


async def test_who_waits_is_told_that_the_worker_ended(origin: Origin, tmp_path: Path) -> None:
    told: list[Progress] = []
    gate = threading.Event()
    resource = origin.put("/a", BIG, gate=gate)
    async with running(tmp_path) as service:
        wanted = Wanted("model", origin.url("/a"))
        asked = asyncio.ensure_future(service.ensure(wanted, progress=told.append))
        await until(lambda: resource.requests)
        os.kill(service.status()["worker"]["pid"], signal.SIGKILL)
        await until(lambda: any(event.fault for event in told))
        gate.set()
        assert content(await asked) == BIG
    assert "the fetching process ended." in {event.fault for event in told}


# -- leases


async def published_one(origin: Origin, tmp_path: Path) -> tuple[Published, int]:
    origin.put("/a", BIG)
    async with running(tmp_path) as service:
        published = await service.ensure(Wanted("model", origin.url("/a")))
        return published, service.lease(published).fd


async def test_a_lease_held_by_an_idle_process_protects_until_it_dies(
    origin: Origin, tmp_path: Path
) -> None:
    published, fd = await published_one(origin, tmp_path)
    lock = str(tmp_path / "locks" / published.key)
    with started(["sleep", "60"], fd) as holder:
        os.close(fd)  # as the daemon does, once it has handed it over
        assert leases.exclude(lock) is None
        holder.kill()
        holder.wait()
    held = leases.exclude(lock)
    assert held is not None
    os.close(held)


async def test_many_leases_on_one_object_are_shared(origin: Origin, tmp_path: Path) -> None:
    published, fd = await published_one(origin, tmp_path)
    other = leases.take(str(tmp_path / "locks" / published.key))
    os.close(fd)
    assert leases.exclude(str(tmp_path / "locks" / published.key)) is None
    os.close(other)


async def test_no_lease_is_given_on_what_is_being_evicted(origin: Origin, tmp_path: Path) -> None:
    published, fd = await published_one(origin, tmp_path)
    os.close(fd)
    held = leases.exclude(str(tmp_path / "locks" / published.key))
    assert held is not None
    with pytest.raises(CacheError, match="being removed"):
        leases.take(str(tmp_path / "locks" / published.key))
    fcntl.flock(held, fcntl.LOCK_UN)
    os.close(held)


# -- local files


async def test_a_local_file_is_used_in_place(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(BIG)
    async with running(tmp_path / "cache") as service:
        published = await service.ensure(Wanted("model", str(tmp_path / "w.bin")))
        assert published.path == str(tmp_path / "w.bin")
        assert published.digest is None
        os.close(service.lease(published).fd)


async def test_a_local_file_is_held_against_the_card_once_for_each_version(tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    path.write_bytes(BIG)
    wanted = Wanted("model", f"file://{path}", CARD)
    async with running(tmp_path / "cache") as service:
        published = await service.ensure(wanted)
        assert (published.trust, published.digest) == ("card", f"sha256:{CARD}")
        assert service.find(wanted) == published
        path.write_bytes(BIG[::-1])
        assert service.find(wanted) is None
        with pytest.raises(VerificationError, match="the card says"):
            await service.ensure(wanted)


async def test_a_local_file_on_a_network_file_system_is_copied(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(BIG)
    async with running(tmp_path / "cache", is_network=lambda _: True) as service:
        published = await service.ensure(Wanted("model", str(tmp_path / "w.bin"), CARD))
    assert published.path.startswith(str(tmp_path / "cache" / "objects"))
    assert content(published) == BIG


async def test_a_directory_is_used_in_place(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a").write_bytes(BIG)
    async with running(tmp_path / "cache") as service:
        assert (await service.ensure(Wanted("model", str(tmp_path / "m")))).path == str(
            tmp_path / "m"
        )
        checked = await service.ensure(Wanted("model", str(tmp_path / "m"), {"a": CARD}))
        assert (checked.path, checked.files) == (str(tmp_path / "m"), ("a",))
        with pytest.raises(VerificationError):
            await service.ensure(Wanted("model", str(tmp_path / "m"), {"a": "0" * 64}))


async def test_local_files_that_are_not_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    async with running(tmp_path / "cache", policy=Policy(file_roots=(str(tmp_path),))) as service:
        with anyio.fail_after(10):
            with pytest.raises(SourceError, match="neither a file"):
                await service.ensure(Wanted("model", str(tmp_path / "pipe")))
            with pytest.raises(SourceError, match="No such file"):
                await service.ensure(Wanted("model", str(tmp_path / "nothing")))
            with pytest.raises(Denied, match="outside"):
                await service.ensure(Wanted("model", "/etc/hostname"))
