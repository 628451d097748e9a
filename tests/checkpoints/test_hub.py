"""Repositories against a Hub: what is fetched, what is believed, and who is shown the token."""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.access.rules import Rule, Token
from resolverd.checkpoints.asset.target import Kind, Wanted, shown
from resolverd.checkpoints.faults import Denied, VerificationError
from resolverd.checkpoints.sources.hub import listing
from resolverd.checkpoints.sources.hub.settings import HubSettings
from resolverd.errors import SourceError
from tests.checkpoints.conftest import PART, Bench, limits
from tests.checkpoints.hub import Hub, Repo, Request, hub_running, safetensors, sha256

WEIGHTS = safetensors("a", size=3 * PART)
MODEL = {"model.safetensors": WEIGHTS, "tokenizer.json": b'{"t": 1}', "README.md": b"# words"}
TOKEN = "hf_abcdefghijklmnop"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_running() as running:
        yield running


@pytest.fixture
def repo(hub: Hub) -> Repo:
    return hub.repo("models", "org/tiny")


@pytest.fixture
def node(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING_FACE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return Bench(tmp_path / "cache", policy=Policy(hub=HubSettings(hub.endpoint)))


def content(node: Bench, uri: str, kind: Kind = "model", **options: bool) -> dict[str, bytes]:
    folder = Path(node.path(node.fetch(uri, kind=kind, **options)))
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# -- what is fetched


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("model", ["model.safetensors"]),
        ("tokenizer", ["tokenizer.json"]),
        ("dataset", ["README.md", "model.safetensors", "tokenizer.json"]),
    ],
)
def test_a_kind_takes_its_files(hub: Hub, node: Bench, kind: Kind, files: list[str]) -> None:
    hub.repo("datasets" if kind == "dataset" else "models", "org/tiny").commit(MODEL)
    assert sorted(content(node, "hg://org/tiny", kind)) == files


def test_what_a_commit_says_is_what_files_are_verified_against(repo: Repo, node: Bench) -> None:
    commit = repo.commit(MODEL)
    model = node.fetch("hg://org/tiny")
    assert (model.trust, model.stamp) == ("origin", f"commit:{commit}")
    tokenizer = node.fetch("hg://org/tiny", kind="tokenizer")
    assert tokenizer.trust == "origin"
    assert set(tokenizer.files[0].digests) == {"git-blob", "sha256"}


def test_a_revision_is_its_own_version(repo: Repo, node: Bench) -> None:
    old = repo.commit({"m.pt": b"old"}, "v1", "refs/pr/1")
    repo.commit({"m.pt": b"new"})
    assert content(node, "hg://org/tiny") == {"m.pt": b"new"}
    for revision in ("v1", "refs/pr/1", old):
        assert content(node, f"hg://org/tiny@{revision}") == {"m.pt": b"old"}


def test_main_is_what_no_revision_means() -> None:
    assets = {Wanted("model", uri).asset for uri in ("hg://org/tiny", "hg://org/tiny@main")}
    assert len(assets) == 1


def test_kinds_of_one_repository_are_apart() -> None:
    kinds: list[Kind] = ["model", "tokenizer", "dataset"]
    assert len({Wanted(kind, "hg://org/tiny").identity for kind in kinds}) == 3


def test_an_old_repository_without_an_organisation_is_found(hub: Hub, node: Bench) -> None:
    hub.repo("models", "gpt2").commit(MODEL)
    assert list(content(node, "hg://gpt2")) == ["model.safetensors"]
    assert shown("hg://gpt2@main") == "hg://gpt2@main"


def test_a_repository_that_was_renamed_is_found(hub: Hub, repo: Repo, node: Bench) -> None:
    repo.commit(MODEL)
    hub.renamed["old/name"] = "org/tiny"
    assert list(content(node, "hg://old/name")) == ["model.safetensors"]


def test_a_tree_of_several_pages_is_read_to_its_end(repo: Repo, node: Bench) -> None:
    files = {f"part-{number:02d}/w.pt": b"%d" % number for number in range(23)}
    repo.commit(files)
    assert content(node, "hg://org/tiny") == files


