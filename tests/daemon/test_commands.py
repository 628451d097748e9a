"""resolverd and resolverctl as people and scripts use them."""

from __future__ import annotations

import itertools
import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoints.origin import Origin
from tests.daemon.running import Daemon, card, daemon, eventually, write


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as running:
        running.put("/m.bin", b"weights" * 1000)
        yield running


@pytest.fixture(scope="module")
def node(origin: Origin) -> Iterator[Daemon]:
    with daemon() as running:
        write(
            running.store / "cards.yaml",
            card("base", model_family="llama", checkpoint=origin.url("/m.bin"))
            + "---\n"
            + card("leaf", base="base", released="2026-01-31", sizes="[1, 2]")
            + "---\n"
            + card("corpus", dataset_family="text", data=origin.url("/nowhere")),
        )
        write(running.store / "broken.yaml", "name: broken\nname: twice\n")
        eventually(lambda: len(running.client().asset_names) == 3)
        eventually(lambda: running.client().status()["problem_count"] == 1)
        yield running


def answer(node: Daemon, *arguments: str, code: int = 0) -> object:
    done = node.ctl(*arguments, "--json")
    assert done.returncode == code, done
    return json.loads(done.stdout)


def test_status_tells_the_stores_and_the_problem(node: Daemon) -> None:
    told = node.ctl("status")
    assert told.returncode == 0
    assert "3 cards" in told.stdout
    assert str(node.store) in told.stdout
    assert "broken.yaml:2" in told.stdout


def test_list_takes_a_pattern_and_a_kind(node: Daemon) -> None:
    assert [c["name"] for c in answer(node, "list")] == ["base@", "corpus@", "leaf@"]  # type: ignore[attr-defined]
    assert [c["name"] for c in answer(node, "list", "l*")] == ["leaf@"]  # type: ignore[attr-defined]
    models = answer(node, "list", "--kind", "model")
    assert [c["name"] for c in models] == ["base@", "leaf@"]  # type: ignore[attr-defined]


def test_a_pipe_gets_one_line_an_asset_with_tabs(node: Daemon) -> None:
    lines = node.ctl("list", "--kind", "model").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["base", "leaf"]


def test_show_tells_where_each_field_came_from(node: Daemon) -> None:
    shown = answer(node, "show", "leaf")
    assert isinstance(shown, dict)
    origins = {field["field"]: field["card"] for field in shown["fields"]}
    assert origins["model_family"] == "base@"
    assert origins["sizes"] == "leaf@"


def test_get_prints_one_value_or_all(node: Daemon) -> None:
    assert node.ctl("get", "leaf", "model_family").stdout == "llama\n"
    assert node.ctl("get", "leaf", "released").stdout == "2026-01-31\n"
    assert answer(node, "get", "leaf", "sizes") == [1, 2]
    fields = answer(node, "get", "leaf")
    assert isinstance(fields, dict)
    assert fields["released"] == "2026-01-31"


def test_options_are_taken_before_and_after_the_command(node: Daemon) -> None:
    before = subprocess.run(
        [sys.executable, "-m", "resolverd.ctl", "--json", "list", "--socket", str(node.socket)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(before.stdout) == answer(node, "list")


def test_prefetch_path_and_verify_agree(node: Daemon) -> None:
    fetched = node.ctl("prefetch", "l*")
    assert fetched.returncode == 0, fetched
    assert "1 of 1 ready" in fetched.stdout
    path = node.ctl("path", "leaf").stdout.strip()
    assert Path(path).read_bytes() == b"weights" * 1000
    assert node.ctl("verify", "leaf").returncode == 0
    assert node.ctl("verify", "--all").stdout.endswith("1 object verified, 0 damaged\n")


def test_a_pattern_passes_over_cards_that_have_no_files(node: Daemon) -> None:
    done = node.ctl("prefetch", "*", "--field", "checkpoint")
    assert done.returncode == 0, done
    assert "2 of 2 ready" in done.stdout
    told = node.ctl("prefetch", "corp*", "--field", "checkpoint")
    assert told.returncode == 4
    assert "no asset that matches corp* has anything to fetch" in told.stderr


def test_prefetch_tells_which_failed_and_exits_1(node: Daemon) -> None:
    done = node.ctl("prefetch", "base", "corpus")
    assert done.returncode == 1
    assert "1 of 2 ready" in done.stdout
    assert "corpus data: failed" in done.stdout
    results = answer(node, "prefetch", "base", "corpus", code=1)
    assert [bool(each["error"]) for each in results] == [False, True]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["list", "--colour"], 2),
        (["frobnicate"], 2),
        (["verify"], 2),
        (["path", "base", "--timeout", "-1"], 2),
        (["show", "nobody"], 4),
        (["get", "leaf", "nothing"], 4),
        (["path", "nobody"], 4),
        (["prefetch", "nobody"], 4),
        (["prefetch", "nobody*"], 4),
        (["path", "corpus"], 1),
    ],
)
def test_exit_codes(node: Daemon, arguments: list[str], code: int) -> None:
    done = node.ctl(*arguments)
    assert done.returncode == code, done
    assert done.stderr or done.stdout
    assert "Traceback" not in done.stderr


def test_a_miss_ends_its_sentence_before_it_suggests_a_name(node: Daemon) -> None:
    assert node.ctl("get", "leav").stderr.endswith("those there are. Did you mean leaf?\n")
    assert node.ctl("show", "leav").stderr.endswith("in any store. Did you mean leaf?\n")


