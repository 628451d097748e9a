"""The slow path: ruamel.yaml itself, as fairseq2 0.8.1 calls it, made safe against hostile text.

One fresh loader per text: a ``%YAML`` directive never leaks into another file. Depth, expanded
size and recursion are bounded before any object is built.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from resolverd.cards.parse_document import MAX_DEPTH, Document, Fault
from resolverd.cards.parse_weight import TooHeavyError, weigh

MAX_CHARACTERS = 1 << 19
"""Of one file: a few seconds of one core at worst."""

FEWEST_CHARACTERS = 128
"""What a document counts at least: the loader takes as long to start as to read so much."""

_MEND = "Correct the document; the cards of other documents are served meanwhile."
_SIMPLIFY = "Write it with fewer levels and aliases."


def documents(text: str, line: int = 1) -> list[Document | Fault]:
    """Read the documents of a text, up to and including the first that is at fault.

    Args:
        text: Decoded, with line breaks already translated to newlines.
        line: Where the text begins in its file.

    Returns:
        The documents; only the last can be a fault.
    """
    found: list[Document | Fault] = []
    starts: list[int] = []
    with _without_warnings(text):
        try:
            for value in _load_all(text, starts):
                found.append(Document(value, starts[-1] + line))  # noqa: PERF401 - keep the good ones
        except Exception as error:  # noqa: BLE001 - whatever ruamel.yaml dies of, the text did it
            found.append(_fault(error, text, line))
    return found


def _load_all(text: str, starts: list[int]) -> Iterator[object]:
    from ruamel.yaml import YAML  # noqa: PLC0415 - costs 60 ms, and most stores never need it
    from ruamel.yaml.constructor import SafeConstructor  # noqa: PLC0415

    class Constructor(SafeConstructor):
        def construct_document(self, node: Any) -> Any:
            if "*" in text:
                weigh(node)
            starts.append(node.start_mark.line)
            return super().construct_document(node)

    loader = YAML(typ="safe", pure=True)
    loader.Constructor = Constructor
    loader.max_depth = MAX_DEPTH + 1  # it counts scalars too
    loader.composer.warn_double_anchors = False
    yield from loader.load_all(text)


@contextlib.contextmanager
def _without_warnings(text: str) -> Iterator[None]:
    if "%YAML" not in text:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # YAML 1.1 number forms: fairseq2 only prints them
        yield


def _fault(error: Exception, text: str, line: int) -> Fault:
    from ruamel.yaml.composer import MaxDepthExceededError  # noqa: PLC0415
    from ruamel.yaml.constructor import DuplicateKeyError  # noqa: PLC0415
    from ruamel.yaml.error import MarkedYAMLError  # noqa: PLC0415
    from ruamel.yaml.reader import ReaderError  # noqa: PLC0415

    if isinstance(error, TooHeavyError):
        return Fault(error.code, error.reason, _SIMPLIFY, error.line + line)
    if isinstance(error, (MaxDepthExceededError, RecursionError)):
        reason = f"The document nests deeper than {MAX_DEPTH} levels."
        return Fault("too-deep", reason, _SIMPLIFY, _line(error, line))
    if isinstance(error, DuplicateKeyError):
        reason = f"The document cannot be loaded as YAML: {_problem(error)}."
        return Fault("duplicate-key", reason, "Keep one of the two.", _line(error, line))
    if isinstance(error, ReaderError):
        reason = f"The document cannot be loaded as YAML: {_first_line(error)}."
        at = text.count("\n", 0, error.position) + line
        return Fault("bad-character", reason, "Remove the character.", at)
    if isinstance(error, MarkedYAMLError):
        reason = f"The document cannot be loaded as YAML: {_problem(error)}."
        return Fault("bad-yaml", reason, _MEND, _line(error, line))
    reason = f"The document cannot be loaded as YAML: {type(error).__name__}: {_first_line(error)}."
    return Fault("bad-value", reason, _MEND, None)


def _line(error: Any, line: int) -> int | None:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return None if mark is None else mark.line + line


def _problem(error: Any) -> str:
    words = ", ".join(part for part in (error.context, error.problem) if part)
    return _short(words)


def _first_line(error: Exception) -> str:
    return _short((str(error).splitlines() or ["no reason given"])[0])


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}..."
