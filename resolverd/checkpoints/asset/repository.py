"""What an ``hg://`` URI names: a repository of the Hugging Face Hub, at a revision. Pure.

``hg://org/name`` is what fairseq2 0.8.1 reads, which always means the branch ``main``;
``hg://org/name@revision`` names another branch, a tag, a pull request or a commit. The kind says
the rest: models and tokenizers are in model repositories, datasets in repositories of their own,
and each kind takes the files that fairseq2's download manager would.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from resolverd.errors import SourceError

SCHEME = "hg"
MAIN = "main"

Type = Literal["models", "datasets"]

PATTERNS: Mapping[str, tuple[str, ...]] = {
    "model": ("*.safetensors*", "*.pt"),
    "tokenizer": ("tokenizer*.json",),
    "dataset": ("*",),
}
"""Files of a kind, as fairseq2 0.8.1 asks huggingface_hub for them: ``*`` matches a ``/`` too."""

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_REVISION = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+/-]{0,249}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository, at one revision.

    Attributes:
        type: In which of the Hub's name spaces it is.
        id: ``org/name``; a few old ones are ``name`` alone.
        revision: A branch, a tag, ``refs/pr/N`` or a commit.
    """

    type: Type
    id: str
    revision: str

    @property
    def folder(self) -> str:
        """Its folder in huggingface_hub's cache."""
        return f"{self.type}--{self.id.replace('/', '--')}"

    def __str__(self) -> str:
        return f"{SCHEME}://{self.type}/{self.id}@{self.revision}"

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit, so that no name has to be kept for it."""
        return is_commit(self.revision)

    @property
    def page(self) -> str:
        """Path of its page, and of its files, below the endpoint."""
        return self.id if self.type == "models" else f"datasets/{self.id}"


def read(uri: str, kind: str) -> Repository:
    """Read a URI.

    Args:
        uri: ``hg://org/name[@revision]``.
        kind: ``model``, ``tokenizer`` or ``dataset``.

    Raises:
        SourceError: When it names no repository; with what one looks like.
    """
    rest = uri.partition("://")[2]
    name, at, revision = rest.partition("@")
    parts = name.split("/")
    sound = len(parts) <= 2 and all(_NAME.fullmatch(part) for part in parts)
    if not sound or "--" in name or ".." in name or name.endswith(".git"):
        raise SourceError(
            f"{uri}: names no repository: write hg://org/name or hg://org/name@revision, of "
            "letters, digits, '-', '_' and '.'; which of its files are taken, the kind says."
        )
    if at and not _is_revision(revision):
        raise SourceError(
            f"{uri}: {revision!r} is no revision: write a branch, a tag, refs/pr/N or a commit."
        )
    return Repository("datasets" if kind == "dataset" else "models", name, revision or MAIN)


def is_repository(uri: str) -> bool:
    """Whether a URI is one of the Hub's."""
    return uri.partition(":")[0].lower() == SCHEME


def is_commit(revision: str) -> bool:
    """Whether a revision is the full name of a commit."""
    return _COMMIT.fullmatch(revision) is not None


def is_wanted(path: str, kind: str) -> bool:
    """Whether a file of a repository belongs to a kind."""
    return any(fnmatchcase(path, pattern) for pattern in PATTERNS[kind])


def _is_revision(text: str) -> bool:
    """Whether this can be a git revision, and a path below ``refs/``."""
    parts = text.split("/")
    return bool(_REVISION.fullmatch(text)) and not any(
        part in {"", ".", ".."} or part.endswith((".new", ".lock")) for part in parts
    )