def test_shards_are_held_against_their_index(repo: Repo, node: Bench) -> None:
    index = {"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}
    files = {
        "m-1.safetensors": safetensors("a"),
        "m-2.safetensors": safetensors("b"),
        "model.safetensors.index.json": json.dumps(index).encode(),
    }
    repo.commit(files)
    assert content(node, "hg://org/tiny") == files
    repo.commit({name: data for name, data in files.items() if name != "m-2.safetensors"})
    with pytest.raises(VerificationError, match=r"m-2\.safetensors"):
        node.fetch("hg://org/tiny", refresh=True)


def test_an_archive_in_a_repository_stays_packed(hub: Hub, node: Bench) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("inside"))
    hub.repo("datasets", "org/d").commit({"d.tar": packed.getvalue()})
    assert content(node, "hg://org/d", "dataset") == {"d.tar": packed.getvalue()}


def test_a_card_may_word_the_digest_of_each_file(repo: Repo, node: Bench) -> None:
    repo.commit(MODEL)
    card = {"model.safetensors": f"sha256:{sha256(WEIGHTS)}"}
    assert node.fetch("hg://org/tiny", card).trust == "card"
    with pytest.raises(VerificationError, match="the card says"):
        node.fetch("hg://org/tiny", {"model.safetensors": "sha256:" + "0" * 64})


# -- one commit


def test_a_branch_that_moves_meanwhile_changes_nothing(hub: Hub, repo: Repo, node: Bench) -> None:
    first = {"a.safetensors": safetensors("a"), "b.safetensors": safetensors("b")}
    pinned = repo.commit(first)
    moved = {name: safetensors("c") for name in first}

    def move(request: Request) -> None:
        if "/resolve/" in request.path and len(repo.commits) == 1:
            repo.commit(moved)

    hub.before = move
    manifest = node.fetch("hg://org/tiny")
    assert len(repo.commits) == 2
    assert manifest.stamp == f"commit:{pinned}"
    assert content(node, "hg://org/tiny") == first
    assert len(hub.asked("/revision/")) == 1
    assert content(node, "hg://org/tiny", refresh=True) == moved


def test_a_tokenizer_is_of_the_commit_that_its_model_is_of(repo: Repo, node: Bench) -> None:
    pinned = repo.commit(MODEL)
    node.fetch("hg://org/tiny")
    repo.commit(MODEL | {"tokenizer.json": b'{"t": 2}'})
    assert content(node, "hg://org/tiny", "tokenizer") == {"tokenizer.json": b'{"t": 1}'}
    assert node.fetch("hg://org/tiny", kind="tokenizer").stamp == f"commit:{pinned}"
    moved = content(node, "hg://org/tiny", "tokenizer", refresh=True)
    assert moved == {"tokenizer.json": b'{"t": 2}'}


def test_a_card_that_speaks_of_a_newer_commit_is_believed(repo: Repo, node: Bench) -> None:
    repo.commit(MODEL)
    node.fetch("hg://org/tiny")
    node.fetch("hg://org/tiny", kind="tokenizer")
    new = safetensors("new")
    repo.commit(MODEL | {"model.safetensors": new})
    card = {"model.safetensors": sha256(new)}
    folder = Path(node.path(node.fetch("hg://org/tiny", card)))
    assert (folder / "model.safetensors").read_bytes() == new


def test_a_commit_that_only_the_model_is_of_any_more_holds_nobody_back(
    repo: Repo, node: Bench
) -> None:
    gone = repo.commit(MODEL)
    node.fetch("hg://org/tiny")
    repo.commit(MODEL | {"tokenizer.json": b'{"t": 2}'})
    del repo.commits[gone]
    assert content(node, "hg://org/tiny", "tokenizer") == {"tokenizer.json": b'{"t": 2}'}


def test_a_refresh_of_the_same_commit_fetches_nothing(hub: Hub, repo: Repo, node: Bench) -> None:
    repo.commit(MODEL)
    first = node.fetch("hg://org/tiny")
    before = len(hub.requests)
    assert node.fetch("hg://org/tiny", refresh=True) == first
    assert len(hub.requests) == before + 1


