"""Room in the cache, through real daemons: the quota, what gives way for it, what never does."""

from __future__ import annotations

import fcntl
import grp
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from resolverd_client import FetchError

from tests.checkpoints.origin import Origin
from tests.daemon.running import Daemon, card, daemon, eventually, write
from tests.daemon.usage import used

MIB = 1 << 20
QUOTA = 3 * MIB + MIB // 2


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        for name in "abcdef":
            running.put(f"/{name}.bin", os.urandom(MIB))
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with bounded(tmp_path_factory.mktemp("config"), max_bytes=QUOTA) as running:
        yield running


@pytest.fixture
def node(shared: Daemon) -> Iterator[Daemon]:
    """One daemon for all, with nothing in its cache."""
    yield shared
    if shared.process is None or shared.process.poll() is not None:
        shared.start()
    client = shared.client()

    def empty() -> bool:  # what a job still works on can't be removed yet
        rows = client.cache_list()
        client.cache_unpin([{"key": row[place]} for row in rows for place in ("asset", "key")])
        client.cache_remove([{"key": row["key"]} for row in rows], force=True)
        return not rows

    eventually(empty)


def bounded(tmp_path: Path, **cache: object) -> AbstractContextManager[Daemon]:
    """A daemon whose table ``[cache]`` is in a file, to be changed by the test."""
    configure(tmp_path, **cache)
    return daemon("--config", str(tmp_path / "config.toml"))


def configure(tmp_path: Path, **cache: object) -> None:
    values = {"min_free_bytes": 0, **cache}
    text = "".join(f"{key} = {value!r}\n" for key, value in values.items())
    (tmp_path / "config.toml").write_text(f"[cache]\n{text}")


def age(node: Daemon, path: Path, seconds: float) -> None:
    """Have an object be last used some time ago."""
    lock = node.cache / "locks" / path.parent.name
    then = lock.stat().st_mtime - seconds
    os.utime(lock, (then, then))


def test_the_least_recently_used_gives_way_to_a_download(node: Daemon, origin: Origin) -> None:
    client = node.client()
    paths = {name: client.path(uri=origin.url(f"/{name}.bin")) for name in "abc"}
    for name, seconds in (("a", 300), ("b", 900), ("c", 600)):
        age(node, paths[name], seconds)
    assert client.path(uri=origin.url("/b.bin")) == paths["b"]  # used again just now
    client.path(uri=origin.url("/d.bin"))
    assert {name for name, path in paths.items() if path.exists()} == {"a", "b"}
    assert used(node.cache) <= QUOTA


def put(node: Daemon, name: str, **fields: object) -> None:
    write(node.store / f"{name}.yaml", card(name, **fields))
    client = node.client()
    eventually(lambda: fields.items() <= (client.maybe_get_metadata(name) or {}).items())


def test_what_is_leased_or_pinned_never_gives_way_and_the_error_says_so(
    node: Daemon, origin: Origin
) -> None:
    client = node.client()
    a, b, c = (client.path(uri=origin.url(f"/{name}.bin")) for name in "abc")
    for seconds, path in enumerate((c, b, a), 1):
        age(node, path, 1000 * seconds)
    client.cache_pin([b.parent.name])
    with client.lease(uri=origin.url("/a.bin")):
        d = client.path(uri=origin.url("/d.bin"))
        assert [path.exists() for path in (a, b, c, d)] == [True, True, False, True]
        client.cache_pin([origin.url("/d.bin")])
        with pytest.raises(FetchError, match=r"no room") as caught:
            client.path(uri=origin.url("/e.bin"))
    for figure in ("1,048,576 bytes are needed", "3,670,016 allowed (cache.max_bytes)",
                   "1,048,576 bytes are leased", "2,097,152 pinned", "cache unpin"):  # fmt: skip
        assert figure in str(caught.value)
    assert client.path(uri=origin.url("/e.bin")).exists()  # the lease has ended


