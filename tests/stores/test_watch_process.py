"""What needs a process of its own: another user, other limits, a stopped daemon."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("child.py")
TOP = Path(__file__).parents[2]


class Child:
    """A watching process and what it has said so far."""

    def __init__(self, order: dict) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=TOP,
            env={**os.environ, "PYTHONPATH": str(TOP)},
        )
        self.files: dict[str, str | None] = {}
        self.status: dict = {}
        self.state = ""
        self.unreadable: dict[str, str] = {}
        self._buffer = b""

    def until(self, condition: Callable[[Child], bool], seconds: float = 20.0) -> None:
        assert self.process.stdout is not None
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not condition(self):
                left = deadline - time.monotonic()
                assert left > 0, f"not seen: {self.status} {self.state} {len(self.files)} files"
                if selector.select(left):
                    data = os.read(self.process.stdout.fileno(), 1 << 16)
                    assert data, "the process died"
                    self._take(data)

    def say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        os.write(self.process.stdin.fileno(), line)

    def _take(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            self.status = message.get("status", self.status)
            if "report" in message:
                report = message["report"]
                self.state, self.unreadable = report["state"], report["unreadable"]
                for path in report["removed"]:
                    self.files.pop(path, None)
                self.files.update(report["files"])


@contextmanager
def child(root: Path, **order: object) -> Iterator[Child]:
    running = Child({"root": str(root), **order})
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        for stream in (running.process.stdin, running.process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def public_root() -> Iterator[Path]:
    """A root that another user can reach."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    (path / "cards").mkdir()
    yield path / "cards"
    shutil.rmtree(path)


def test_events_lost_to_a_full_queue_are_made_up_for_by_the_scan(root: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    one, two = root / "a.yaml", root / "b.yaml"
    one.write_bytes(b"a")
    two.write_bytes(b"b")
    with child(root) as running:
        running.until(lambda it: it.status.get("scans", 0) >= 2)
        running.process.send_signal(signal.SIGSTOP)
        for _ in range(limit // 2 + 500):  # equal events in a row would be merged
            os.utime(one)
            os.utime(two)
        (root / "late.yaml").write_bytes(b"late")
        one.unlink()
        running.process.send_signal(signal.SIGCONT)
        running.until(lambda it: it.files.get(str(root / "late.yaml")) == "late")
        running.until(lambda it: str(one) not in it.files)


def test_at_the_watch_limit_scanning_goes_on_and_the_remedy_is_told(root: Path) -> None:
    settings = {"scan_interval": 0.2, "retry": 0.3}
    with child(root, settings=settings, limits={"max_inotify_watches": 8}) as running:
        running.until(lambda it: it.status.get("watched", 0) >= 2)
        assert running.status["problem"] is None
        for number in range(20):
            (root / f"d{number}").mkdir()
            (root / f"d{number}" / "a.yaml").write_bytes(b"a")
        running.until(lambda it: len(it.files) == 20)
        running.until(lambda it: it.status["problem"] is not None)
        assert "max_user_watches" in running.status["problem"]["remedy"]
        (root / "d19" / "a.yaml").write_bytes(b"changed")
        running.until(lambda it: it.files[str(root / "d19" / "a.yaml")] == "changed")
        for number in range(5, 20):
            shutil.rmtree(root / f"d{number}")
        running.until(lambda it: len(it.files) == 5)
        running.until(lambda it: it.status["problem"] is None)
        assert running.status["watched"] >= 7


def test_without_any_inotify_instance_scanning_goes_on(root: Path) -> None:
    limits = {"max_inotify_instances": 0}
    with child(root, settings={"scan_interval": 0.1}, limits=limits) as running:
        running.until(lambda it: it.status.get("problem") is not None)
        assert "max_user_instances" in running.status["problem"]["remedy"]
        (root / "a.yaml").write_bytes(b"a")
        running.until(lambda it: it.files.get(str(root / "a.yaml")) == "a")


def test_a_root_covered_by_an_empty_mount_keeps_its_cards(root: Path) -> None:
    card = root / "a.yaml"
    card.write_bytes(b"a")
    with child(root, settings={"scan_interval": 0.1}, limits={}) as running:
        running.until(lambda it: it.status.get("scans", 0) >= 2)
        running.say(b"mount\n")
        running.until(lambda it: it.state == "empty-mount")
        running.say(b"umount\n")
        running.until(lambda it: it.state == "ok")
        assert running.files == {str(card): "a"}
        card.write_bytes(b"seen again")
        running.until(lambda it: it.files[str(card)] == "seen again")


def _as_someone_else() -> dict[str, int]:
    """For root no permission binds, so the watch runs as another user."""
    return {"uid": 65534} if os.getuid() == 0 else {}


def test_a_file_that_loses_its_permission_is_reported_and_comes_back(public_root: Path) -> None:
    card = public_root / "a.yaml"
    card.write_bytes(b"a")
    settings = {"scan_interval": 30.0}
    with child(public_root, settings=settings, **_as_someone_else()) as running:
        running.until(lambda it: it.status.get("scans", 0) >= 2)
        assert running.files == {str(card): "a"}
        card.chmod(0)
        running.until(lambda it: it.files[str(card)] is None)
        card.chmod(0o644)
        running.until(lambda it: it.files[str(card)] == "a")


def test_a_directory_that_loses_its_permission_hides_its_files_until_it_has_it_back(
    public_root: Path,
) -> None:
    card = public_root / "d" / "a.yaml"
    card.parent.mkdir()
    card.write_bytes(b"a")
    settings = {"scan_interval": 30.0}
    with child(public_root, settings=settings, **_as_someone_else()) as running:
        running.until(lambda it: it.status.get("scans", 0) >= 2)
        card.parent.chmod(0)
        running.until(lambda it: list(it.unreadable) == [str(card.parent)])
        assert str(card) in running.files
        card.parent.chmod(0o755)
        running.until(lambda it: not it.unreadable)
        assert running.files[str(card)] == "a"
        card.write_bytes(b"watched again")
        running.until(lambda it: it.files[str(card)] == "watched again")


def test_a_root_that_loses_its_permission_is_an_error_until_it_has_it_back(
    public_root: Path,
) -> None:
    card = public_root / "a.yaml"
    card.write_bytes(b"a")
    settings = {"scan_interval": 30.0}
    with child(public_root, settings=settings, **_as_someone_else()) as running:
        running.until(lambda it: it.status.get("scans", 0) >= 2)
        public_root.chmod(0)
        running.until(lambda it: it.state == "error")
        public_root.chmod(0o755)
        running.until(lambda it: it.state == "ok")


def test_where_leases_are_not_permitted_a_half_written_file_is_not_reported(
    public_root: Path,
) -> None:
    card = public_root / "a.yaml"
    card.write_bytes(b"whole")
    with child(public_root, settings={"scan_interval": 30.0}, **_as_someone_else()) as running:
        running.until(lambda it: it.status.get("scans", 0) >= 2)
        seen: set[str | None] = set()
        for number in range(20):
            text = f"whole {number}"
            with card.open("w") as stream:  # truncated, and written a moment later
                time.sleep(0.005)
                stream.write(text)
            running.until(lambda it, text=text: seen.add(it.files[str(card)]) or text in seen)
        assert None not in seen
        assert "" not in seen
