"""From the bytes of a file to its YAML documents: fast where proven, else by ruamel.yaml.

A line ``---`` always ends a document, whatever came before, so when a file as a whole can't be read
the fast way it is split at these lines. A fault then costs one document only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from resolverd.cards import parse_ruamel
from resolverd.cards.parse_document import Document, Fault, Unproven

_SEPARATOR = re.compile(r"^---(?=[ \n]|\Z)", re.MULTILINE)
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
# What may move the column at which ruamel.yaml believes a line to begin.
_UNSPLITTABLE = re.compile("^%|[\x85\u2028\u2029\ufeff]", re.MULTILINE)
_BLOCK_MARK = re.compile("[|>]")
_UNDECODED = re.compile("[\udc80-\udcff]")


MAX_DOCUMENTS = 250_000
"""Of one file: 60 bytes each fill the largest file that is read."""


class _Part(NamedTuple):
    text: str
    line: int


def _fast(text: str) -> list[Document]:
    # A start that finds all files as they were parses none: it does not pay for PyYAML either
    from resolverd.cards import parse_fast  # noqa: PLC0415

    return parse_fast.documents(text)


def read(data: bytes) -> list[Document | Fault]:
    """Read all documents of a file.

    Args:
        data: What is in the file.

    Returns:
        One entry for each document, in order.
    """
    text = _decode(data)
    if text.count("\n---") >= MAX_DOCUMENTS:
        reason = f"The file holds more than {MAX_DOCUMENTS:,} documents."
        return [Fault("too-large", reason, "Split the file.", None)]
    try:
        return list(_fast(text))
    except Unproven:
        return _read_slowly(text)


def _decode(data: bytes) -> str:
    """Decode as Python's text files do; bytes that are not UTF-8 become lone surrogates."""
    text = data.decode("utf-8", "surrogateescape")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _read_slowly(text: str) -> list[Document | Fault]:
    if _is_splittable(text):
        return _read_parts(text)
    found = _read_whole(text)
    return _read_parts(text) if found and isinstance(found[-1], Fault) else found


def _is_splittable(text: str) -> bool:
    """Whether each ``---`` line surely ends a document.

    ruamel.yaml takes one for text when it follows the header of a block scalar that is a whole
    document.
    """
    if _UNSPLITTABLE.search(text):
        return False
    return not any(
        _BLOCK_MARK.search(_last_line(text, separator.start()))
        for separator in _SEPARATOR.finditer(text)
    )


def _last_line(text: str, end: int) -> str:
    """Give the last line before ``end`` that is not blank."""
    while end > 0 and text[end - 1] in " \n":
        end -= 1
    return text[text.rfind("\n", 0, end) + 1 : end]


def _read_whole(text: str) -> list[Document | Fault]:
    if len(text) > parse_ruamel.MAX_CHARACTERS:
        return [_too_large(1)]
    return _slow(_Part(text, 1))


def _read_parts(text: str) -> list[Document | Fault]:
    found: list[Document | Fault] = []
    allowance = parse_ruamel.MAX_CHARACTERS
    for part in _split(text):
        try:
            fast = _fast(part.text)
            found.extend(Document(each.value, each.line + part.line - 1) for each in fast)
        except Unproven:  # noqa: PERF203 - the rare case
            allowance -= max(len(part.text), parse_ruamel.FEWEST_CHARACTERS)
            found.extend([_too_large(part.line)] if allowance < 0 else _slow(part))
    return found


def _slow(part: _Part) -> list[Document | Fault]:
    undecoded = _UNDECODED.search(part.text)
    if undecoded is None:
        return parse_ruamel.documents(part.text, part.line)
    byte = ord(undecoded.group()) - 0xDC00
    reason = f"The document is not UTF-8: byte 0x{byte:02x} can't be decoded."
    line = part.text.count("\n", 0, undecoded.start()) + part.line
    return [Fault("encoding", reason, "Save the file as UTF-8.", line)]


def _split(text: str) -> Iterator[_Part]:
    """Cut the text before each ``---``; what a directive may rule over stays in one piece."""
    start, line = 0, 1
    directive = _DIRECTIVE.search(text)
    end = len(text) if directive is None else directive.start()
    for separator in _SEPARATOR.finditer(text, 0, end):
        if separator.start() > start:
            yield _Part(text[start : separator.start()], line)
            line += text.count("\n", start, separator.start())
            start = separator.start()
    yield _Part(text[start:], line)


def _too_large(line: int) -> Fault:
    reason = (
        "The document needs the thorough YAML parser, and the file holds more than "
        f"{parse_ruamel.MAX_CHARACTERS:,} characters of such documents."
    )
    remedy = "Split the file, or write it without tags, anchors, tabs and directives."
    return Fault("too-large", reason, remedy, line)
