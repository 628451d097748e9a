"""Plain scalars by the rules of YAML 1.2's core schema as ruamel.yaml applies them.

Only forms whose value is beyond doubt are decided here; a form that ruamel.yaml reads as a number,
a time, a merge key or a value key in some unusual way raises ``Unproven``.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from resolverd.cards.parse_document import Unproven

FIRSTS = frozenset("-+.0123456789tTfFnN~<=")
"""A plain scalar that begins otherwise is a string."""

_WORDS: dict[str, bool | None] = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    "null": None,
    "Null": None,
    "NULL": None,
    "~": None,
}
_LONGEST = 100  # no number or date of a card is longer; int() refuses 4,300 digits

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.[0-9]+(?:[eE][-+][0-9]+)?)"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# A superset of all else that ruamel.yaml's resolvers take for a number or a time.
_ODD = re.compile(
    r"[-+]?(?:0b[01_]+|0o?[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)"
    r"|[-+]?[0-9_]*\.?[0-9_]*(?:[eE][-+]?[0-9]*)?"
    r"|[-+]?\.(?:inf|Inf|INF|nan|NaN|NAN)"
    r"|[0-9]{4}\s*-[0-9]{1,2}\s*-[0-9].*",
    re.DOTALL,
)


def resolve(text: str) -> object:
    """Give the value of a plain scalar.

    Args:
        text: A plain scalar that begins with one of ``FIRSTS``.

    Returns:
        A bool, None, int, float, date or the text itself.

    Raises:
        Unproven: Leave this one to ruamel.yaml.
    """
    if len(text) <= _LONGEST:
        return _resolve_short(text)
    if text[0] in "-+.0123456789":
        raise Unproven(text[:_LONGEST])
    return text


@lru_cache(maxsize=8192)
def _resolve_short(text: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if text in ("<<", "="):
        raise Unproven(text)
    if text[0] not in "-+.0123456789":
        return text
    return _resolve_number(text)


def _resolve_number(text: str) -> object:
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _DATE.fullmatch(text):
        return _date(text)
    if _ODD.fullmatch(text):
        raise Unproven(text)
    return text


def _date(text: str) -> date:
    try:
        return date(int(text[:4]), int(text[5:7]), int(text[8:]))
    except ValueError:
        raise Unproven(text) from None
