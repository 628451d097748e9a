"""Checks what clients send as parameters: wrong types become errors that name the parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from resolverd_client.errors import RequestError

T = TypeVar("T")

MOST_SECONDS = 10**9


def check(value: object, kind: type[T], what: str) -> T:
    """Give the value back if it is of the type.

    Args:
        value: What came over the wire.
        kind: The type it must have; a bool is no number here.
        what: The parameter's name, for the error.

    Raises:
        RequestError: Naming the parameter, the type it must have and the one it has.
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise RequestError(f"{what} must be {_say(kind)}, not {_say(type(value))}.")
    return value


def maybe(value: object, kind: type[T], what: str) -> T | None:
    """Like :func:`check`, and nil stays None."""
    return None if value is None else check(value, kind, what)


def seconds(options: Mapping[str, object], key: str) -> float | None:
    """Read a length of time out of options; None when it is not given."""
    value = options.get(key)
    if value is None:
        return None
    number = check(value, int if isinstance(value, int) else float, key)
    if not 0 <= number <= MOST_SECONDS:
        raise RequestError(f"{key} must be 0 to {MOST_SECONDS} seconds, not {number:.9g}.")
    return float(number)


def known(options: Mapping[str, object], allowed: tuple[str, ...], what: str) -> None:
    """Refuse options that do not exist, so that a typing error is not passed over.

    Raises:
        RequestError: Naming the unknown keys and those there are.
    """
    if unknown := [str(key) for key in options if key not in allowed]:
        raise RequestError(
            f"{what} has no {', '.join(sorted(unknown))}; it takes {', '.join(allowed)}."
        )


_NAMES = {str: "a string", int: "an integer", float: "a number", bool: "a boolean",
          dict: "a map", list: "an array", type(None): "nil"}  # fmt: skip


def _say(kind: type) -> str:
    return _NAMES.get(kind, kind.__name__)
