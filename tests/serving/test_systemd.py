"""sd_notify over real datagram sockets, and the proof that the daemon serves."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from resolverd.serving.probe import Probe
from resolverd.serving.summary import summary
from resolverd.serving.systemd import Notifier
from tests.serving.served import served


class Manager:
    """A service manager's end of the notify socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.settimeout(30)

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def hear(self) -> str:
        return self.socket.recv(4096).decode()

    def heard(self) -> list[str]:
        """Give what has come, without waiting."""
        found = []
        self.socket.setblocking(False)
        try:
            while True:
                found.append(self.hear())
        except BlockingIOError:
            self.socket.settimeout(30)
            return found


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(str(tmp_path / "notify")) as made:
        yield made


@pytest.fixture
def notifier(manager: Manager, tmp_path: Path) -> Notifier:
    return Notifier(str(tmp_path / "notify"), 0.4)


@pytest.mark.parametrize("place", ["a path", "an abstract name"])
def test_the_manager_is_told_each_step(tmp_path: Path, place: str) -> None:
    name = f"@resolverd-{secrets.token_hex(8)}"
    address = str(tmp_path / "notify") if place == "a path" else name
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000", "OTHER": "1"}
    notifier = Notifier.taken(environ)
    assert environ == {"OTHER": "1"}  # no child may take them for its own
    assert notifier.watchdog == 1.0
    with Manager(address) as manager:
        notifier.ready()
        notifier.status("serving")
        notifier.status("serving")
        notifier.reloading()
        notifier.stopping()
        heard = manager.heard()
    ready, status, reloading, stopping = heard
    assert (ready, status) == ("READY=1", "STATUS=serving")
    state, monotonic = reloading.split("\nMONOTONIC_USEC=")
    assert state == "RELOADING=1"
    assert monotonic.isdecimal()
    assert stopping == "STOPPING=1\nSTATUS=stopping"


def test_a_watchdog_meant_for_another_process_is_not_answered() -> None:
    environ = {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    assert Notifier.taken(environ).watchdog is None
    environ = {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}
    assert Notifier.taken(environ).watchdog == 1.0


def test_without_a_manager_nothing_is_told_or_kept() -> None:
    notifier = Notifier.taken({})
    notifier.ready()
    notifier.status("serving")
    anyio.run(notifier.run, str, lambda: pytest.fail("nobody asked"))


def test_what_a_full_queue_does_not_take_is_sent_later_in_order(
    manager: Manager, notifier: Notifier
) -> None:
    numbers = [str(number) for number in range(40)]
    for number in numbers:  # more than the kernel queues for a socket that is not read
        notifier.status(number)
    told = manager.heard()
    while len(told) < len(numbers):
        notifier.status(f"again {len(told)}")
        told += manager.heard()
    assert [line for line in told if "again" not in line] == [f"STATUS={n}" for n in numbers]


def test_a_manager_that_is_gone_costs_a_line_in_the_log(
    manager: Manager, notifier: Notifier, caplog: pytest.LogCaptureFixture
) -> None:
    manager.socket.close()
    notifier.ready()
    assert "systemd can't be told" in caplog.text


async def test_each_proof_is_followed_by_a_ping(manager: Manager, notifier: Notifier) -> None:
    proofs = 0

    async def serves() -> None:
        nonlocal proofs
        proofs += 1
        if proofs > 3:
            scope.cancel()
            await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        await notifier.run(lambda: f"proof {proofs}", serves)
    assert manager.heard() == [
        line for number in range(3) for line in (f"STATUS=proof {number}", "WATCHDOG=1")
    ] + ["STATUS=proof 3"]


@pytest.mark.parametrize("fault", ["it hangs", "it refuses", "it hangs up"])
async def test_without_a_proof_there_is_no_ping(
    manager: Manager, notifier: Notifier, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0

    async def serves() -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            scope.cancel()
        if fault == "it hangs":
            await anyio.sleep_forever()
        raise ConnectionRefusedError(fault) if fault == "it refuses" else EOFError(fault)

    with anyio.CancelScope() as scope:
        await notifier.run(lambda: "serving", serves)
    assert manager.heard() == ["STATUS=serving"]
    assert "no answer to a look-up of the daemon's own" in caplog.text


async def test_a_start_that_takes_long_asks_for_more_time(
    manager: Manager, notifier: Notifier
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(notifier.starting)
        await anyio.to_thread.run_sync(manager.hear)
        assert await anyio.to_thread.run_sync(manager.hear) == "EXTEND_TIMEOUT_USEC=20000000"
        tasks.cancel_scope.cancel()


async def test_a_daemon_that_answers_is_proven_to_serve() -> None:
    with served() as server:
        await Probe(server.path)()


async def test_a_daemon_with_too_many_clients_serves() -> None:
    with served("--limit", "connections=1") as server, server.raw():
        await Probe(server.path)()


async def test_a_daemon_that_accepts_and_hangs_up_does_not_serve(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def hang_up() -> None:
            listener.accept()[0].close()

        rude = threading.Thread(target=hang_up)
        rude.start()
        with pytest.raises(EOFError):
            await Probe(str(tmp_path / "s"))()
        rude.join()


async def test_a_daemon_that_does_not_accept_does_not_serve(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with pytest.raises(TimeoutError), anyio.fail_after(0.1):
            await Probe(str(tmp_path / "s"))()


async def test_what_a_restart_can_not_mend_is_told_once_and_is_no_reason_for_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    probe = Probe(str(tmp_path / "removed"))
    await probe()
    await probe()
    assert caplog.text.count("can't reach its own socket") == 1


@pytest.mark.parametrize(
    ("problems", "downloads", "line"),
    [
        (0, [], "serving 1,234 cards of 2 stores"),
        (1, [], "serving 1,234 cards of 2 stores; 1 problem: see `resolverctl status`"),
        (
            0,
            [{"done": 50, "total": 100}, {"done": 30, "total": 100}, {"done": 7, "total": None}],
            "serving 1,234 cards of 2 stores; 3 downloads, 40% done",
        ),
        (0, [{"done": 7, "total": None}], "serving 1,234 cards of 2 stores; 1 download"),
    ],
)
def test_the_status_line_says_how_it_fares(
    problems: int, downloads: list[dict[str, int | None]], line: str
) -> None:
    assert summary(1234, 2, problems, downloads) == line
