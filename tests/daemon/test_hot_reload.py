"""Every way a store changes, on real inotify, seen through a connected client."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from resolverd_client import Client

from tests.daemon.running import Daemon, card, daemon, eventually, write


@pytest.fixture
def node() -> Iterator[Daemon]:
    with daemon() as running:
        yield running


def arch(client: Client, name: str) -> object:
    found = client.maybe_get_metadata(name)
    return found and found.get("model_arch")


def sees(client: Client, name: str, value: object) -> None:
    eventually(lambda: arch(client, name) == value)


def sees_none(client: Client, name: str) -> None:
    eventually(lambda: client.maybe_get_metadata(name) is None)


def stale(client: Client) -> list[str]:
    return [c["name"] for c in client.list() if c["state"] != "ok"]


def test_a_file_written_in_place_is_seen(node: Daemon) -> None:
    client = node.client()
    file = write(node.store / "m.yaml", card("m", model_arch="a"))
    sees(client, "m", "a")
    file.write_text(card("m", model_arch="b"))
    sees(client, "m", "b")


def test_a_file_renamed_over_another_is_seen(node: Daemon) -> None:
    client = node.client()
    file = write(node.store / "m.yaml", card("m", model_arch="a"))
    sees(client, "m", "a")
    write(node.folder / "new", card("m", model_arch="b")).rename(file)
    sees(client, "m", "b")


def test_folders_made_at_once_with_a_file_in_the_deepest_are_seen(node: Daemon) -> None:
    client = node.client()
    for turn in range(10):
        write(node.store / f"a{turn}/b/c/m.yaml", card(f"m{turn}", model_arch="a"))
        sees(client, f"m{turn}", "a")


def test_a_deleted_file_is_gone_at_once(node: Daemon) -> None:
    client = node.client()
    file = write(node.store / "m.yaml", card("m", model_arch="a"))
    sees(client, "m", "a")
    file.unlink()
    sees_none(client, "m")


def test_a_file_renamed_to_another_ending_is_gone_and_comes_back(node: Daemon) -> None:
    client = node.client()
    file = write(node.store / "m.yaml", card("m", model_arch="a"))
    sees(client, "m", "a")
    away = file.rename(node.store / "m.yaml.off")
    sees_none(client, "m")
    away.rename(node.store / "other.yml")
    sees(client, "m", "a")


def test_a_renamed_folder_keeps_its_cards_and_tells_their_new_place(node: Daemon) -> None:
    client = node.client()
    write(node.store / "old/m.yaml", card("m", model_arch="a"))
    sees(client, "m", "a")
    (node.store / "old").rename(node.store / "new")
    place = node.store / "new"
    eventually(lambda: (client.maybe_get_metadata("m") or {}).get("__base_path__") == place)


def test_a_root_that_is_removed_keeps_its_cards_and_serves_the_new_ones_when_made_again(
    node: Daemon,
) -> None:
    client = node.client()
    write(node.store / "m.yaml", card("m", model_arch="a"))
    sees(client, "m", "a")
    shutil.rmtree(node.store)
    # rmtree deletes the file before the folder: the card may be gone, or kept and stale
    eventually(lambda: client.status()["stores"][0]["state"] == "missing")
    write(node.store / "n.yaml", card("n", model_arch="b"))
    sees(client, "n", "b")
    sees_none(client, "m")


def test_a_root_renamed_away_keeps_its_last_good_cards(node: Daemon) -> None:
    client = node.client()
    write(node.store / "m.yaml", card("m", model_arch="a"))
    sees(client, "m", "a")
    node.store.rename(node.folder / "away")
    eventually(lambda: stale(client) == ["m@"])
    assert arch(client, "m") == "a"


def test_a_root_renamed_away_and_replaced_serves_the_replacement(node: Daemon) -> None:
    client = node.client()
    write(node.store / "m.yaml", card("m", model_arch="a"))
    other = write(node.folder / "other/n.yaml", card("n", model_arch="b")).parent
    sees(client, "m", "a")
    node.store.rename(node.folder / "away")
    other.rename(node.store)
    sees(client, "n", "b")
    sees_none(client, "m")
    write(node.store / "later.yaml", card("later", model_arch="c"))
    sees(client, "later", "c")


def test_a_root_that_is_a_link_follows_its_new_target() -> None:
    with daemon(start=False) as node:
        write(node.folder / "v1/m.yaml", card("m", model_arch="a"))
        write(node.folder / "v2/m.yaml", card("m", model_arch="b"))
        node.store.rmdir()
        node.store.symlink_to("v1")
        node.start()
        client = node.client()
        sees(client, "m", "a")
        (node.folder / "next").symlink_to("v2")
        (node.folder / "next").rename(node.store)
        sees(client, "m", "b")
        write(node.folder / "v2/n.yaml", card("n", model_arch="c"))
        sees(client, "n", "c")


def test_a_config_map_swap_is_seen(node: Daemon) -> None:
    client = node.client()

    def swap(version: str, value: str) -> None:
        """Publish a version as the kubelet does: new folder, one rename, old folder removed."""
        old = [p for p in node.store.glob("..v*") if p.name != version]
        write(node.store / version / "m.yaml", card("m", model_arch=value))
        (node.store / "..data_tmp").symlink_to(version)
        (node.store / "..data_tmp").rename(node.store / "..data")
        for folder in old:
            shutil.rmtree(folder)

    swap("..v1", "a")
    (node.store / "m.yaml").symlink_to("..data/m.yaml")
    sees(client, "m", "a")
    swap("..v2", "b")
    sees(client, "m", "b")
    swap("..v3", "c")
    sees(client, "m", "c")


def test_forty_thousand_files_past_the_event_queue_are_all_seen(node: Daemon) -> None:
    client = node.client()
    node.signal(signal.SIGSTOP)
    for number in range(40_000):
        folder = node.store / str(number % 40)
        if number < 40:
            folder.mkdir()
        (folder / f"{number}.yaml").write_text(f"name: m{number}\n")
    node.signal(signal.SIGCONT)
    eventually(lambda: len(client.asset_names) == 40_000, within=60)


def test_the_watch_limit_costs_speed_and_no_change(request: pytest.FixtureRequest) -> None:
    limit = 'echo 40 > /proc/sys/user/max_inotify_watches && exec "$@"'
    wrapper = ["unshare", "--user", "--map-root-user", "sh", "-c", limit, "sh"]
    with daemon(wrapper=wrapper) as node:
        client = node.client()
        for number in range(120):
            write(node.store / f"d{number}/m.yaml", card(f"m{number}", model_arch="a"))
        eventually(lambda: len(client.asset_names) == 120)
        write(node.store / "d119/m.yaml", card("m119", model_arch="b"))
        sees(client, "m119", "b")
        (told,) = eventually(lambda: client.status()["warnings"])
        assert "max_user_watches" in told


def test_a_truncated_write_keeps_the_last_good_card_until_it_is_completed(node: Daemon) -> None:
    client = node.client()
    file = write(node.store / "m.yaml", card("m", model_arch="a"))
    sees(client, "m", "a")
    file.write_text("name: m\nmodel_arch: [b")
    eventually(lambda: stale(client) == ["m@"])
    assert arch(client, "m") == "a"
    with file.open("a") as rest:
        rest.write("]\n")
    sees(client, "m", ["b"])
    assert stale(client) == []


def test_no_client_sees_a_file_that_is_still_being_written(node: Daemon) -> None:
    client = node.client()
    file = write(node.store / "m.yaml", card("m", model_arch="a"))
    write(node.store / "probe.yaml", card("probe", model_arch="0"))
    sees(client, "m", "a")
    seen = set()
    with file.open("w") as writer:
        for part in ("name: m\n", "model_family: f\n", "model_arch: b\n"):
            writer.write(part)
            writer.flush()
            for _ in range(20):
                seen.add(repr(client.maybe_get_metadata("m")))
    sees(client, "m", "b")
    assert len(seen) == 1, seen


def test_a_broken_edit_keeps_the_last_good_card_marked_stale_until_repaired(node: Daemon) -> None:
    client = node.client()
    file = write(node.store / "m.yaml", card("m", model_arch="a"))
    sees(client, "m", "a")
    file.write_text("name: m\nname: m\n")
    eventually(lambda: stale(client) == ["m@"])
    assert arch(client, "m") == "a"
    (problem,) = client.status()["problems"]
    assert (problem["path"], problem["line"]) == (str(file), 2)
    file.write_text(card("m", model_arch="c"))
    sees(client, "m", "c")
    eventually(lambda: client.status()["problems"] == [] and stale(client) == [])


def test_a_broken_file_keeps_its_last_good_cards_across_a_restart(node: Daemon) -> None:
    client = node.client()
    file = write(node.store / "m.yaml", card("m", model_arch="a"))
    sees(client, "m", "a")
    eventually((node.cache / "index.snapshot").exists)
    node.stop()
    file.write_text("name: [")
    node.start()
    sees(client, "m", "a")
    assert stale(client) == ["m@"]


def test_a_file_without_permission_keeps_its_cards_until_it_is_readable_again() -> None:
    # Root reads everything: the daemon runs without the capabilities that make it so
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
    with daemon(wrapper=drop if os.geteuid() == 0 else []) as node:
        client = node.client()
        file = write(node.store / "m.yaml", card("m", model_arch="a"))
        sees(client, "m", "a")
        file.chmod(0)
        eventually(lambda: stale(client) == ["m@"])
        assert arch(client, "m") == "a"
        assert "ermission" in client.status()["problems"][0]["reason"]
        file.chmod(0o644)
        eventually(lambda: stale(client) == [])


def test_a_folder_without_permission_keeps_its_cards_until_it_is_readable_again() -> None:
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
    with daemon(wrapper=drop if os.geteuid() == 0 else []) as node:
        client = node.client()
        folder = write(node.store / "d/m.yaml", card("m", model_arch="a")).parent
        sees(client, "m", "a")
        folder.chmod(0)
        eventually(lambda: stale(client) == ["m@"])
        assert arch(client, "m") == "a"
        folder.chmod(0o755)
        eventually(lambda: stale(client) == [])


def test_a_polled_store_sees_an_edit_whose_clock_ran_backwards() -> None:
    polled = {"RESOLVERD_STORES__POLL": "always", "RESOLVERD_STORES__POLL_INTERVAL": "0.05"}
    with daemon(environ=polled) as node:
        client = node.client()
        file = write(node.store / "m.yaml", card("m", model_arch="a"))
        sees(client, "m", "a")
        file.write_text(card("m", model_arch="b"))
        os.utime(file, (1_000_000_000, 1_000_000_000))
        sees(client, "m", "b")
        assert client.status()["stores"][0]["mode"] == "polled"


def test_one_change_to_one_file_is_one_generation(node: Daemon) -> None:
    client = node.client()
    both = card("m", model_arch="a") + "---\n" + card("n", model_arch="a")
    file = write(node.store / "m.yaml", both)
    sees(client, "n", "a")
    before = client.status()["generation"]
    write(node.folder / "new", both.replace("arch: a", "arch: b")).rename(file)
    sees(client, "m", "b")
    assert arch(client, "n") == "b"
    assert client.status()["generation"] == before + 1


def test_a_touched_file_makes_no_generation(node: Daemon) -> None:
    client = node.client()
    file = write(node.store / "m.yaml", card("m", model_arch="a"))
    sees(client, "m", "a")
    before = client.status()["generation"]
    os.utime(file)
    write(node.store / "n.yaml", card("n", model_arch="a"))
    sees(client, "n", "a")
    assert client.status()["generation"] == before + 1


def test_a_hidden_file_counts_and_another_ending_does_not(node: Daemon) -> None:
    client = node.client()
    write(node.store / ".hidden.yml", card("hidden", model_arch="a"))
    write(node.store / "ignored.json", card("ignored", model_arch="a"))
    sees(client, "hidden", "a")
    assert client.asset_names == {"hidden@"}


def test_a_linked_file_is_read_and_a_linked_folder_is_not(node: Daemon) -> None:
    client = node.client()
    target = write(node.folder / "elsewhere/m.yaml", card("m", model_arch="a"))
    (node.store / "link").symlink_to(target.parent)
    (node.store / "m.yaml").symlink_to(target)
    sees(client, "m", "a")
    assert Path(str(client.get_metadata("m")["__base_path__"])) == node.store


def test_a_folder_that_becomes_a_link_is_followed_no_more(node: Daemon) -> None:
    client = node.client()
    folder = write(node.store / "d/m.yaml", card("m", model_arch="a")).parent
    foreign = write(node.folder / "foreign/n.yaml", card("n", model_arch="b")).parent
    sees(client, "m", "a")
    folder.rename(node.folder / "away")
    folder.symlink_to(foreign)
    sees_none(client, "m")
    write(node.store / "last.yaml", card("last", model_arch="c"))
    sees(client, "last", "c")
    assert client.maybe_get_metadata("n") is None
