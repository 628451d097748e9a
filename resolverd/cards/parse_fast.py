"""The fast path: PyYAML's C parser, for text that it is proven to read as ruamel.yaml does.

It takes the events of the parser, not its objects, and builds without recursion, so that no depth
of nesting can crash it. Whatever lies outside the proven subset raises ``Unproven``: never a
different value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import yaml
from yaml.events import (
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from resolverd.cards.parse_document import MAX_DEPTH, Document, Unproven
from resolverd.cards.parse_scalar import FIRSTS, resolve

# The wheel of PyYAML has it; without it all files take the slow path.
_Parser: Callable[[str], Any] | None = getattr(getattr(yaml, "cyaml", None), "CParser", None)

# Tabs, carriage returns, line breaks beyond the newline, byte order marks, unprintables.
_ODD_CHARACTER = re.compile(
    "[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
# Directives, ends of documents, complex and empty keys.
_ODD_TEXT: Final = ("\n%", "\n...", "? ", "?\n", " :", "\n:")
_ODD_FIRST: Final = ("%", "...", "?", ":")
_ODD_START = re.compile(r"^---[^\n]", re.MULTILINE)
_PROPERTIES: Final = ("&", "*", "!")
# In a flow collection: complex keys, comments, properties, and colons and dashes that the two
# libraries may disagree about.
_ODD_FLOW = re.compile(r"[?#&*!|>%@`]|:(?! )|-(?![\w.])")
# Of a block scalar: the simplest header, and text (or the next key) on the very next line.
_PLAIN_BLOCK = re.compile(r"[|>][-+]?\n *[^ \n]")
_MISSING: Final = object()


def documents(text: str) -> list[Document]:
    """Read all documents of a text.

    Args:
        text: Decoded, with line breaks already translated to newlines.

    Returns:
        The documents; each value is a dict, or None for an empty document.

    Raises:
        Unproven: The text must be read by ruamel.yaml instead.
    """
    if _Parser is None or _is_odd(text):
        raise Unproven
    properties = any(mark in text for mark in _PROPERTIES)
    parser = _Parser(text)
    try:
        return _build(parser.get_event, text, properties=properties)
    except yaml.YAMLError as error:
        raise Unproven from error


def _is_odd(text: str) -> bool:
    return (
        _ODD_CHARACTER.search(text) is not None
        or any(mark in text for mark in _ODD_TEXT)
        or text.startswith(_ODD_FIRST)
        or ("---" in text and _ODD_START.search(text) is not None)
    )


# One long loop on purpose: it runs for every event of every file, and a call costs as much as the
# work.
def _build(  # noqa: C901, PLR0912, PLR0915
    get: Callable[[], Any], text: str, *, properties: bool
) -> list[Document]:
    done: list[Document] = []
    stack: list[tuple[Any, Any]] = []  # the collections around this one, and their pending keys
    target: Any = None  # the collection being filled
    key: Any = _MISSING  # in a mapping: the key that waits for its value
    flow = -1  # the depth at which the outermost flow collection began
    flow_start = 0
    while True:
        event = get()
        kind = type(event)
        if kind is ScalarEvent:
            value = event.value
            if properties and (event.anchor is not None or event.tag is not None):
                raise Unproven
            style = event.style
            if not style:
                if not value:
                    value = None
                elif value[0] in FIRSTS:
                    value = resolve(value)
            if style == "|" or style == ">":  # noqa: PLR1714 - faster
                if not _PLAIN_BLOCK.match(text, event.start_mark.index):
                    raise Unproven
            elif event.start_mark.line != event.end_mark.line:
                raise Unproven
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            if properties and (event.anchor is not None or event.tag is not None):
                raise Unproven
            if event.flow_style and flow < 0:
                flow, flow_start = len(stack), event.start_mark.index
            stack.append((target, key))
            if len(stack) > MAX_DEPTH or (type(target) is dict and key is _MISSING):
                raise Unproven
            if target is None:
                done.append(Document(None, event.start_mark.line + 1))
            target = {} if kind is MappingStartEvent else []
            key = _MISSING
            continue
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            value = target
            target, key = stack.pop()
            if flow == len(stack):
                if _ODD_FLOW.search(text, flow_start, event.end_mark.index):
                    raise Unproven
                flow = -1
            if target is None:
                if type(value) is not dict:
                    raise Unproven
                done[-1] = Document(value, done[-1].line)
                continue
        elif kind is StreamEndEvent:
            return done
        elif kind is DocumentStartEvent:
            target, key = None, _MISSING
            continue
        else:  # the stream's start, a document's end, or an alias
            if kind is yaml.AliasEvent:
                raise Unproven
            continue
        if type(target) is list:
            target.append(value)
        elif target is None:
            if value is not None or event.start_mark.index != event.end_mark.index:
                raise Unproven  # a document that is a scalar
            done.append(Document(None, event.start_mark.line + 1))
        elif key is _MISSING:
            if type(value) is not str or value in target:
                raise Unproven
            key = value
        else:
            target[key] = value
            key = _MISSING