def test_a_new_commit_fetches_only_what_it_changed(hub: Hub, repo: Repo, node: Bench) -> None:
    repo.commit(MODEL | {"b.safetensors": safetensors("b")})
    old = Path(node.path(node.fetch("hg://org/tiny")))
    changed = MODEL | {"b.safetensors": safetensors("c")}
    repo.commit(changed)
    new = Path(node.path(node.fetch("hg://org/tiny", refresh=True)))
    assert hub.sent(WEIGHTS) == len(WEIGHTS)
    assert (new / "b.safetensors").read_bytes() == changed["b.safetensors"]
    assert (new / "model.safetensors").read_bytes() == WEIGHTS
    assert os.path.samefile(new / "model.safetensors", old / "model.safetensors")


def test_a_file_that_rotted_is_not_taken_over(hub: Hub, repo: Repo, node: Bench) -> None:
    repo.commit(MODEL)
    path = Path(node.path(node.fetch("hg://org/tiny")), "model.safetensors")
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(bytes([WEIGHTS[-1] ^ 1]))
    repo.commit(MODEL | {"b.safetensors": safetensors("b")})
    assert content(node, "hg://org/tiny", refresh=True)["model.safetensors"] == WEIGHTS
    assert hub.sent(WEIGHTS) == 2 * len(WEIGHTS)


def test_a_file_that_was_taken_over_is_never_written_to(hub: Hub, repo: Repo, node: Bench) -> None:
    repo.commit(MODEL)
    old = Path(node.path(node.fetch("hg://org/tiny")), "model.safetensors")
    other = safetensors("b", size=2 * PART)
    repo.commit(MODEL | {"b.safetensors": other})
    resource = hub.store.resources[f"/{sha256(other)}"]
    resource.faults.close_after = [1000] * 100
    with pytest.raises(SourceError, match="connection ended"):
        node.fetch("hg://org/tiny", refresh=True)  # what was taken over is left behind
    moved = MODEL | {"model.safetensors": safetensors("z", size=PART)}
    repo.commit(moved)
    assert content(node, "hg://org/tiny", refresh=True) == {
        "model.safetensors": moved["model.safetensors"]
    }
    assert old.read_bytes() == WEIGHTS


def test_parts_of_a_large_file_ask_the_hub_once(hub: Hub, repo: Repo, node: Bench) -> None:
    repo.commit(MODEL)
    node.limits = limits(connections=1)
    node.fetch("hg://org/tiny")
    assert hub.sent(WEIGHTS) == len(WEIGHTS)
    assert len(hub.store.resources[f"/{sha256(WEIGHTS)}"].requests) == 4
    assert len(hub.asked("/resolve/")) == 1


def test_many_files_need_one_connection(hub: Hub, repo: Repo, node: Bench) -> None:
    small = {f"{number}.pt": b"%d" % number for number in range(5)}
    repo.commit(small | {f"{number}.safetensors": safetensors(f"{number}") for number in range(5)})
    node.limits = limits(connections=1)
    node.fetch("hg://org/tiny")
    assert hub.connections == 1


def test_a_place_that_is_forgotten_is_asked_for_again(hub: Hub, repo: Repo, node: Bench) -> None:
    repo.commit(MODEL)
    resource = hub.store.resources[f"/{sha256(WEIGHTS)}"]
    node.limits = limits(connections=1)

    def expire(_: object) -> None:
        if len(resource.requests) == 2:
            resource.faults.statuses.append((403, {}))

    resource.before = expire
    assert content(node, "hg://org/tiny")["model.safetensors"] == WEIGHTS
    assert len(hub.asked("/resolve/")) == 2


# -- going on


