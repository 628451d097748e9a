"""What the doctor says: one line a check, and a remedy where something is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: What was looked at, one or two words.
        verdict: ``error`` for what keeps jobs from their assets, ``warning`` for what may.
        text: What was found.
        remedy: What to do about it; empty when nothing.
    """

    check: str
    verdict: Verdict
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    """Say that all is well."""
    return Finding(check, "ok", text)


def warning(check: str, text: str, remedy: str) -> Finding:
    """Say what may go wrong."""
    return Finding(check, "warning", text, remedy)


def error(check: str, text: str, remedy: str) -> Finding:
    """Say what is wrong."""
    return Finding(check, "error", text, remedy)
