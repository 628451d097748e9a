"""A job with resolverd-client: changes while it runs, what it costs, life without a daemon."""

from __future__ import annotations

import signal

import pytest

from tests.daemon.running import card, daemon, eventually, write
from tests.fairseq2.exact import tree

pytestmark = pytest.mark.fairseq2

TIMEOUT = {"RESOLVERD_FALLBACK_TIMEOUT": "0.5"}


@pytest.fixture
def node():
    with daemon(environ={"RESOLVERD_STORES__ENVIRONMENT": "cluster"}) as running:
        write(running.store / "a.yaml", card("a", base="b", x=1))
        write(running.store / "b.yaml", card("b", y=1) + "---\n" + card("b@cluster", y=2))
        eventually(lambda: len(running.client().asset_names) == 3)
        yield running


@pytest.fixture
def job(extended, node):
    """A job that has its store from the daemon."""
    assert keep(extended, node)["warnings"] == []
    return extended


def keep(extended, node, **environ):
    patient = {"RESOLVERD_FALLBACK_TIMEOUT": "30"}
    environ = {"RESOLVERD_SOCKET": str(node.socket), **patient, **environ}
    return extended.ask("keep", environ=environ, paths=[str(node.store)])


def fields(job, name):
    """The fields of a card and its bases, each level a dict; None for a miss."""
    return job.ask("ask", name=name)["card"]


def chain(*levels):
    return [tree(level) for level in levels]


A, B = {"base": "b", "x": 1}, {"y": 2}


def test_a_changed_card_is_seen_by_a_job_that_runs(job, node):
    assert fields(job, "a") == chain(A, B)
    write(node.store / "a.yaml", card("a", base="b", x=2))
    eventually(lambda: fields(job, "a") == chain({"base": "b", "x": 2}, B))


def test_an_added_card_is_seen_by_a_job_that_runs(job, node):
    assert fields(job, "new") is None
    write(node.store / "new.yaml", card("new", base="b"))
    eventually(lambda: fields(job, "new") == chain({"base": "b"}, B))
    assert "new@" in job.ask("names")


def test_a_removed_card_is_not_found_by_a_job_that_runs(job, node):
    assert fields(job, "a") == chain(A, B)
    (node.store / "a.yaml").unlink()
    eventually(lambda: fields(job, "a") is None)
    assert "a@" not in job.ask("names")


def test_a_removed_base_is_told_as_a_new_process_would_tell_it(job, node):
    assert fields(job, "a") == chain(A, B)
    (node.store / "b.yaml").unlink()
    refusal = [["AssetCardError", "b base asset of the a asset card does not exist."]]
    eventually(lambda: fields(job, "a") == {"refused": refusal})


def test_a_removed_override_is_not_applied_any_more(job, node):
    write(node.store / "b.yaml", card("b", y=1))
    eventually(lambda: fields(job, "a") == chain(A, {"y": 1}))


def test_a_card_costs_one_request_at_first_and_none_afterwards(job, node):
    before = job.ask("requests")
    for name, cost in (("a", 1), ("a", 0), ("b", 0), ("nothing", 1), ("nothing", 0), ("b@x", 0)):
        job.ask("ask", name=name)
        after = job.ask("requests")
        assert after - before == cost, name
        before = after


def test_a_card_costs_one_request_after_a_change_too(job, node):
    watcher = node.client()
    generation = watcher.call("digests", None)[0]
    write(node.store / "new.yaml", card("new"))
    eventually(lambda: watcher.call("digests", None)[0] > generation)
    for name, cost in (("a", 1), ("a", 0), ("nothing", 1)):
        before = job.ask("requests")
        job.ask("ask", name=name)
        assert job.ask("requests") - before == cost, name


def test_a_daemon_that_hangs_is_waited_for_by_one_store_and_not_by_each(extended, tmp_path):
    stores = [tmp_path / name for name in ("one", "two", "three")]
    for store in stores:
        write(store / "x.yaml", card(store.name))
    paths = [str(each) for each in stores]
    with daemon(stores=paths) as node:
        environ = {"RESOLVERD_SOCKET": str(node.socket), "RESOLVERD_FALLBACK_TIMEOUT": "30"}
        extended.ask("keep", paths=paths, environ=environ)
        extended.ask("hurry", seconds=0.3)
        node.signal(signal.SIGSTOP)
        assert [fields(extended, name) for name in ("nothing", "three")] == [None, chain({})]
        assert extended.ask("asked") == 1


def test_bad_and_duplicate_cards_cost_a_warning_and_not_the_store(extended, node):
    write(node.store / "bad.yaml", "name: [\n")
    write(node.store / "twin.yaml", card("a", z=1))
    eventually(lambda: len(node.client().status()["problems"]) == 2)
    (warning,) = keep(extended, node)["warnings"]
    assert "bad.yaml" in warning
    assert "twin.yaml" in warning
    assert "resolverctl lint" in warning
    assert fields(extended, "a") == chain(A, B)


def test_a_store_that_only_fairseq2_can_read_whole_is_read_by_it(extended, node):
    write(node.store / "deep.yaml", "name: deep\nx: " + "[" * 150 + "]" * 150 + "\n")
    eventually(lambda: node.client().status()["problems"])
    environ = {"RESOLVERD_SOCKET": str(node.socket), "RESOLVERD_FALLBACK_TIMEOUT": "30"}
    made = extended.ask("sources", paths=[str(node.store)], environ=environ)
    assert made[-1] == [f"path:{node.store}", "CachedAssetMetadataProvider"]


