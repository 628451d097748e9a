"""A Hugging Face Hub on loopback, which the real huggingface_hub can't tell from the original.

It speaks what a download needs: ``/api/{models,datasets}/REPO[/revision/REV]``, the paged tree with
LFS metadata, ``/resolve/`` with its headers, and error codes. Large files are kept by a second host
(another name and port), as the original keeps them, which refuses whoever shows it a token. Needs
nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.checkpoints.origin import Origin, _Server

LFS_AT = 1000
"""Files from this size on are kept apart; the original's bound is 10 MB."""

PAGE = 5
"""Entries of one page of a tree; the original gives 1,000."""

Files = dict[str, bytes]


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def safetensors(*names: str, size: int = 4096) -> bytes:
    """A real file of tensors with these names, of random bytes."""
    spans = {name: [at * size, (at + 1) * size] for at, name in enumerate(names)}
    head = json.dumps(
        {
            name: {"dtype": "U8", "shape": [size], "data_offsets": span}
            for name, span in spans.items()
        }
    ).encode()
    return len(head).to_bytes(8, "little") + head + os.urandom(size * len(names))


@dataclass
class Repo:
    """One repository: its commits, and the names of some of them."""

    hub: Hub
    commits: dict[str, Files] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    private: bool = False
    members: set[str] = field(default_factory=set)

    def commit(self, files: Files, *names: str) -> str:
        """Make a commit of these files, and have ``names`` (by default ``main``) lead to it."""
        made = hashlib.sha1(repr((sorted(files.items()), len(self.commits))).encode()).hexdigest()
        self.commits[made] = files
        for name in names or ("main",):
            self.refs[name] = made
        for data in files.values():
            place = f"/{sha256(data)}"
            if len(data) >= LFS_AT and place not in self.hub.store.resources:
                self.hub.store.put(place, data)
        return made

    def find(self, revision: str) -> str | None:
        return self.refs.get(revision) or (revision if revision in self.commits else None)


@dataclass
class Request:
    """What was asked of the Hub."""

    method: str
    path: str
    headers: dict[str, str]


class Hub:
    """Both servers: ``with hub_running() as hub: hub.repo("models", "org/name").commit({...})``."""

    def __init__(self, store: Origin) -> None:
        self.store = store
        self.repos: dict[tuple[str, str], Repo] = {}
        self.renamed: dict[str, str] = {}
        self.requests: list[Request] = []
        self.connections = 0
        self.forced: list[tuple[int, dict[str, str]]] = []  # answered first
        self.before: Callable[[Request], None] | None = None  # called at each request
        self.outside: Callable[[Request], None] | None = None  # the same, and may wait
        self.lie: Callable[[dict[str, object]], None] | None = None  # changes each tree entry
        self.lie_of_file: Callable[[dict[str, str]], object] = bool  # changes a file's headers
        self.next_page: str | None = None  # instead of the true one
        hub = self

        class Handler(_Handler):
            world = hub

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def repo(self, type_: str, name: str, **switches: object) -> Repo:
        return self.repos.setdefault((type_, name), Repo(self, **switches))  # type: ignore[arg-type]

    def asked(self, part: str) -> list[Request]:
        return [request for request in self.requests if part in request.path]

    def stored(self, data: bytes) -> str:
        """Where a large file is kept; by another name than the Hub's, as cookies would tell."""
        return f"http://localhost:{self.store.port}/{sha256(data)}"

    def sent(self, data: bytes) -> int:
        """How many bytes of a large file were sent."""
        return self.store.resources[f"/{sha256(data)}"].sent

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def hub_running() -> Iterator[Hub]:
    with Origin() as store:
        hub = Hub(store)
        hub.start()
        try:
            yield hub
        finally:
            hub.stop()


