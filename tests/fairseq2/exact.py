"""A value as JSON that tells apart whatever Python tells apart: both sides of a comparison use it.

Order of keys, ``True`` and ``1``, ``0.0`` and ``-0.0``, naive and aware times, lists and tuples,
lone surrogates: two values are alike when their trees are equal. Runs under the daemon's
interpreter and under fairseq2's, so it knows the standard library only.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from datetime import date, datetime
from pathlib import PosixPath
from struct import pack


def tree(value: object, within: tuple[int, ...] = ()) -> list[object]:
    """``value`` in lists, strings and numbers, each with the name of its type.

    A subclass of OrderedDict counts as one: ruamel.yaml makes its own for ``!!omap``. A container
    that holds itself is named by its distance.
    """
    if id(value) in within:
        return ["cycle", within[::-1].index(id(value))]
    inside = (*within, id(value))
    kind = type(value)
    if isinstance(value, OrderedDict):
        return ["OrderedDict", *([tree(k, inside), tree(v, inside)] for k, v in value.items())]
    if kind is dict:
        return ["dict", *([tree(k, inside), tree(v, inside)] for k, v in value.items())]
    if kind in (list, tuple):
        return [kind.__name__, *(tree(item, inside) for item in value)]
    if kind in (set, frozenset):
        return [kind.__name__, *sorted((tree(item, inside) for item in value), key=json.dumps)]
    return scalar(value)


def scalar(value: object) -> list[object]:  # noqa: PLR0911 - one line a type
    """``value``, which holds no others."""
    kind = type(value)
    if kind is str and any("\ud800" <= character <= "\udfff" for character in value):
        return ["str", [ord(character) for character in value]]  # JSON would join a pair of them
    if value is None or kind in (bool, str):
        return [kind.__name__, value]
    if kind is int:
        return ["int", hex(value)]  # decimals of more than 4,300 digits are refused by Python
    if kind is float:
        return ["float", pack(">d", value).hex()]
    if kind is bytes:
        return ["bytes", value.hex()]
    if kind is datetime:
        zone = value.tzinfo
        return ["datetime", value.isoformat(), zone and [type(zone).__name__, value.tzname()]]
    if kind is date:
        return ["date", value.isoformat()]
    if kind is PosixPath:
        return ["PosixPath", str(value)]
    return [f"{kind.__module__}.{kind.__qualname__}", repr(value)]
