"""Steps that survive a power cut: what they made is on disk, whole, when they return."""

from __future__ import annotations

import contextlib
import os
import shutil


def write(path: str, data: bytes) -> None:
    """Put a small file in place, durably and in one step."""
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
    os.rename(path + ".new", path)
    sync_folder(os.path.dirname(path))


def sync_folder(path: str) -> None:
    """Make a folder's entries durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_tree(path: str) -> None:
    """Remove a folder with all in it, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def remove(path: str) -> None:
    """Remove a file, or a folder with all in it."""
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
    else:
        unlink(path)


def unlink(path: str) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
