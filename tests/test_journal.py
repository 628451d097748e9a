"""The log: journald's native protocol over a real datagram socket, plain lines elsewhere."""

from __future__ import annotations

import array
import contextlib
import logging
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from resolverd.journal import JournalHandler, event, packed, priority

MANY = 5000


class Journal:
    """The end that journald has."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(30)

    def entry(self) -> dict[str, str]:
        """Read one entry, be it in the datagram or in a file that came with it."""
        data, ancillary, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
        for _, _, passed in ancillary:
            (fd,) = array.array("i", passed)
            with open(fd, "rb") as file:
                file.seek(0)
                data = file.read()
        return unpacked(data)

    def queued(self) -> list[str]:
        """Read the messages that are there."""
        found = []
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.entry()["MESSAGE"])
        self.socket.settimeout(30)
        return found


def unpacked(data: bytes) -> dict[str, str]:
    """Read an entry as the protocol is described."""
    fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", data[:8])
            value, data = data[8 : 8 + length], data[9 + length :]
        fields[name.decode()] = value.decode()
    return fields


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


@pytest.fixture
def journal(path: str) -> Iterator[Journal]:
    made = Journal(path)
    yield made
    made.socket.close()


@pytest.fixture
def log(journal: Journal, path: str) -> Iterator[logging.Logger]:
    assert journal
    logger = logging.Logger("resolverd.test")
    handler = JournalHandler(path, "resolverd")
    logger.addHandler(handler)
    yield logger
    handler.close()


def test_an_entry_has_priority_source_and_the_events_fields(
    journal: Journal, log: logging.Logger
) -> None:
    log.warning("%d cards", 3, extra=event("generation", number=7, cards=3, path=None))
    entry = journal.entry()
    assert entry["MESSAGE"] == "3 cards"
    assert entry["PRIORITY"] == "4"
    assert entry["SYSLOG_IDENTIFIER"] == "resolverd"
    assert entry["LOGGER"] == "resolverd.test"
    assert entry["CODE_FILE"] == __file__
    assert entry["RESOLVERD_EVENT"] == "generation"
    assert entry["RESOLVERD_NUMBER"] == "7"
    assert "RESOLVERD_PATH" not in entry


@pytest.mark.parametrize(
    ("level", "number"),
    [(logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6),
     (logging.DEBUG, 7), (1, 7)],
)  # fmt: skip
def test_each_level_has_syslogs_number(level: int, number: int) -> None:
    assert priority(level) == number


def test_a_traceback_is_one_entry(journal: Journal, log: logging.Logger) -> None:
    try:
        int("no")
    except ValueError:
        log.exception("it failed")
    lines = journal.entry()["MESSAGE"].splitlines()
    assert lines[0] == "it failed"
    assert lines[-1] == "ValueError: invalid literal for int() with base 10: 'no'"


def test_what_a_name_holds_can_not_add_a_field(journal: Journal, log: logging.Logger) -> None:
    log.info("card %s", "x\nPRIORITY=0\nMESSAGE=owned")
    entry = journal.entry()
    assert entry["PRIORITY"] == "6"
    assert entry["MESSAGE"] == "card x\nPRIORITY=0\nMESSAGE=owned"


def test_bytes_that_are_no_text_are_shown() -> None:
    assert packed({"MESSAGE": "caf\udce9"}) == b"MESSAGE=caf\\udce9\n"


def test_an_entry_that_no_datagram_holds_comes_as_a_file(
    journal: Journal, log: logging.Logger
) -> None:
    text = "x" * (8 << 20)
    log.info(text)
    assert journal.entry()["MESSAGE"] == text


def test_a_journal_that_takes_no_more_blocks_nobody_and_is_told_what_is_lost(
    journal: Journal, log: logging.Logger
) -> None:
    for number in range(MANY):  # more than the kernel queues
        log.info("%d", number)
    kept = journal.queued()
    log.info("there is room again")
    told, last = journal.queued()
    assert kept == [str(number) for number in range(len(kept))]
    assert told == f"{MANY - len(kept)} log entries were lost: journald did not take them"
    assert last == "there is room again"


def test_a_journal_that_was_restarted_is_found_again(
    journal: Journal, log: logging.Logger, path: str
) -> None:
    journal.socket.close()
    log.info("lost")
    os.unlink(path)
    again = Journal(path)
    log.info("back")
    assert [again.entry()["MESSAGE"] for _ in range(2)] == [
        "1 log entries were lost: journald did not take them",
        "back",
    ]
    again.socket.close()


PROGRAM = """
import logging, os, sys
from resolverd import journal
status = os.fstat(2)
stream = {"right": f"{status.st_dev}:{status.st_ino}", "another": "1:2"}[sys.argv[1]]
journal.SOCKET = sys.argv[2]
journal.log_to_stderr("info", {"JOURNAL_STREAM": stream})
logging.getLogger("resolverd").info("hello")
"""


def said(stream: str, path: str) -> str:
    command = [sys.executable, "-c", PROGRAM, stream, path]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_a_stderr_that_is_the_journals_is_not_written_to(journal: Journal, path: str) -> None:
    assert said("right", path) == ""
    assert journal.entry()["MESSAGE"] == "hello"


def test_any_other_stderr_gets_plain_lines(journal: Journal, path: str) -> None:
    assert journal
    assert said("another", path).endswith(" INFO resolverd: hello\n")


def test_where_journalds_socket_can_not_be_reached_the_lines_are_plain(path: str) -> None:
    assert said("right", path).endswith(" INFO resolverd: hello\n")
