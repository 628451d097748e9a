"""What is wrong with a card, in words an operator can act on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of one card, file or store.

    Attributes:
        code: A stable slug, such as ``duplicate-key``; scripts may match it.
        store: The store's source text, such as ``path:/etc/fairseq2/assets``.
        path: The file at fault (or the root, for a fault of the whole store).
        document: Index of the YAML document in the file, from 0; None for the whole file.
        line: Line in the file, from 1, where known.
        name: Canonical name of the card (``name@`` or ``name@env``), where known.
        field: The card's field at fault, where there is one.
        reason: What is wrong, one sentence.
        remedy: What to do about it, one sentence.
        severity: ``error`` for what fairseq2 0.8.1 would refuse, else ``warning``.
    """

    code: str
    store: str
    path: str
    reason: str
    remedy: str
    document: int | None = None
    line: int | None = None
    name: str | None = None
    field: str | None = None
    severity: Severity = "error"

    def __str__(self) -> str:
        """Read as compilers word it: ``file:line: document 2, field 'base': reason; remedy``."""
        path = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in self.path)
        place = path if self.line is None else f"{path}:{self.line}"
        parts = []
        if self.document is not None:
            parts.append(f"document {self.document}")
        if self.name is not None:
            parts.append(f"card {self.name!r}")
        if self.field is not None:
            parts.append(f"field {self.field!r}")
        where = f" {', '.join(parts)}:" if parts else ""
        return f"{place}:{where} {self.reason} {self.remedy}".rstrip()


def appeared(old: Iterable[Problem], new: Iterable[Problem]) -> list[Problem]:
    """Give what is in ``new`` and not in ``old``; one that only moved in its file is not new.

    Args:
        old: What there was.
        new: What there is.

    Returns:
        In the order of ``new``; of several that are alike but for their place, the last.
    """
    left = Counter(map(_identity, old))
    found = []
    for problem in new:
        identity = _identity(problem)
        if left[identity]:
            left[identity] -= 1
        else:
            found.append(problem)
    return found


def _identity(problem: Problem) -> tuple[object, ...]:
    return problem.code, problem.store, problem.path, problem.name, problem.field, problem.reason
