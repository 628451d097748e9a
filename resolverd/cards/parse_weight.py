"""The expanded size of a document with aliases, measured before any of it is built.

Each alias counts as a copy of what it stands for, because that is what a reply will hold. The walk
itself is linear in the text and does not recurse.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from resolverd.cards.parse_document import MAX_DEPTH

MAX_NODES = 1_000_000
MAX_CHARACTERS = 16 << 20


class TooHeavyError(Exception):
    """A document whose aliases expand too far, or for ever.

    Attributes:
        code: Slug of the problem.
        reason: What is wrong.
        line: Where, from 0, in the text at hand.
    """

    def __init__(self, code: str, reason: str, line: int) -> None:
        super().__init__(reason)
        self.code, self.reason, self.line = code, reason, line


class _Weight(NamedTuple):
    nodes: int
    characters: int
    depth: int


def weigh(root: Any) -> None:
    """Check that a composed document stays within bounds when its aliases are expanded.

    Args:
        root: A node of ruamel.yaml.

    Raises:
        TooHeavyError: It does not.
    """
    known: dict[int, _Weight | None] = {}  # None while below the node: meeting it again is a cycle
    path: list[tuple[Any, Iterator[Any]]] = []
    _enter(root, known, path)
    while path:
        node, children = path[-1]
        child = next(children, None)
        if child is None:
            path.pop()
            known[id(node)] = _sum(node, known)
        elif id(child) not in known:
            _enter(child, known, path)
        elif known[id(child)] is None:
            reason = "An alias refers to a collection that it is itself part of."
            raise TooHeavyError("recursive-alias", reason, child.start_mark.line)


def _enter(
    node: Any, known: dict[int, _Weight | None], path: list[tuple[Any, Iterator[Any]]]
) -> None:
    if isinstance(node.value, str):
        known[id(node)] = _Weight(1, len(node.value), 0)
    else:
        known[id(node)] = None
        path.append((node, iter(_children(node))))


def _children(node: Any) -> list[Any]:
    if node.id == "mapping":
        return [child for pair in node.value for child in pair]
    return list(node.value)


def _sum(node: Any, known: dict[int, _Weight | None]) -> _Weight:
    weights = [weight for child in _children(node) if (weight := known[id(child)]) is not None]
    total = _Weight(
        1 + sum(weight.nodes for weight in weights),
        sum(weight.characters for weight in weights),
        1 + max((weight.depth for weight in weights), default=0),
    )
    line = node.start_mark.line
    if total.depth > MAX_DEPTH:
        raise TooHeavyError("too-deep", f"Its aliases nest deeper than {MAX_DEPTH} levels.", line)
    if total.nodes > MAX_NODES or total.characters > MAX_CHARACTERS:
        reason = f"Its aliases expand to more than {MAX_NODES:,} values or 16 MiB of text."
        raise TooHeavyError("alias-bomb", reason, line)
    return total