def test_a_cut_in_the_last_file_costs_none_of_the_others(hub: Hub, repo: Repo, node: Bench) -> None:
    files = {f"{letter}.safetensors": safetensors(letter, size=2 * PART) for letter in "abc"}
    repo.commit(files)
    last = hub.store.resources[f"/{sha256(files['c.safetensors'])}"]
    last.faults.close_after = [PART // 2] * 100
    node.limits = limits(attempts=1)
    with pytest.raises(SourceError, match="connection ended"):
        node.fetch("hg://org/tiny")
    last.faults.close_after = []
    assert content(node, "hg://org/tiny") == files
    others = [data for name, data in files.items() if name != "c.safetensors"]
    assert [hub.sent(data) for data in others] == [len(data) for data in others]
    assert hub.sent(files["c.safetensors"]) < 2 * len(files["c.safetensors"])


def test_files_come_side_by_side(hub: Hub, repo: Repo, node: Bench) -> None:
    files = {f"{number}.pt": os.urandom(2000) for number in range(3)}
    repo.commit(files)
    together = threading.Barrier(3, timeout=30)

    def wait(request: Request) -> None:
        if "/resolve/" in request.path:
            together.wait()

    hub.outside = wait
    assert content(node, "hg://org/tiny") == files


# -- what is not believed


def test_a_wrong_file_is_quarantined(hub: Hub, repo: Repo, node: Bench) -> None:
    repo.commit(MODEL)
    bad = bytearray(WEIGHTS)
    bad[-1] ^= 1
    hub.store.resources[f"/{sha256(WEIGHTS)}"].data = bytes(bad)
    with pytest.raises(VerificationError, match=sha256(WEIGHTS)):
        node.fetch("hg://org/tiny")
    assert node.visible() == set()
    assert len(os.listdir(node.layout.folder("quarantine"))) == 1


def test_a_wrong_small_file_is_quarantined(hub: Hub, repo: Repo, node: Bench) -> None:
    repo.commit(MODEL)
    hub.lie = lambda entry: entry.update(oid="0" * 40)
    with pytest.raises(VerificationError, match="git-blob:"):
        node.fetch("hg://org/tiny", kind="tokenizer")


@pytest.mark.parametrize(
    "path",
    ["../../x.pt", "/etc/x.pt", "a//x.pt", "a/../x.pt", "x\0.pt", "a" * 300 + ".pt", "./x.pt"],
)
def test_a_name_that_leads_elsewhere_is_refused(
    hub: Hub, repo: Repo, node: Bench, path: str
) -> None:
    repo.commit({"m.pt": b"m"})
    hub.lie = lambda entry: entry.update(path=path)
    with pytest.raises(SourceError, match="no name that a file can have"):
        node.fetch("hg://org/tiny")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size": -1}, "no digest or no size"),
        ({"size": "big"}, "no digest or no size"),
        ({"oid": "x"}, "no digest or no size"),
        ({"oid": None}, "no digest or no size"),
        ({"lfs": {"oid": "0"}}, "no digest or no size"),
        ({"path": 7}, "has no file for a model"),
    ],
)
def test_an_entry_without_sense_is_refused(
    hub: Hub, repo: Repo, node: Bench, change: dict[str, object], reason: str
) -> None:
    repo.commit({"m.pt": b"m"})
    hub.lie = lambda entry: entry.update(change)
    with pytest.raises(SourceError, match=reason):
        node.fetch("hg://org/tiny")


def test_a_name_that_no_file_can_have_costs_nothing_where_it_is_not_wanted(
    hub: Hub, repo: Repo, node: Bench
) -> None:
    repo.commit({"m.pt": b"m", "x": b"x"})
    hub.lie = lambda entry: entry.update(path="../x\x1b[2J") if entry["path"] == "x" else None
    assert content(node, "hg://org/tiny") == {"m.pt": b"m"}


def test_a_file_that_is_a_folder_too_is_refused(repo: Repo, node: Bench) -> None:
    repo.commit({"a.pt": b"m", "a.pt/b.pt": b"m"})
    with pytest.raises(SourceError, match="a file and a folder"):
        node.fetch("hg://org/tiny")


@pytest.mark.parametrize("header", ["X-Repo-Commit", "X-Linked-Etag", "X-Linked-Size"])
def test_another_file_than_the_commit_lists_is_refused_before_it_comes(
    hub: Hub, repo: Repo, node: Bench, header: str
) -> None:
    repo.commit(MODEL)
    hub.lie_of_file = lambda headers: headers.update({header: '"7"'})
    with pytest.raises(SourceError, match="the Hub lists"):
        node.fetch("hg://org/tiny")
    assert hub.sent(WEIGHTS) == 0


def test_pages_without_end_are_given_up(
    hub: Hub, repo: Repo, node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "FILES_MOST", 50)
    repo.commit({f"{number}.pt": b"m" for number in range(9)})
    hub.next_page = "/api/models/org/tiny/tree/main?cursor=0"
    with pytest.raises(SourceError, match="more than 50 files"):
        node.fetch("hg://org/tiny")


