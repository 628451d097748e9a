"""Restarts, silence, threads, forks and signals."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from resolverd_client import Client, DaemonUnavailableError, protocol

from tests.serving.served import Served, eventually, served


@pytest.fixture
def server() -> Iterator[Served]:
    with served() as each:
        yield each


@contextmanager
def stopping_server(path: str, last_words: bytes) -> Iterator[None]:
    """Serve two connections: the first ends with the reply and last words in one piece."""

    def serve(listener: socket.socket) -> None:
        for words in (last_words, b""):
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                about = {"version": 1, "instance": b"i" * 16, "generation": 1}
                connection.sendall(protocol.response(1, about))
                connection.recv(4096)
                connection.sendall(protocol.response(2, [1, {"model_arch": "one"}]) + words)
                if not words:
                    connection.recv(4096)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield
        thread.join(30)


LAST_WORDS = protocol.notification(
    "error", [protocol.error_map("unavailable", "the daemon is stopping")]
)


@pytest.mark.parametrize("words", [LAST_WORDS, LAST_WORDS[:9]], ids=["whole", "in part"])
def test_a_reply_that_the_daemons_last_words_follow_is_asked_for_again(
    tmp_path: Path, words: bytes
) -> None:
    path = str(tmp_path / "s")
    with stopping_server(path, words), closing(Client(path, timeout=20)) as client:
        assert client.get_metadata("a")["model_arch"] == "one"


def in_child(work: Callable[[], bool]) -> bool:
    """Run something in a forked child; tell whether it returned true."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0


def test_a_killed_daemon_answers_no_more_not_even_kept_names(server: Served) -> None:
    client = server.client(timeout=0.3)
    client.get_metadata("card1")
    server.stop()
    time.sleep(0.11)  # what a client may not have noticed yet
    begun = time.monotonic()
    for call in (lambda: client.get_metadata("card1"), client.get_names, client.status):
        with pytest.raises(DaemonUnavailableError, match="resolverd serve") as caught:
            call()
        assert isinstance(caught.value, ConnectionError)
    assert 0.8 < time.monotonic() - begun < 10


def test_a_restarted_daemon_is_found_again(server: Served) -> None:
    client = server.client()
    client.get_metadata("card1")
    server.stop()
    server.start()
    assert client.get_metadata("card1")["model_arch"] == "arch1"


def test_a_call_waits_for_a_daemon_that_comes_back_within_the_timeout(server: Served) -> None:
    client = server.client(timeout=20)
    client.get_metadata("card1")
    server.stop()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.get_metadata, "card2")
        server.start()
        assert answer.result(20)["model_arch"] == "arch2"


def test_another_daemon_on_the_same_socket_voids_kept_replies(server: Served) -> None:
    client = server.client()
    server.change()
    eventually(lambda: client.get_metadata("changing")["generation"] == 2)
    server.stop()
    server.start()
    eventually(lambda: client.get_metadata("changing")["generation"] == 1)


def test_a_daemon_that_hangs_is_given_up_after_the_timeout(server: Served) -> None:
    client = server.client(timeout=0.3)
    client.get_metadata("card1")
    server.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(DaemonUnavailableError):
        client.get_metadata("card2")
    assert 0.25 < time.monotonic() - begun < 5
    server.process.send_signal(signal.SIGCONT)
    assert client.get_metadata("card2")["model_arch"] == "arch2"


def test_signals_do_not_stretch_the_timeout(server: Served) -> None:
    client = server.client(timeout=0.5)
    client.get_metadata("card1")
    server.process.send_signal(signal.SIGSTOP)
    ticks: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: ticks.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        begun = time.monotonic()
        with pytest.raises(DaemonUnavailableError):
            client.get_metadata("card2")
        assert time.monotonic() - begun < 5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(ticks) > 5


class Alarm(Exception):  # noqa: N818 (raised by a signal, not by a fault)
    pass


def test_a_signal_handler_that_raises_costs_the_connection_only(server: Served) -> None:
    client = server.client()
    client.get_metadata("card1")

    def handler(number: int, frame: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, handler)
    try:
        server.process.send_signal(signal.SIGSTOP)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Alarm):
            client.get_metadata("card2")
    finally:
        signal.signal(signal.SIGALRM, before)
        server.process.send_signal(signal.SIGCONT)
    assert client.get_metadata("card3")["model_arch"] == "arch3"
    assert client.get_metadata("card2")["model_arch"] == "arch2"


