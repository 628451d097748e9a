"""What one YAML document of a file turned out to be: a value, or a fault that costs only itself."""

from __future__ import annotations

from typing import NamedTuple

MAX_DEPTH = 128
"""Collections within collections; real cards use fewer than ten."""


class Document(NamedTuple):
    """A document that could be read.

    Attributes:
        value: What ruamel.yaml's safe loader makes of it.
        line: Where its content begins, from 1.
    """

    value: object
    line: int


class Fault(NamedTuple):
    """A document that can't be read.

    Attributes:
        code: Slug of the problem.
        reason: What is wrong, one sentence.
        remedy: What to do about it, one sentence.
        line: Where, from 1; None when unknown.
    """

    code: str
    reason: str
    remedy: str
    line: int | None


class Unproven(Exception):  # noqa: N818 - no error: the file is read the slow way instead
    """The fast path is not proven to read this text as ruamel.yaml does."""