def test_the_environment_of_the_daemon_gives_way_to_the_jobs(extended, node):
    chosen = {"OTHERS": "after_ours", "ENV_OF_after_ours": "elsewhere"}
    keep(extended, node, **chosen)
    assert fields(extended, "b") == chain({"y": 1})
    keep(extended, node)
    assert fields(extended, "b") == chain({"y": 2})


def test_without_any_daemon_one_warning_says_what_to_do(extended, node):
    (warning,) = keep(extended, node, RESOLVERD_SOCKET="/nonexistent/s")["warnings"]
    assert "resolverd serve" in warning
    assert "RESOLVERD_SOCKET" in warning
    assert fields(extended, "a") == chain(A, {"y": 1})
    assert extended.ask("ask", name="a")["warnings"] == []


def test_it_can_be_switched_off(extended, node):
    keep(extended, node, RESOLVERD_FAIRSEQ2="off")
    assert fields(extended, "b") == chain({"y": 1})  # not the daemon's environment


def lose(node, how):
    if how == "killed":
        node.kill()
    else:
        node.signal(signal.SIGSTOP)


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_a_daemon_lost_before_the_start_costs_one_warning(extended, node, how):
    lose(node, how)
    (warning,) = keep(extended, node, **TIMEOUT)["warnings"]
    assert "within 0.5 s" in warning
    assert fields(extended, "a") == chain(A, {"y": 1})


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_a_daemon_lost_during_the_job_costs_one_warning(extended, node, how):
    keep(extended, node)
    assert fields(extended, "a") == chain(A, B)
    extended.ask("hurry", seconds=0.5)
    lose(node, how)
    asked = [extended.ask("ask", name=name) for name in ("c", "a", "b", "nothing")]
    assert [each["card"] for each in asked] == [None, chain(A, B), chain(B), None]
    assert sum(len(each["warnings"]) for each in asked) == 1
    assert "a@" in extended.ask("names")


def test_a_daemon_that_is_started_anew_in_time_is_not_missed(extended, node):
    keep(extended, node)
    node.stop()
    node.start()
    answer = extended.ask("ask", name="a")
    assert (answer["card"], answer["warnings"]) == (chain(A, B), [])


def test_a_store_that_the_daemon_drops_is_read_by_fairseq2_and_the_others_stay(extended, tmp_path):
    stores = [tmp_path / name for name in ("kept", "dropped")]
    config = tmp_path / "config.toml"
    config.write_text(f"[stores]\npaths = {[str(each) for each in stores]}\n")
    for store in stores:
        write(store / "x.yaml", card(store.name, base="kept"))
    write(stores[0] / "x.yaml", card("kept"))
    with daemon("--config", str(config), stores=[]) as node:
        environ = {"RESOLVERD_SOCKET": str(node.socket), "RESOLVERD_FALLBACK_TIMEOUT": "30"}
        extended.ask("keep", paths=[str(each) for each in stores], environ=environ)
        assert fields(extended, "dropped") == chain({"base": "kept"}, {})
        config.write_text(f"[stores]\npaths = {[str(stores[0])]}\n")
        node.signal(signal.SIGHUP)
        eventually(lambda: len(node.client().asset_names) == 1)
        asked = [extended.ask("ask", name=name) for name in ("kept", "dropped", "kept")]
    assert [each["card"] for each in asked] == [chain({}), chain({"base": "kept"}, {}), chain({})]
    (warning,) = [line for each in asked for line in each["warnings"]]
    assert f"path:{stores[1]}" in warning


@pytest.mark.parametrize("version", ["0.9.0", "0.4.6", "strange"])
def test_a_fairseq2_of_another_version_is_left_as_it_is(extended, version):
    answer = extended.ask("strange", version=version)
    assert answer["stores"] == ["StandardAssetStore"] * 2
    (warning,) = answer["warnings"]  # once, for two containers
    assert version in warning


def test_a_fairseq2_of_another_build_is_left_as_it_is(extended):
    (warning,) = extended.ask("strange", version=None)["warnings"]
    assert "FileAssetMetadataLoader is not registered as expected" in warning


def test_a_container_that_takes_nothing_new_is_left_as_it_is(extended):
    assert extended.ask("late") == {"refused": "InvalidOperationError", "same": True}


def test_to_set_it_up_twice_does_no_harm(extended, node):
    environ = {"RESOLVERD_SOCKET": str(node.socket), "RESOLVERD_FALLBACK_TIMEOUT": "30"}
    assert extended.ask("twice", paths=[str(node.store)], environ=environ) == ["a@"]


@pytest.mark.parametrize("arguments", [["list"], ["show", "a"], ["show", "nothing"]], ids=str)
def test_fairseq2s_command_prints_what_it_printed_without(fairseq2, extended, node, arguments):
    write(node.store / "b.yaml", card("b", y=1))  # no environment that only the daemon knows
    eventually(lambda: len(node.client().asset_names) == 2)
    environ = {"FAIRSEQ2_ASSET_DIR": str(node.store)}
    call = ["command", {"arguments": arguments, "environ": environ}]
    (theirs,) = fairseq2.ask("together", calls=[call])
    environ |= {"RESOLVERD_SOCKET": str(node.socket), "RESOLVERD_FALLBACK_TIMEOUT": "30"}
    (ours,) = extended.ask("together", calls=[call])
    assert ours == theirs