def test_a_signal_handler_may_use_the_client_it_interrupts(server: Served) -> None:
    client = server.client()
    seen: list[str] = []

    def handler(number: int, frame: object) -> None:
        seen.append(client.get_metadata("card4")["model_arch"])

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for turn in range(3000):
            client.clear_cache()
            assert client.get_metadata(f"card{turn % 4}")["model_arch"] == f"arch{turn % 4}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert set(seen) == {"arch4"}


def test_threads_share_a_client(server: Served) -> None:
    client = server.client()

    def work(seed: int) -> bool:
        for turn in range(300):
            number = (seed + turn) % 5
            if turn % 7 == 0:
                client.clear_cache()
            if client.get_metadata(f"card{number}")["model_arch"] != f"arch{number}":
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_a_long_call_does_not_hold_up_lookups(server: Served) -> None:
    client = server.client(timeout=1)
    ended: list[object] = []

    def call() -> None:
        try:
            client.call("slow")
        except DaemonUnavailableError as error:
            ended.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    eventually(lambda: server.client().call("running") == 1)
    for _ in range(50):
        client.clear_cache()
        client.get_metadata("card1")  # each within the client's timeout
    server.stop()
    caller.join(20)
    assert ended


def test_a_call_ends_at_the_daemon_when_its_client_dies(server: Served) -> None:
    watcher = server.client()
    pid = os.fork()
    if pid == 0:
        try:
            Client(server.path).call("slow")
        finally:
            os._exit(0)
    eventually(lambda: watcher.call("running") == 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    eventually(lambda: watcher.call("running") == 0)


def test_a_forked_child_opens_its_own_connection(server: Served) -> None:
    client = server.client()
    assert client.call("status")["peer"] == os.getpid()
    assert in_child(
        lambda: (
            client.call("status")["peer"] == os.getpid()
            and client.get_metadata("card1")["model_arch"] == "arch1"
        )
    )
    assert client.call("status")["peer"] == os.getpid()


def test_many_children_and_the_parent_look_up_at_once(server: Served) -> None:
    client = server.client()
    client.get_metadata("card1")

    def work() -> bool:
        for turn in range(200):
            client.clear_cache()
            if client.get_metadata(f"card{turn % 5}")["model_arch"] != f"arch{turn % 5}":
                return False
        return True

    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = 0 if work() else 2
            finally:
                os._exit(code)
        children.append(pid)
    assert work()
    for pid in children:
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0


def test_a_fork_leaves_no_parent_connection_open_in_the_child(server: Served) -> None:
    client = server.client()
    client.get_metadata("card1")
    [connection] = client._link.idle
    fd = connection._socket.fileno()

    def closed() -> bool:
        try:
            os.fstat(fd)
        except OSError:
            return True
        return False

    assert in_child(closed)
    assert not closed()


def test_idle_connections_are_closed_with_their_client(server: Served) -> None:
    watcher = server.client()
    with server.client() as client:
        client.get_names()
        assert watcher.status()["connections"] == 2
    eventually(lambda: watcher.status()["connections"] == 1)
    Client(server.path).get_names()
    eventually(lambda: watcher.status()["connections"] == 1)


def test_a_daemon_that_hangs_ends_even_a_call_without_end(server: Served) -> None:
    client, watcher = server.client(timeout=1), server.client()
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(client._long, "slow", [], None)
        eventually(lambda: watcher.call("running") == 1)
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(DaemonUnavailableError, match="resolverd serve"):
            ended.result(30)


def test_a_long_call_outlasts_the_timeout_of_a_daemon_that_answers(server: Served) -> None:
    client, watcher = server.client(timeout=4), server.client()
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(client._long, "slow", [], None)
        eventually(lambda: watcher.call("running") == 1)
        probes = requests_of(client)
        eventually(lambda: requests_of(client) > probes)  # it was asked beside the call
        assert not ended.done()
        server.stop()
        with pytest.raises(DaemonUnavailableError):
            ended.result(30)


def requests_of(client: Client) -> int:
    return sum(each._ident for each in client._link.idle)
