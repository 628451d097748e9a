"""One daemon after another, under the load of a full node: no call is lost."""

from __future__ import annotations

import subprocess
import sys

from tests.daemon.running import card, daemon, eventually, write

PROCESSES, THREADS, RESTARTS = 5, 10, 4

LOAD = """
import sys, threading
from resolverd_client import Client

socket, threads = sys.argv[1], int(sys.argv[2])
over = threading.Event()
calls = []

def load():
    client, count = Client(socket_path=socket, timeout=60), 0
    while not over.is_set():
        assert client.get_metadata("a")["model_arch"] == "one"
        assert client.resolve("a")["model_arch"] == "one"
        client.clear_cache()
        assert client.asset_names == {"a@"}
        assert [each["name"] for each in client.list("a")] == ["a@"]
        count += 4
    calls.append(count)

every = [threading.Thread(target=load) for _ in range(threads)]
for each in every:
    each.start()
print("begun", flush=True)
sys.stdin.read()
over.set()
for each in every:
    each.join()
print(len(calls), min(calls, default=0))
"""


def test_a_rolling_restart_under_fifty_clients_loses_no_call() -> None:
    with daemon() as node:
        write(node.store / "a.yaml", card("a", model_arch="one"))
        eventually(lambda: node.client().maybe_get_metadata("a"))
        command = [sys.executable, "-c", LOAD, str(node.socket), str(THREADS)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        load = [subprocess.Popen(command, text=True, **pipes) for _ in range(PROCESSES)]  # type: ignore[call-overload]
        assert [each.stdout.readline() for each in load] == ["begun\n"] * PROCESSES
        for _ in range(RESTARTS):
            node.stop()
            node.start()
            eventually(lambda: node.client().status()["clients"] > PROCESSES * THREADS)
        for each in load:
            said, errors = each.communicate("", timeout=100)
            finished, fewest = map(int, said.split())
            assert (finished, errors) == (THREADS, "")
            assert fewest >= 4 * RESTARTS