def test_a_page_of_another_host_is_not_asked_for(hub: Hub, repo: Repo, node: Bench) -> None:
    repo.commit({f"{number}.pt": b"m" for number in range(9)})
    stolen = hub.store.put("/steal", b"[]")
    hub.next_page = hub.store.url("/steal")
    with pytest.raises(SourceError, match="leads to another host"):
        node.fetch("hg://org/tiny")
    assert stolen.requests == []


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"sha": "../x"}', b"[" * 100_000])
def test_what_is_no_hub_is_told(hub: Hub, node: Bench, body: bytes) -> None:
    node.policy = Policy(hub=HubSettings(hub.store.url("")))
    hub.store.put("/api/models/org/tiny/revision/main", body)
    with pytest.raises(SourceError, match="check the endpoint"):
        node.fetch("hg://org/tiny")


@pytest.mark.parametrize(
    "uri",
    [
        "hg://",
        "hg:org/tiny",
        "hg://org/tiny/file.pt",
        "hg://../tiny",
        "hg://org/..",
        "hg://org--x/tiny",
        "hg://org/tiny@",
        "hg://org/tiny@../../x",
        "hg://org/tiny@a b",
        "hg://org/-tiny",
        "hg://org/tiny?x=1",
    ],
)
def test_a_uri_that_names_no_repository_says_what_one_looks_like(node: Bench, uri: str) -> None:
    with pytest.raises(SourceError, match="write"):
        node.fetch(uri)


# -- access


