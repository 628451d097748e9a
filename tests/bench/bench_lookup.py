"""What a lookup costs; run by hand: ``python tests/bench/bench_lookup.py``.

Client and server share one core. The rounds of all candidates are interleaved, so that whatever
else the machine does weighs on all alike; the ratio is of the medians of one run. The yardstick is
an echo server in C (in Python on raw sockets where there is no C compiler), asked by a C client's
equal: a Python loop of send and recv.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from resolverd_client import Client

ROUNDS, CALLS = 60, 200
SERVER = Path(__file__).parent.parent / "serving" / "fixed_server.py"

ECHO_C = r"""
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char buffer[65536];
  strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 8)) return 1;
  puts("ready"); fflush(stdout);
  for (;;) {
    int peer = accept(listener, 0, 0);
    ssize_t n;
    while ((n = recv(peer, buffer, sizeof buffer, 0)) > 0) send(peer, buffer, n, 0);
    close(peer);
  }
}
"""

ECHO_PYTHON = """
import socket, sys
listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen(8)
print("ready", flush=True)
while True:
    peer, _ = listener.accept()
    while data := peer.recv(65536): peer.send(data)
"""


def start(stack: ExitStack, *command: str) -> None:
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    stack.callback(process.wait)
    stack.callback(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n", command


def echo_command(folder: str) -> list[str]:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return [sys.executable, "-c", ECHO_PYTHON]
    source, program = f"{folder}/echo.c", f"{folder}/echo"
    Path(source).write_text(ECHO_C)
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    return [program]


def round_trip(path: str, size: int) -> Callable[[], object]:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    data = b"x" * size

    def once() -> object:
        sock.send(data)
        return sock.recv(65536)

    return once


def per_call(call: Callable[[], object]) -> list[float]:
    now, times = time.perf_counter_ns, []
    for _ in range(CALLS):
        begun = now()
        call()
        times.append((now() - begun) / 1000)
    return times


def measure(candidates: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, call in candidates.items():
            times[name] += per_call(call)
    return times


def lookups() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        candidates: dict[str, Callable[[], object]] = {}
        start(stack, *echo_command(folder), f"{folder}/echo.sock")
        candidates["echo"] = round_trip(f"{folder}/echo.sock", 200)
        for loop in ("uvloop", "asyncio"):
            path = f"{folder}/{loop}.sock"
            cards = str(ROUNDS * CALLS)
            start(stack, sys.executable, str(SERVER), path, "--loop", loop, "--cards", cards)
            candidates[f"lookup, {loop}"] = uncached(Client(path))
        kept = Client(f"{folder}/uvloop.sock")
        candidates["cached"] = lambda: kept.maybe_get_metadata("card77@")
        times = measure(candidates)
    base = statistics.median(times["echo"])
    for name, each in times.items():
        each.sort()
        middle, late = statistics.median(each), each[len(each) * 99 // 100]
        print(f"{name:16} p50 {middle:6.2f} us  p99 {late:7.2f} us  {middle / base:5.2f} x echo")


def uncached(client: Client) -> Callable[[], object]:
    """Look every card up once: no reply is kept from before."""
    names = iter([f"card{i}@" for i in range(ROUNDS * CALLS)])
    client.maybe_get_metadata("changing@")
    return lambda: client.maybe_get_metadata(next(names))


def imports(runs: int = 60) -> None:
    """Compare start-ups, with bytecode cached as in any installation."""
    folder = tempfile.mkdtemp()
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)

    def cost(code: str) -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=environ)
        return (time.perf_counter() - begun) * 1000

    codes = {"pass": [], "import msgpack, socket": [], "import resolverd_client": []}
    times: dict[str, list[float]] = dict(codes)
    for code in times:
        cost(code)
    for _ in range(runs):
        for code, each in times.items():
            each.append(cost(code))
    shutil.rmtree(folder)
    bare = statistics.median(times["pass"])
    for code, each in times.items():
        print(f"{code:26} {statistics.median(each) - bare:6.2f} ms above a bare interpreter")


if __name__ == "__main__":
    imports()
    lookups()
