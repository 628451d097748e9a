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


class _Refused(Exception):  # noqa: N818 - carries a fault from where it is found to its report
    def __init__(
        self, code: str, reason: str, remedy: str, field: str | None, name: str | None = None
    ) -> None:
        super().__init__(reason)
        self.code, self.reason, self.remedy = code, reason, remedy
        self.field, self.name = field, name


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
    problems: list[Problem] = []
    base_path = Path(path).parent
    for index, document in enumerate(read(data)):
        if isinstance(document, Fault):
            problems.append(
                Problem(
                    document.code,
                    store,
                    path,
                    document.reason,
                    document.remedy,
                    document=index,
                    line=document.line,
                )
            )
            continue
        try:
            cards.append(_card(document, index, base_path))
        except _Refused as refused:
            problems.append(
                Problem(
                    refused.code,
                    store,
                    path,
                    refused.reason,
                    refused.remedy,
                    document=index,
                    line=document.line,
                    name=refused.name,
                    field=refused.field,
                )
            )
    return ParsedFile(tuple(cards), tuple(problems))


def _card(document: Document, index: int, base_path: Path) -> ParsedCard:
    fields = document.value
    if not isinstance(fields, dict):
        reason = (
            f"Metadata of the asset at index {index} is expected to be of type `dict`, "
            f"but is of type `{_kind(fields)}` instead."
        )
        remedy = "Write the document as 'field: value' lines, or remove it and its '---'."
        raise _Refused("not-a-mapping", reason, remedy, None)
    name = _name(fields.pop("name", None), index)
    base = _base(fields.get("base"), index, name)
    if base is not None:
        fields["base"] = base
    fields["__base_path__"] = base_path
    return ParsedCard(name, base, fields, index, document.line)


def _name(value: object, index: int) -> str:
    if not value:
        reason = f"Asset at index {index} does not have a name."
        raise _Refused("no-name", reason, _NAME_IT, "name")
    if not isinstance(value, str):
        reason = (
            f"Name of the asset at index {index} is expected to be of type `str`, "
            f"but is of type `{_kind(value)}` instead."
        )
        raise _Refused("name-type", reason, "Put the name in quotes.", "name")
    name = canonicalize(value)
    if name is None:
        reason = f"Asset at index {index} does not have a valid name: {value[:200]!r}."
        raise _Refused("name-invalid", reason, _NAME_IT, "name")
    return name


def _base(value: object, index: int, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        reason = (
            f"Base name of the asset at index {index} is expected to be of type `str`, "
            f"but is of type `{_kind(value)}` instead."
        )
        raise _Refused("base-type", reason, _NAME_BASE, "base", name)
    base = sanitize_base(value)
    if base is None:
        reason = f"Asset at index {index} does not have a valid base name: {value[:200]!r}."
        raise _Refused("base-invalid", reason, _NAME_BASE, "base", name)
    return base


def _kind(value: object) -> str:
    return type(value).__name__
