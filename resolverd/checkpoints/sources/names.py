"""Names of files, as an origin lists them: hostile until they were looked at. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

_PART_MOST = 240  # NAME_MAX is 255
_PATH_MOST = 2048  # PATH_MAX is 4096, and the object lies below other folders


def is_sound(path: str) -> bool:
    """Whether a path stays below its folder, and can be a file's there."""
    try:
        parts = path.encode("utf-8").split(b"/")
    except UnicodeEncodeError:
        return False
    return (
        not {b"", b".", b".."} & set(parts)
        and not any(char < " " or char == "\x7f" for char in path)
        and max(map(len, parts)) <= _PART_MOST
        and len(path) <= _PATH_MOST
    )


def clash(paths: Iterable[str]) -> str | None:
    """A path that is there twice, or is a file and a folder; None when all fit one tree."""
    counted = Counter(paths)
    folders = {path[:at] for path in counted for at, char in enumerate(path) if char == "/"}
    return next((path for path, count in counted.items() if count > 1 or path in folders), None)