def test_output_that_can_not_be_written_is_an_error_and_no_traceback(node: Daemon) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "resolverd.ctl", "--socket", str(node.socket), "list"]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (
        1,
        "resolverctl: the output: No space left on device\n",
    )


def test_the_doctor_finds_a_running_daemon_well(node: Daemon) -> None:
    told = answer(node, "doctor")
    assert isinstance(told, dict)
    assert told["healthy"], told
    said = {each["check"]: each["text"] for each in told["findings"]}
    assert str(node.socket) in said["socket"]
    assert {"versions", "watches", "store", "cards", "worker", "disk room", "clock"} <= set(said)


def test_the_doctor_says_why_there_is_no_daemon(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "resolverd.ctl", "doctor", "--socket", str(tmp_path / "s")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith(f"error\tsocket\t{tmp_path / 's'}: nobody listens")
    assert "resolverd serve" in done.stdout


def test_the_doctor_names_a_configuration_that_no_daemon_would_start_with(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "resolverd.ctl", "doctor", "--socket", str(tmp_path / "s")]
    environ = {**os.environ, "RESOLVERD_DAEMON__LOG_LEVEL": "loud"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    (line,) = [each for each in done.stdout.splitlines() if "\tconfiguration\t" in each]
    assert line.startswith("error")
    assert "RESOLVERD_DAEMON__LOG_LEVEL: 'loud'" in line
    assert "check-config" in line


def test_an_unreachable_daemon_is_exit_3_and_says_what_was_tried(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "resolverd.ctl", "status", "--socket", str(tmp_path / "s")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert str(tmp_path / "s") in done.stderr


def test_lint_needs_no_daemon_and_exits_1_on_errors(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "name: a\nbase: nowhere\n")
    command = [sys.executable, "-m", "resolverd.ctl", "lint", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "a.yaml:1" in done.stdout
    assert "nowhere" in done.stdout
    write(tmp_path / "a.yaml", "name: a\nmodel_family: f\n")
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["code"], problem["severity"]) == ("no-checkpoint", "warning")


def test_watch_prints_each_change_as_one_json_line() -> None:
    with daemon() as node:
        watching = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "resolverd.ctl",
                "watch",
                "--json",
                "--socket",
                str(node.socket),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        try:
            versions = itertools.count()

            def told() -> object:
                """Edit, until the watcher has subscribed and hears of an edit."""
                write(node.store / "a.yaml", card("a", version=next(versions)))
                return select.select([watching.stdout], [], [], 0.05)[0]

            eventually(told)
            event = json.loads(watching.stdout.readline())
            assert event["added"] + event["changed"] == ["a@"]
        finally:
            watching.terminate()
            watching.wait()
            watching.stdout.close()


def on_a_terminal(node: Daemon, *arguments: str, keys: tuple[bytes, bytes] | None = None) -> str:
    """Run a command on a terminal of 80 columns; type the keys once the text before them shows."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "resolverd.ctl", *arguments, "--socket", str(node.socket)]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(command, stdin=follower, stdout=follower, env=environ)
    os.close(follower)
    shown = b""
    while True:
        if keys is not None and keys[0] in shown:
            os.write(leader, keys[1])
            keys = None
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    assert process.wait(20) == 0
    os.close(leader)
    return shown.decode()


def test_a_terminal_gets_tables_within_its_width(node: Daemon) -> None:
    text = on_a_terminal(node, "list")
    assert "kind" in text
    assert "corpus" in text


def test_a_prefetch_on_a_terminal_says_why_it_takes_long(node: Daemon) -> None:
    with Origin() as origin:
        origin.put("/m.bin", b"weights", statuses=[(503, {})])
        text = on_a_terminal(node, "prefetch", origin.url("/m.bin"))
    assert "answered 503" in text
    assert "1 of 1 ready" in text


def test_top_shows_the_daemon_live_and_ends_on_q(node: Daemon) -> None:
    text = on_a_terminal(node, "top", "--interval", "0.1", keys=(b"generation", b"q"))
    assert "lookups" in text


def test_top_tells_a_pipe_one_fact_a_line(node: Daemon) -> None:
    lines = node.ctl("top", "--once", "--interval", "0.1").stdout.splitlines()
    told = dict(line.split("\t", 1) for line in lines)
    assert told["cards"] == "3"
    assert float(told["lookups/s"]) >= 0
    document = answer(node, "top", "--once", "--interval", "0.1")
    assert isinstance(document, dict)
    assert document["status"]["cards"] == 3


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion(node: Daemon, shell: str) -> None:
    script = node.ctl("completion", shell).stdout
    assert "_RESOLVERCTL_COMPLETE" in script
    assert answer(node, "completion", shell) == {"shell": shell, "script": script[:-1]}


def test_completion_offers_commands_and_the_names_of_assets(node: Daemon) -> None:
    def offered(*words: str) -> list[str]:
        told = {
            "_RESOLVERCTL_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("resolverctl", *words)),
            "COMP_CWORD": str(len(words)),
            "RESOLVERD_SOCKET": str(node.socket),
        }
        program = "from resolverd.ctl import main; main(prog_name='resolverctl')"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **told},
            capture_output=True,
            text=True,
            check=False,
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert offered("pre") == ["prefetch"]
    assert offered("show", "l") == ["leaf"]
