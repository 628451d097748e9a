"""From the bytes of a file to cards, as fairseq2 0.8.1's file loader makes them.

Same names, same values with the same Python types, same refusals; but where fairseq2 refuses the
whole store for one bad document, that document alone is lost and its fault is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resolverd.cards.names import canonicalize, sanitize_base
from resolverd.cards.parse_document import Document, Fault
from resolverd.cards.parse_text import read
from resolverd.cards.problems import Problem

REVISION = 1
"""Counts up whenever the same bytes may give other cards, so that no older snapshot is trusted."""

MAX_BYTES = 16 << 20
MAX_PROBLEMS = 1000
"""Of one file; a hostile one may hold millions of documents."""

_NAME_IT = "Give the document a field 'name' of the form 'stem' or 'stem@env'."
_NAME_BASE = "Give 'base' the name of another card, without '@', or remove it."


@dataclass(frozen=True, slots=True)
class ParsedCard:
    """One card as its file has it.

    Attributes:
        name: Canonical.
        base: Name of the card it is based on, without ``@``.
        fields: Exactly the dict that fairseq2's loader gives: ``name`` taken out, ``base`` without
            white space around it, ``__base_path__`` the directory of the file.
        document: Index of the YAML document in the file.
        line: Where the document begins, from 1.
    """

    name: str
    base: str | None
    fields: dict[str, object]
    document: int
    line: int


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """All that a file holds.

    Attributes:
        cards: In the order of the documents; a name may occur twice.
        problems: One for each document that gives no card.
    """

    cards: tuple[ParsedCard, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Refused:
    """A document that could be read but is no card."""

    code: str
    reason: str
    remedy: str
    line: int
    field: str | None = None
    name: str | None = None


def parse_file(data: bytes, path: str, store: str) -> ParsedFile:
    """Parse a file of cards; never raises.

    Args:
        data: What is in the file.
        path: The file's absolute path.
        store: The store's source text.

    Returns:
        Its cards and its problems.
    """
    if len(data) > MAX_BYTES:
        reason = f"The file is larger than {MAX_BYTES >> 20} MiB."
        return ParsedFile((), (Problem("too-large", store, path, reason, "Split the file."),))
    cards: list[ParsedCard] = []
    faults: list[tuple[int, Fault | _Refused]] = []
    base_path = Path(path).parent
    for index, document in enumerate(read(data)):
        card = _card(document, index, base_path)
        if isinstance(card, ParsedCard):
            cards.append(card)
        else:
            faults.append((index, card))
    problems = [_problem(fault, index, path, store) for index, fault in faults[:MAX_PROBLEMS]]
    if len(faults) > MAX_PROBLEMS:
        reason = f"The file holds {len(faults) - MAX_PROBLEMS} more documents at fault."
        problems.append(Problem("too-many-problems", store, path, reason, "Split the file."))
    return ParsedFile(tuple(cards), tuple(problems))


def _problem(fault: Fault | _Refused, index: int, path: str, store: str) -> Problem:
    name, field = (fault.name, fault.field) if isinstance(fault, _Refused) else (None, None)
    return Problem(
        fault.code,
        store,
        path,
        fault.reason,
        fault.remedy,
        document=index,
        line=fault.line,
        name=name,
        field=field,
    )


def _card(document: Document | Fault, index: int, base_path: Path) -> ParsedCard | Fault | _Refused:
    if isinstance(document, Fault):
        return document
    fields, line = document
    if not isinstance(fields, dict):
        reason = (
            f"Metadata of the asset at index {index} is expected to be of type `dict`, "
            f"but is of type `{type(fields).__name__}` instead."
        )
        remedy = "Write the document as 'field: value' lines, or remove it and its '---'."
        return _Refused("not-a-mapping", reason, remedy, line)
    name = _name(fields.pop("name", None), index, line)
    if isinstance(name, _Refused):
        return name
    base = _base(fields.get("base"), index, line, name)
    if isinstance(base, _Refused):
        return base
    if base is not None:
        fields["base"] = base
    fields["__base_path__"] = base_path
    return ParsedCard(name, base, fields, index, line)


def _name(value: object, index: int, line: int) -> str | _Refused:
    if not value:
        reason = f"Asset at index {index} does not have a name."
        return _Refused("no-name", reason, _NAME_IT, line, "name")
    if not isinstance(value, str):
        reason = (
            f"Name of the asset at index {index} is expected to be of type `str`, "
            f"but is of type `{type(value).__name__}` instead."
        )
        return _Refused("name-type", reason, "Put the name in quotes.", line, "name")
    name = canonicalize(value)
    if name is None:
        reason = f"Asset at index {index} does not have a valid name: {value[:200]!r}."
        return _Refused("name-invalid", reason, _NAME_IT, line, "name")
    return name


def _base(value: object, index: int, line: int, name: str) -> str | _Refused | None:
    if value is None:
        return None
    if not isinstance(value, str):
        reason = (
            f"Base name of the asset at index {index} is expected to be of type `str`, "
            f"but is of type `{type(value).__name__}` instead."
        )
        return _Refused("base-type", reason, _NAME_BASE, line, "base", name)
    base = sanitize_base(value)
    if base is None:
        reason = f"Asset at index {index} does not have a valid base name: {value[:200]!r}."
        return _Refused("base-invalid", reason, _NAME_BASE, line, "base", name)
    return base
