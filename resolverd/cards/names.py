"""Names of cards: ``stem@`` for a card, ``stem@env`` for its override in one environment.

The same rules, and the same leniency about white space, as fairseq2 0.8.1.
"""

from __future__ import annotations


def canonicalize(name: str) -> str | None:
    """Give a card's name its canonical form.

    Args:
        name: As written in the card: ``stem``, ``stem@`` or ``stem@env``.

    Returns:
        ``stem@`` or ``stem@env``; None when the name holds two ``@`` or an empty stem.
    """
    stem, at, env = name.partition("@")
    stem = stem.strip()
    if not stem or "@" in env:
        return None
    return f"{stem}@{env.strip()}" if at else f"{stem}@"


def sanitize_base(name: str) -> str | None:
    """Give the name of a base its canonical form, which has no ``@``.

    Args:
        name: As written in the card's ``base`` field.

    Returns:
        The stem without surrounding white space; None when it is empty or holds an ``@``.
    """
    return None if "@" in name else name.strip() or None


def lookup_name(name: str) -> str:
    """Name the card that a request for ``name`` means: ``x`` is short for ``x@``.

    Args:
        name: ``stem``, ``stem@`` or ``stem@env``; taken literally otherwise.

    Returns:
        The key to look up.
    """
    return name if "@" in name else f"{name}@"


def split(name: str) -> tuple[str, str]:
    """Take a canonical name apart.

    Args:
        name: ``stem@`` or ``stem@env``.

    Returns:
        The stem and the environment; the latter is empty for the card itself.
    """
    stem, _, env = name.partition("@")
    return stem, env
