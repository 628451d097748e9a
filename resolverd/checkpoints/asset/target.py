"""What is wanted: a URI and what must be true of it. Pure.

Two requests with the same :attr:`Wanted.asset` share one place in the cache, two with the same
:attr:`Wanted.identity` share one download.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from typing import Literal
from urllib.parse import unquote, urlsplit, urlunparse, urlunsplit
from urllib.parse import urlparse as _urlparse

from resolverd.checkpoints.asset import repository
from resolverd.checkpoints.asset.repository import Repository
from resolverd.errors import SourceError

Kind = Literal["model", "tokenizer", "dataset"]
Checksum = str | Mapping[str, str] | None

_SHARD = re.compile(r"(?i)(?:\{|%7b)shard_idx(?::(0?)(\d{0,2})d?)?(?:\}|%7d)")
_SECRET = re.compile(
    r"(?i)((?:^|[?&;])[^=&;]*(?:token|sig|secret|password|credential|key)[^=&;]*=)[^&;]*"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing to fetch.

    Attributes:
        kind: What the files are for; an ``hg://`` repository gives each kind other files.
        uri: Where they are: a URI, or an absolute path.
        checksum: What the card says: one digest, or a digest for each file name.
        localise: Copy a local file into the cache, instead of using it in place.
        shards: When not 0, the URI's ``{shard_idx}`` stands for each number below this.
        commit: Of a repository: the commit to take while it is there, whatever the revision is at.
    """

    kind: Kind
    uri: str
    checksum: Checksum = None
    localise: bool = False
    shards: int = 0
    commit: str = ""

    @property
    def asset(self) -> str:
        """Name below ``assets/``, where fairseq2 0.8.1 looks: 24 hex digits of the URI's SHA-1.

        For a repository, where fairseq2 looks elsewhere, the kind counts too: it says which files.
        """
        name = f"{self.repository} {self.kind}" if self.is_repository else self.normal
        return sha1(name.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()[:24]

    @property
    def is_repository(self) -> bool:
        """Whether it is a repository of the Hugging Face Hub."""
        return self.scheme == repository.SCHEME

    @property
    def repository(self) -> Repository:
        """The repository that is meant.

        Raises:
            SourceError: When the URI names none.
        """
        return repository.read(self.uri, self.kind)

    @property
    def normal(self) -> str:
        """The URI as fairseq2 writes it before hashing; a path as a ``file://`` URI."""
        if self.uri.startswith("/"):
            return f"file://{self.uri}"
        try:
            return urlunparse(_urlparse(self.uri))
        except ValueError as error:
            raise SourceError(f"{shown(self.uri)!r} is not a URI: {error}.") from None

    @property
    def scheme(self) -> str:
        """The scheme, in lower case; ``file`` for a path; empty for text that is no URI."""
        head, colon, _ = self.normal.partition(":")
        return head.lower() if colon else ""

    @property
    def host(self) -> str:
        """Whose limits of bandwidth and concurrency hold: a host, or a scheme that has just one."""
        if self.scheme in {"http", "https"}:
            return (urlsplit(self.normal).hostname or "").rstrip(".")
        return self.scheme

    @property
    def identity(self) -> tuple[str, tuple[tuple[str, str], ...], bool, int]:
        """What makes two requests one download."""
        return self.asset, frozen(self.checksum), self.localise, self.shards

    @property
    def each_shard(self) -> dict[str, str]:
        """The URI of each shard, by its file name; empty for what is not sharded."""
        uris = [shard(self.normal, number) for number in range(self.shards)]
        return {file_name(uri): uri for uri in uris}

    @property
    def shown(self) -> str:
        """The URI without what may be secret in it: for logs, manifests and errors."""
        return shown(self.uri)

    @property
    def local_path(self) -> str:
        """Path of a ``file`` source, taken literally as fairseq2 does; of shards, their folder.

        Raises:
            SourceError: When the URI names another host.
        """
        rest = self.normal[len("file://") :]
        host, slash, path = rest.partition("/")
        if host not in {"", "localhost"} or not slash:
            raise SourceError(
                f"{shown(self.uri)!r} is not a file of this node: write file:///path."
            )
        path = "/" + path.lstrip("/")
        return path.rpartition("/")[0] or "/" if self.shards else path


def is_sharded(uri: str) -> bool:
    """Whether a URI stands for numbered files, as fairseq2's older cards word them.

    fairseq2 0.8.1 looks for ``shard_idx`` in the last part alone.
    """
    return _SHARD.search(uri.rpartition("/")[2]) is not None


def shard(uri: str, number: int) -> str:
    """The URI of one shard: ``{shard_idx}``, ``{shard_idx:02d}`` become its number."""
    folder, slash, name = uri.rpartition("/")

    def worded(found: re.Match[str]) -> str:
        width = int(found[2] or 0)
        return f"{number:0{width}d}" if found[1] else f"{number:{width or 1}d}"

    return folder + slash + _SHARD.sub(worded, name)


def frozen(checksum: Checksum) -> tuple[tuple[str, str], ...]:
    """A checksum as a hashable value; one digest has the empty file name."""
    if checksum is None:
        return ()
    return (("", checksum),) if isinstance(checksum, str) else tuple(sorted(checksum.items()))


def shown(uri: str) -> str:
    """``uri`` without user, password and the values of parameters that look like secrets."""
    if uri.startswith(f"{repository.SCHEME}://") and ":" not in uri[len("hg://") :]:
        return uri  # what follows an '@' is the revision
    try:
        parts = urlsplit(uri)
    except ValueError:  # what is secret in it can't be told apart
        return uri.partition(":")[0] + ":..."
    host = parts.netloc.rpartition("@")[2]
    query = _SECRET.sub(r"\1***", parts.query)
    return urlunsplit((parts.scheme, host, parts.path, query, "")) if parts.scheme else uri


def file_name(url: str, disposition: str | None = None) -> str:
    """Name of the downloaded file as fairseq2 chooses it, made safe for a directory.

    Args:
        url: Where the bytes came from, after redirects.
        disposition: The ``Content-Disposition`` header, which wins.
    """
    found = re.search(r'filename="?([^";\n]+)"?', disposition or "")
    name = found.group(1) if found else unquote(urlsplit(url).path.rpartition("/")[2])
    name = re.sub(r"[\x00-\x1f\x7f]", "", name.replace("\\", "/").rpartition("/")[2]).strip()
    while len(name.encode("utf-8", "replace")) > 240:  # NAME_MAX is 255
        name = name[1:]
    return name if name not in {"", ".", ".."} else "asset"
