"""A published file that changes on the disk: found, put away, fetched again, its holders told."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from resolverd_client import FetchError, VerificationError

from tests.checkpoints.origin import Origin
from tests.daemon.running import Daemon, card, daemon, eventually, write

DATA = os.urandom(300_000)


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        running.put("/m.bin", DATA)
        yield running


@pytest.fixture(scope="module")
def shared() -> Iterator[Daemon]:
    with daemon() as running:
        yield running


@pytest.fixture
def node(shared: Daemon) -> Iterator[Daemon]:
    """One daemon for all, with nothing in its cache."""
    yield shared
    client = shared.client()

    def empty() -> bool:  # what is being fetched again can't be removed yet
        rows = client.cache_list()
        client.cache_remove([{"key": row["key"]} for row in rows], force=True)
        return not rows

    eventually(empty)


@pytest.fixture
def scrubbing(tmp_path: Path) -> Iterator[Daemon]:
    (tmp_path / "config.toml").write_text('[cache]\nscrub = "1s"\n')
    with daemon("--config", str(tmp_path / "config.toml")) as running:
        yield running


def put(node: Daemon, **fields: object) -> None:
    write(node.store / "m.yaml", card("m", **fields))
    client = node.client()
    eventually(lambda: fields.items() <= (client.maybe_get_metadata("m") or {}).items())


def corrupt(path: Path) -> None:
    """Change one byte where it lies."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(bytes([DATA[1000] ^ 1]))


def restored(path: Path) -> bool:
    try:
        return path.read_bytes() == DATA
    except FileNotFoundError:
        return False


def reports(node: Daemon) -> list[dict[str, object]]:
    return [json.loads(path.read_bytes()) for path in node.cache.glob("quarantine/*/report.json")]


def test_verify_puts_a_rotten_file_away_fetches_it_again_and_tells_its_holder(
    node: Daemon, origin: Origin
) -> None:
    put(node, checkpoint=origin.url("/m.bin"))
    lease = node.client().lease("m")
    lease.check()
    corrupt(lease.path)
    told = node.ctl("verify", "m")
    assert told.returncode == 1
    assert "m.bin has other bytes than were published; it is being fetched again" in told.stdout
    assert not lease.valid
    with pytest.raises(VerificationError, match=r"m\.bin has other bytes than were published"):
        lease.check()
    eventually(lambda: restored(lease.path))
    (report,) = reports(node)
    assert report["uri"] == origin.url("/m.bin")
    (bad,) = node.cache.glob("quarantine/*/*/m.bin")
    assert bad.read_bytes() != DATA
    with node.client().lease("m") as path:
        assert path == lease.path
    fresh = node.client().lease("m")
    assert fresh.valid
    assert not lease.valid
    fresh.release()
    assert not fresh.valid


def test_the_scrub_finds_what_rots_and_fetches_it_again(scrubbing: Daemon, origin: Origin) -> None:
    put(scrubbing, checkpoint=origin.url("/m.bin"))
    lease = scrubbing.client().lease("m")
    corrupt(lease.path)
    eventually(lambda: not lease.valid)
    eventually(lambda: restored(lease.path))
    assert [report["reason"] for report in reports(scrubbing)] == [
        "m.bin has other bytes than were published"
    ]
    assert f"{origin.url('/m.bin')} went bad" in scrubbing.log


def test_a_holder_is_told_though_the_daemon_that_gave_the_lease_is_gone(
    scrubbing: Daemon, origin: Origin
) -> None:
    put(scrubbing, checkpoint=origin.url("/m.bin"))
    lease = scrubbing.client().lease("m")
    scrubbing.kill()
    corrupt(lease.path)
    assert lease.valid  # nobody has looked
    scrubbing.start()
    eventually(lambda: not lease.valid)
    eventually(lambda: restored(lease.path))


def test_what_came_from_a_url_with_a_secret_is_fetched_again_by_its_card(
    node: Daemon, origin: Origin
) -> None:
    put(node, checkpoint=origin.url("/m.bin?token=hush"))
    path = node.client().path("m")
    assert "hush" not in "".join(file.read_text() for file in node.cache.glob("manifests/*"))
    corrupt(path)
    (verdict,) = (each for each in node.client().verify() if not each["ok"])
    assert (verdict["ok"], verdict["restoring"]) == (False, True)
    eventually(lambda: restored(path))


def test_without_its_card_it_is_put_away_and_fetched_when_it_is_next_asked_for(
    node: Daemon, origin: Origin
) -> None:
    url = origin.url("/m.bin?token=hush")
    path = node.client().path(uri=url)
    corrupt(path)
    (verdict,) = (each for each in node.client().verify() if not each["ok"])
    assert (verdict["ok"], verdict["restoring"]) == (False, False)
    assert not path.exists()
    assert node.client().path(uri=url).read_bytes() == DATA


def test_what_the_origin_has_no_more_is_put_away_and_never_served(
    node: Daemon, origin: Origin
) -> None:
    put(node, checkpoint=origin.url("/m.bin"))
    lease = node.client().lease("m")
    corrupt(lease.path)
    del origin.resources["/m.bin"]
    node.client().verify()
    assert not lease.valid
    with pytest.raises(FetchError, match="404"):
        node.client().path("m")


def test_a_restored_file_is_held_against_the_word_of_the_card_it_had(
    node: Daemon, origin: Origin
) -> None:
    url = origin.url("/m.bin")
    path = node.client().path(uri=url, checksum=hashlib.sha256(DATA).hexdigest())
    corrupt(path)
    origin.put("/m.bin", DATA[::-1])  # something else than was promised
    node.client().verify()
    eventually(lambda: f"{url} went bad, and can't be fetched again" in node.log)
    assert not path.exists()