def shown_by(place: str, node: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the node its token in one of the ways that there are."""
    if place == "HF_TOKEN":
        monkeypatch.setenv(place, f" {TOKEN}\n")
        return
    path = {
        "HF_TOKEN_PATH": folder / "elsewhere",
        "HF_HOME": folder / "hf" / "token",
        "HOME": folder / ".cache" / "huggingface" / "token",
        "setting": folder / "credential",
    }[place]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    if place == "HF_TOKEN_PATH":
        monkeypatch.setenv(place, str(path))
    if place == "HF_HOME":
        monkeypatch.setenv(place, str(path.parent))
    if place == "setting":
        node.policy = Policy(hub=HubSettings(node.policy.hub.endpoint, str(path)))


@pytest.mark.parametrize("place", ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HOME", "setting"])
def test_a_token_opens_a_private_repository_and_goes_nowhere_else(
    hub: Hub, node: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    hub.repo("models", "org/tiny", private=True, members={TOKEN}).commit(MODEL)
    shown_by(place, node, tmp_path, monkeypatch)
    assert content(node, "hg://org/tiny") == {"model.safetensors": WEIGHTS}
    assert {request.headers.get("authorization") for request in hub.requests} == {f"Bearer {TOKEN}"}
    elsewhere = hub.store.resources[f"/{sha256(WEIGHTS)}"].requests
    assert elsewhere
    assert all("authorization" not in headers for headers in elsewhere)
    manifest = Path(node.layout.manifest(node.fetch("hg://org/tiny").key)).read_text()
    assert TOKEN not in manifest


def test_the_token_of_a_rule_is_for_what_the_rule_is_of(
    hub: Hub, node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_everyones")
    monkeypatch.setenv("OF_ORG", TOKEN)
    rule = Rule("hg://org/", token=Token("env", "OF_ORG"))
    node.policy = Policy(hub=HubSettings(hub.endpoint), rules=(rule,))
    for name in ("org/tiny", "organisation/tiny"):
        hub.repo("models", name).commit(MODEL)
        node.fetch(f"hg://{name}")
    shown = {request.path: request.headers["authorization"] for request in hub.requests}
    assert {token for path, token in shown.items() if "/org/" in path} == {f"Bearer {TOKEN}"}
    assert {token for path, token in shown.items() if "/org/" not in path} == {
        "Bearer hf_everyones"
    }


@pytest.mark.parametrize(
    ("switches", "private"), [({}, False), ({"gated": True}, True), ({"private": True}, True)]
)
def test_what_not_everyone_may_read_at_the_hub_not_everyone_may_read_here(
    hub: Hub,
    node: Bench,
    monkeypatch: pytest.MonkeyPatch,
    switches: dict[str, bool],
    private: bool,  # a parameter of the test
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.repo("models", "org/tiny", members={TOKEN}, **switches).commit(MODEL)
    node.policy = Policy(hub=HubSettings(hub.endpoint), readers=())
    path = Path(node.path(node.fetch("hg://org/tiny")), "model.safetensors")
    others = path.stat().st_mode & 0o077
    assert bool(others) is not private


def test_a_redirect_of_the_api_to_another_host_is_not_followed(
    hub: Hub, repo: Repo, node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    repo.commit(MODEL)
    stolen = hub.store.put("/steal", b"{}")
    hub.forced.append((302, {"Location": hub.store.url("/steal")}))
    with pytest.raises(SourceError, match="leads to another host"):
        node.fetch("hg://org/tiny")
    assert stolen.requests == []


@pytest.mark.parametrize(
    ("token", "reason"), [(None, "this node has no token"), ("hf_other", "has not been given")]
)
def test_a_gated_repository_says_how_to_get_access(
    hub: Hub, node: Bench, monkeypatch: pytest.MonkeyPatch, token: str | None, reason: str
) -> None:
    hub.repo("models", "org/tiny", gated=True, members={TOKEN}).commit(MODEL)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(SourceError, match=reason) as caught:
        node.fetch("hg://org/tiny")
    assert f"{hub.endpoint}/org/tiny" in str(caught.value)
    assert "HF_TOKEN" in str(caught.value)
    assert "hf_other" not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert content(node, "hg://org/tiny") == {"model.safetensors": WEIGHTS}


@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_repository_that_is_not_there_is_told_with_its_kind(
    node: Bench, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(SourceError, match="no dataset repository org/nothing"):
        node.fetch("hg://org/nothing", kind="dataset")


def test_a_revision_that_is_not_there_is_named(repo: Repo, node: Bench) -> None:
    repo.commit(MODEL)
    with pytest.raises(SourceError, match="no revision 'v9'"):
        node.fetch("hg://org/tiny@v9")


def test_a_repository_without_a_file_of_the_kind_says_what_there_is(
    repo: Repo, node: Bench
) -> None:
    repo.commit({"README.md": b"# words"})
    with pytest.raises(SourceError, match=r"no file for a model .*\*\.pt.*README\.md"):
        node.fetch("hg://org/tiny")


@pytest.mark.parametrize("headers", [{"Retry-After": "0"}, {"RateLimit": '"api";r=0;t=0'}, {}])
def test_too_many_requests_are_tried_again(
    hub: Hub, repo: Repo, node: Bench, headers: dict[str, str]
) -> None:
    repo.commit(MODEL)
    hub.forced += [(429, headers), (429, headers)]
    assert content(node, "hg://org/tiny") == {"model.safetensors": WEIGHTS}


@pytest.mark.parametrize(
    "headers", [{"Retry-After": "7200"}, {"RateLimit": '"resolvers";r=0;t=7200'}]
)
def test_a_hub_that_asks_to_wait_long_is_not_waited_for(
    hub: Hub, repo: Repo, node: Bench, headers: dict[str, str]
) -> None:
    repo.commit(MODEL)
    hub.forced.append((429, headers))
    with pytest.raises(SourceError, match=r"token.*7200 s"):
        node.fetch("hg://org/tiny")


def test_a_disabled_repository_is_told(hub: Hub, repo: Repo, node: Bench) -> None:
    repo.commit(MODEL)
    hub.forced.append((403, {"X-Error-Message": "Access to this resource is disabled."}))
    with pytest.raises(SourceError, match="has disabled"):
        node.fetch("hg://org/tiny")


def test_a_token_that_no_request_can_carry_is_refused_unseen(
    node: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret\u00e9 word")
    with pytest.raises(SourceError, match="holds no token") as caught:
        node.fetch("hg://org/tiny")
    assert "secret" not in str(caught.value)


def test_a_configured_token_that_others_can_read_is_refused(
    hub: Hub, node: Bench, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o644)
    node.policy = Policy(hub=HubSettings(hub.endpoint, str(path)))
    with pytest.raises(SourceError, match="chmod 600"):
        node.fetch("hg://org/tiny")


def test_the_scheme_can_be_forbidden(hub: Hub, node: Bench) -> None:
    node.policy = Policy(schemes=("https",), hub=HubSettings(hub.endpoint))
    with pytest.raises(Denied, match=r"fetch\.schemes"):
        node.fetch("hg://org/tiny")