class _Refusal(Exception):  # noqa: N818
    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.headers = {"X-Error-Code": code, "X-Error-Message": message}
        self.message = message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: Hub

    def setup(self) -> None:
        self.world.connections += 1
        super().setup()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Request(self.command, self.path, headers)
        with self.world.store.lock:
            self.world.requests.append(request)
            forced = self.world.forced.pop(0) if self.world.forced else None
            if self.world.before:
                self.world.before(request)
        if self.world.outside:
            self.world.outside(request)
        try:
            if forced:
                self._send(*forced, b"")
            else:
                self._route(urlsplit(self.path).path)
        except _Refusal as refusal:
            body = json.dumps({"error": refusal.message}).encode()
            self._send(refusal.status, refusal.headers, body)

    def _route(self, path: str) -> None:
        api = re.fullmatch(r"/api/(models|datasets)/(.+?)(?:/(revision|tree)/([^/]+)(/.*)?)?", path)
        file = re.fullmatch(r"/(datasets/)?(.+?)/resolve/([^/]+)/(.+)", path)
        kept = re.fullmatch(r"/api/resolve-cache/(models|datasets)/(.+?)/([0-9a-f]{40})/(.+)", path)
        if kept:
            kind, name, commit, place = kept.groups()
            repo, commit = self._found(kind, name, commit, bytes_too=True)
            data = repo.commits[commit][unquote(place)]
            headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
            self._ranged(headers | {"ETag": f'"{git_blob(data)}"'}, data)
        elif api:
            kind, name, what, revision, _ = api.groups()
            if moved := self.world.renamed.get(name):
                self._send(307, {"Location": self.path.replace(name, moved)}, b"")
                return
            repo, commit = self._found(kind, name, unquote(revision or "main"))
            if what == "tree":
                self._tree(repo.commits[commit])
            else:
                self._info(name, commit, repo)
        elif file:
            kind, name, revision, place = file.groups()
            if moved := self.world.renamed.get(name):
                self._send(307, {"Location": self.path.replace(name, moved)}, b"")
                return
            repo, commit = self._found(
                "datasets" if kind else "models", name, unquote(revision), bytes_too=True
            )
            self._file(repo.commits[commit], f"{kind or 'models/'}{name}", commit, unquote(place))
        else:
            raise _Refusal(404, "", "Not Found")

    def _found(
        self, kind: str, name: str, revision: str, *, bytes_too: bool = False
    ) -> tuple[Repo, str]:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        repo = self.world.repos.get((kind, name))
        if repo is None or (repo.private and token not in repo.members):
            if not token:  # who shows none is not told which it is
                raise _Refusal(401, "", "Invalid username or password.")
            raise _Refusal(404, "RepoNotFound", "Repository not found")
        if repo.gated and bytes_too and token not in repo.members:
            status = 403 if token else 401
            raise _Refusal(status, "GatedRepo", f"Access to model {name} is restricted.")
        commit = repo.find(revision)
        if commit is None:
            raise _Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repo, commit

    def _info(self, name: str, commit: str, repo: Repo) -> None:
        files = repo.commits[commit]
        info = {
            "_id": "1", "id": name, "modelId": name, "private": repo.private, "sha": commit,
            "gated": "auto" if repo.gated else False, "disabled": False, "tags": [],
            "downloads": 0, "likes": 0, "createdAt": "2024-01-01T00:00:00.000Z",
            "lastModified": "2024-01-01T00:00:00.000Z",
            "siblings": [{"rfilename": path} for path in sorted(files)],
        }  # fmt: skip
        self._send(200, {"Content-Type": "application/json"}, json.dumps(info).encode())

    def _tree(self, files: Files) -> None:
        query = parse_qs(urlsplit(self.path).query)
        folders = {path.rpartition("/")[0] for path in files if "/" in path}
        entries = [self._entry(path, data) for path, data in sorted(files.items())]
        entries += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": f} for f in folders]
        start = int(query.get("cursor", ["0"])[0])
        headers = {"Content-Type": "application/json"}
        if start + PAGE < len(entries):
            place = urlsplit(self.path).path
            url = f"{self.world.endpoint}{place}?recursive=true&cursor={start + PAGE}"
            headers["Link"] = f'<{self.world.next_page or url}>; rel="next"'
        self._send(200, headers, json.dumps(entries[start : start + PAGE]).encode())

    def _entry(self, path: str, data: bytes) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "size": len(data), "path": path}
        if len(data) >= LFS_AT:
            pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
                sha256(data).encode(),
                len(data),
            )
            entry["oid"] = git_blob(pointer)
            entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": len(pointer)}
        else:
            entry["oid"] = git_blob(data)
        if self.world.lie:
            self.world.lie(entry)
        return entry

    def _file(self, files: Files, name: str, commit: str, path: str) -> None:
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if path not in files:
            raise _Refusal(404, "EntryNotFound", f"Entry not found: {path}")
        data = files[path]
        large = len(data) >= LFS_AT
        place = f"/api/resolve-cache/{name}/{commit}/{quote(path)}"
        headers |= {
            "X-Linked-Etag": f'"{sha256(data) if large else git_blob(data)}"',
            "X-Linked-Size": str(len(data)),
            "Location": self.world.stored(data) + "?Signature=s%2Fe" if large else place,
        }
        self.world.lie_of_file(headers)
        self._send(302 if large else 307, headers, b"Redirecting to elsewhere.")

    def _ranged(self, headers: dict[str, str], data: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            self._send(200, headers, data)
            return
        start = int(wanted[1])
        end = min(len(data), int(wanted[2]) + 1) if wanted[2] else len(data)
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        self._send(206, headers, data[start:end])

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