def test_a_lease_of_an_idle_process_protects_through_kill_9_of_everything_and_pressure(
    node: Daemon, origin: Origin
) -> None:
    code = (
        "import sys, time; from resolverd_client import Client\n"
        "lease = Client(socket_path=sys.argv[1]).lease(uri=sys.argv[2])\n"
        "print(lease.path, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(node.socket), origin.url("/a.bin")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as idle:
        assert idle.stdout is not None
        path = Path(idle.stdout.readline().strip())
        worker = node.client().status()["checkpoints"]["worker"]["pid"]
        os.kill(worker, signal.SIGKILL)
        node.kill()
        age(node, path, 10_000)
        node.start()
        for name in "bcdef":
            node.client().path(uri=origin.url(f"/{name}.bin"))
            assert used(node.cache) <= QUOTA
        assert path.read_bytes() == origin.resources["/a.bin"].data
        idle.kill()
    age(node, path, 10_000)
    for name in "bcd":
        node.client().path(uri=origin.url(f"/{name}.bin"))
    assert not path.exists()


def test_a_client_that_locks_its_lease_keeps_nobody_else_out(node: Daemon, origin: Origin) -> None:
    mine = node.client().lease(uri=origin.url("/a.bin"))
    fcntl.flock(mine._fds[0], fcntl.LOCK_EX)
    theirs = node.client().lease(uri=origin.url("/a.bin"))
    mine.release()
    age(node, theirs.path, 10_000)
    for name in "bcde":
        node.client().path(uri=origin.url(f"/{name}.bin"))
    assert theirs.path.exists()
    assert "a client had locked" in node.log
    theirs.release()


def test_a_file_larger_than_the_quota_evicts_nothing(node: Daemon, origin: Origin) -> None:
    origin.put("/big", bytes(5 * MIB))
    path = node.client().path(uri=origin.url("/a.bin"))
    with pytest.raises(FetchError, match=r"more than cache\.max_bytes \(3,670,016\)"):
        node.client().path(uri=origin.url("/big"))
    assert path.exists()


def test_a_file_of_unknown_length_makes_room_as_it_grows_and_stops_at_the_quota(
    node: Daemon, origin: Origin
) -> None:
    client = node.client()
    paths = [client.path(uri=origin.url(f"/{name}.bin")) for name in "abc"]
    data = os.urandom(2 * MIB)
    origin.put("/grows", data, chunked=True, etag=None)
    assert client.path(uri=origin.url("/grows")).read_bytes() == data
    assert sum(path.exists() for path in paths) == 1
    origin.put("/endless", bytes(6 * MIB), chunked=True, etag=None)
    with pytest.raises(FetchError, match="no room"):
        client.path(uri=origin.url("/endless"))
    assert used(node.cache) <= QUOTA


def test_a_lower_quota_is_applied_by_a_reload_and_by_a_restart(
    origin: Origin, tmp_path: Path
) -> None:
    with bounded(tmp_path, max_bytes=QUOTA) as node:
        lower_the_quota(node, origin, tmp_path)


def lower_the_quota(node: Daemon, origin: Origin, tmp_path: Path) -> None:
    client = node.client()
    paths = [client.path(uri=origin.url(f"/{name}.bin")) for name in "abc"]
    for seconds, path in enumerate(reversed(paths), 1):
        age(node, path, 1000 * seconds)
    configure(tmp_path, max_bytes=2 * MIB)
    node.signal(signal.SIGHUP)
    eventually(lambda: used(node.cache) <= 2 * MIB)
    assert [path.exists() for path in paths] == [False, True, True]
    node.stop()
    configure(tmp_path, max_bytes=MIB)
    node.start()
    eventually(lambda: used(node.cache) <= MIB)
    assert [path.exists() for path in paths] == [False, False, True]


def test_the_quota_holds_at_every_moment_of_many_downloads_at_once(
    node: Daemon, origin: Origin
) -> None:
    sizes = [int(MIB * share) for share in (0.3, 0.9, 0.5, 1.2, 0.1, 0.7, 1.0, 0.4, 0.8, 0.6)]
    for number, size in enumerate(sizes):
        origin.put(f"/{number}", os.urandom(size), chunked=number % 3 == 0, rate=8e6)
    most, over = [0], threading.Event()

    def watch() -> None:
        while not over.is_set():
            most[0] = max(most[0], used(node.cache))

    def fetch(number: int) -> str:
        try:
            node.client().path(uri=origin.url(f"/{number}"))
        except FetchError as error:
            return "no room" if "no room" in str(error) else str(error)
        return "fetched"

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            fetched = list(pool.map(fetch, range(len(sizes))))
    finally:
        over.set()
        watcher.join()
    assert fetched.count("fetched") >= len(sizes) - 2  # those that grow may meet
    assert set(fetched) <= {"fetched", "no room"}
    assert most[0] <= QUOTA
    assert 2 * MIB < used(node.cache) <= QUOTA


def test_status_tells_what_takes_the_room(node: Daemon, origin: Origin) -> None:
    client = node.client()
    for name in "abc":
        client.path(uri=origin.url(f"/{name}.bin"))
    client.cache_pin([origin.url("/b.bin")])
    with client.lease(uri=origin.url("/a.bin")):
        found = client.status()["checkpoints"]
        shown = node.ctl("status").stdout
    wanted = {"objects": 3, "bytes": 3 * MIB, "max_bytes": QUOTA, "leased_bytes": MIB,
              "pinned_bytes": MIB, "partial_bytes": 0, "quarantine_bytes": 0}  # fmt: skip
    assert {key: found[key] for key in wanted} == wanted
    assert found["verified_first"] <= found["verified"]
    assert "3 objects, 3.0 MiB of 3.5 MiB, " in shown
    assert "of which 1.0 MiB leased, 1.0 MiB pinned" in shown
    assert "every object was found right within the last" in shown


def test_a_second_daemon_on_the_same_cache_says_so_and_serves_what_is_there(
    node: Daemon, origin: Origin
) -> None:
    path = node.client().path(uri=origin.url("/a.bin"))
    with daemon("--cache-dir", str(node.cache)) as second:
        told = eventually(lambda: second.client().status()["warnings"])
        assert any("is in use by another resolverd (process" in text for text in told)
        assert "in use by another resolverd" in second.ctl("status").stdout
        assert second.log.count("in use by another resolverd") == 1
        assert second.client().path(uri=origin.url("/a.bin")) == path
        refused = second.ctl("cache", "rm", path.parent.name)
        assert (refused.returncode, path.exists()) == (1, True)
        assert node.client().status()["warnings"] == []
        node.stop()
        assert second.client().path(uri=origin.url("/b.bin")).exists()
        eventually(lambda: second.client().status()["warnings"] == [])
        assert f"mended: {node.cache} is in use" in second.log


def test_a_quota_of_nothing_is_refused_with_what_to_do(tmp_path: Path) -> None:
    configure(tmp_path, max_bytes=0)
    command = [sys.executable, "-m", "resolverd", "check-config", str(tmp_path / "config.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "cache.max_bytes: 0 is not allowed" in done.stdout + done.stderr


# -- resolverctl cache


def test_the_cache_is_listed_with_names_and_what_holds_it(node: Daemon, origin: Origin) -> None:
    put(node, "m", checkpoint=origin.url("/a.bin"))
    assert node.ctl("prefetch", "m").returncode == 0
    assert node.ctl("cache", "pin", "m").stdout == "m: pinned\n"
    with node.client().lease("m") as path:
        told = json.loads(node.ctl("cache", "ls", "--json").stdout)
    (row,) = told
    assert (row["names"], row["kind"], row["state"]) == (["m"], "model", "published")
    assert (row["size"], row["trust"], row["key"]) == (MIB, "first-use", path.parent.name)
    assert (row["leased"], row["pinned"]) == (True, True)
    assert "leased,pinned" not in node.ctl("cache", "ls").stdout
    assert "m\tmodel\tpublished\t1.0 MiB\tfirst-use" in node.ctl("cache", "ls").stdout


def test_rm_refuses_what_is_held_and_force_overrides_pins_alone(
    node: Daemon, origin: Origin
) -> None:
    put(node, "m", checkpoint=origin.url("/a.bin"))
    path = node.client().path("m")
    node.ctl("cache", "pin", "m")
    refused = node.ctl("cache", "rm", "m")
    assert refused.returncode == 1
    assert "it is pinned" in refused.stdout
    with node.client().lease("m"):
        refused = node.ctl("cache", "rm", "--force", "m")
        assert "a process holds a lease on it" in refused.stdout
        assert path.exists()
    done = node.ctl("cache", "rm", "--force", path.parent.name)
    assert (done.returncode, path.exists()) == (0, False)
    assert list((node.cache / "assets").iterdir()) == []
    again = node.ctl("cache", "rm", "m")
    assert (again.returncode, again.stdout) == (1, "m: nothing of it is in the cache\n")
    assert node.ctl("cache", "rm", "nobody").returncode == 4


def test_a_pin_survives_a_restart_and_ends_with_unpin(node: Daemon, origin: Origin) -> None:
    put(node, "m", checkpoint=origin.url("/a.bin"))
    path = node.client().path("m")
    assert node.ctl("cache", "pin", "m").returncode == 0
    node.kill()
    node.start()
    age(node, path, 10_000)
    for name in "bcdef":
        node.client().path(uri=origin.url(f"/{name}.bin"))
    assert path.exists()
    assert node.ctl("cache", "unpin", "m").stdout == "m: unpinned\n"
    assert node.ctl("cache", "unpin", "m").returncode == 1
    node.client().path(uri=origin.url("/b.bin"))
    assert not path.exists()


def test_a_pin_of_what_is_not_there_yet_is_listed_and_holds_once_it_is(
    node: Daemon, origin: Origin
) -> None:
    put(node, "m", checkpoint=origin.url("/a.bin"))
    assert node.ctl("cache", "pin", "m").returncode == 0
    (row,) = node.client().cache_list()
    assert (row["state"], row["names"], row["size"], row["pinned"]) == ("absent", ["m"], 0, True)
    node.client().path("m")
    (row,) = node.client().cache_list()
    assert (row["state"], row["pinned"]) == ("published", True)
    refused = node.ctl("cache", "pin", f"{'0' * 24}-{'0' * 16}")
    assert (refused.returncode, "the cache has no object" in refused.stderr) == (4, True)


def test_gc_removes_what_nobody_needs_and_with_a_figure_what_was_not_used(
    node: Daemon, origin: Origin
) -> None:
    client = node.client()
    old = client.path(uri=origin.url("/a.bin"))
    origin.put("/a.bin", os.urandom(MIB))
    new = client.path(uri=origin.url("/a.bin"), refresh=True)
    b = client.path(uri=origin.url("/b.bin"))
    age(node, new, 1000)
    plan = node.ctl("cache", "gc", "--dry-run")
    assert plan.stdout.endswith("1.0 MiB would be freed\n")
    assert old.exists()
    assert node.ctl("cache", "gc").stdout.endswith("1.0 MiB freed\n")
    assert [path.exists() for path in (old, new, b)] == [False, True, True]
    assert node.ctl("cache", "gc", "--to", "1MiB").returncode == 0
    assert [path.exists() for path in (new, b)] == [False, True]
    assert node.ctl("cache", "gc", "--to", "much").returncode == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as somebody else")
def test_others_may_look_but_not_touch_unless_their_group_may(tmp_path: Path) -> None:
    configure(tmp_path, admin_group=grp.getgrgid(65534).gr_name)
    with daemon("--config", str(tmp_path / "config.toml")) as node:
        code = (
            "import os, sys; from resolverd_client import Client\n"
            "Client(socket_path=sys.argv[1]).cache_collect()\n"  # imports while it still can
            "os.setgroups(eval(sys.argv[2])); os.setgid(12345); os.setuid(54321)\n"
            "client = Client(socket_path=sys.argv[1])\n"
            "print(client.cache_list(), client.cache_collect(dry_run=True))\n"
            "try: print(client.cache_collect())\n"
            "except Exception as error: print(error.code)"
        )

        def ask(groups: list[int]) -> str:
            command = [sys.executable, "-c", code, str(node.socket), repr(groups)]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout

        assert ask([]) == "[] []\ndenied\n"
        assert ask([65534]) == "[] []\n[]\n"
