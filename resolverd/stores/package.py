"""Where a package's files lie, found without importing it or its parents.

Importing ``fairseq2.assets`` would cost seconds and torch. So the search path is followed by hand:
a regular package shadows, portions of a namespace package add up (PEP 420), and editable installs
are followed through their ``.pth`` files and path mappings.
"""

from __future__ import annotations

import ast
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from resolverd.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resolverd.cards.store import Store

_INITS = ("__init__.py", "__init__.pyc")


def roots(store: Store) -> list[str]:
    """Find the directories that hold a package's files.

    Args:
        store: A package store.

    Returns:
        One directory, or the portions of a namespace package in search order.

    Raises:
        StoreError: The package is not found, or has no directory (it lies in a zip file).
    """
    top, *rest = store.location.split(".")
    found = _top_level(top) if store.site_dir is None else _in_site(top, store.site_dir)
    for name in rest:
        found = _search(name, found)
    if not found:
        where = f"in {store.site_dir}" if store.site_dir else "in the daemon's own environment"
        raise StoreError(f"package {store.location} is not found {where}")
    return found


def _top_level(name: str) -> list[str]:
    """Ask the import system, which imports nothing for a name without dots."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # ValueError: imported by hand, without a spec
        spec = None
    locations = spec.submodule_search_locations if spec is not None else None
    if locations is None:
        return []
    return [path for path in locations if os.path.isdir(path)] or _search(name, sys.path)


def _in_site(name: str, site_dir: str) -> list[str]:
    found = _search(name, [site_dir])
    if found and _is_regular(found[0]):
        return found
    extra, mapped = _editable(name, site_dir)
    if mapped is not None:
        return [mapped]
    return _search(name, [site_dir, *extra])


def _search(name: str, path: Sequence[str]) -> list[str]:
    portions: list[str] = []
    for place in path:
        candidate = os.path.join(place, name)
        if os.path.isdir(candidate):
            if _is_regular(candidate):
                return [candidate]
            portions.append(candidate)
        elif os.path.isfile(candidate + ".py"):
            return []  # a plain module shadows what follows and holds no files
    return portions


def _is_regular(directory: str) -> bool:
    return any(os.path.isfile(os.path.join(directory, init)) for init in _INITS)


def _editable(name: str, site_dir: str) -> tuple[list[str], str | None]:
    """The path lines of a site's ``.pth`` files, and where a path mapping places ``name``."""
    extra: list[str] = []
    try:
        entries = sorted(os.listdir(site_dir))
    except OSError:
        return [], None
    for entry in entries:
        full = os.path.join(site_dir, entry)
        if entry.endswith(".pth"):
            extra.extend(_pth_paths(full, site_dir))
        elif entry.startswith("__editable__") and entry.endswith("_finder.py"):
            mapped = _mapping(full).get(name)
            if isinstance(mapped, str) and os.path.isdir(mapped):
                return extra, mapped
    return extra, None


def _pth_paths(file: str, site_dir: str) -> list[str]:
    lines = [line.strip() for line in _text(file).splitlines()]
    paths = [line for line in lines if line and not line.startswith(("#", "import ", "import\t"))]
    return [path for line in paths if os.path.isdir(path := os.path.join(site_dir, line))]


def _mapping(file: str) -> dict[object, object]:
    """The ``MAPPING`` literal of a setuptools finder, read without running it."""
    try:
        tree = ast.parse(_text(file))
    except (SyntaxError, ValueError):
        return {}
    for node in tree.body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        if any(isinstance(target, ast.Name) and target.id == "MAPPING" for target in targets):
            try:
                found = ast.literal_eval(value)
            except ValueError:
                return {}
            return found if isinstance(found, dict) else {}
    return {}


def _text(file: str) -> str:
    try:
        with open(file, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
