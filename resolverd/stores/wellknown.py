"""Which stores to serve: fairseq2's own list, or what an operator names."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from resolverd.cards.store import Store
from resolverd.errors import ConfigError, StoreError

from .package import roots

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FAIRSEQ2_CARDS = "fairseq2.assets.cards"


def default_stores(environ: Mapping[str, str], home: str) -> list[Store]:
    """List the stores that fairseq2 0.8.1 reads, in its order.

    Of one name the user store's card wins over the system store's, and that over the package's.

    Args:
        environ: The environment variables.
        home: The home directory, for ``~`` and the default user store.

    Returns:
        The package when it is installed, the system store and the user store.
    """
    stores: list[Store] = []
    package = Store(f"package:{FAIRSEQ2_CARDS}", FAIRSEQ2_CARDS, is_package=True, precedence=2)
    try:
        roots(package)
        stores.append(package)
    except StoreError:
        pass
    system = _from_variable(environ, "FAIRSEQ2_ASSET_DIR", home) or "/etc/fairseq2/assets"
    user = _from_variable(environ, "FAIRSEQ2_USER_ASSET_DIR", home) or _user_dir(environ, home)
    stores.append(_directory(system, precedence=1))
    if os.path.realpath(user) != os.path.realpath(system):
        stores.append(_directory(user, precedence=0))
    return stores


def chosen_stores(
    specs: Sequence[str], environ: Mapping[str, str], home: str, *, always_poll: bool = False
) -> list[Store]:
    """List the stores that an operator names, or fairseq2's own when none is named.

    Args:
        specs: As ``parse_spec`` reads them; the first wins.
        environ: The environment variables, for fairseq2's own list.
        home: The home directory, for the same.
        always_poll: Whether every store is polled.

    Raises:
        ConfigError: A text names no store, or one store is listed twice.
    """
    poll = True if always_poll else None
    if not specs:
        return [replace(store, poll=poll) for store in default_stores(environ, home)]
    stores: dict[str, Store] = {}
    for place, spec in enumerate(specs):
        store = parse_spec(spec, place, poll)
        if store.source in stores and store.site_dir:  # one package, in several environments
            store = replace(store, source=f"{store.source}@{store.site_dir}")
        if store.source in stores:
            raise ConfigError(f"store {spec!r} is listed twice: leave one of them out")
        stores[store.source] = store
    return list(stores.values())


def _from_variable(environ: Mapping[str, str], name: str, home: str) -> str | None:
    """The directory a variable names; like fairseq2, one that is absent counts as unset."""
    value = environ.get(name, "")
    if not value:
        return None
    path = _absolute(value, home)
    return path if os.path.exists(path) else None


def _user_dir(environ: Mapping[str, str], home: str) -> str:
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    return os.path.join(_absolute(config, home), "fairseq2", "assets")


def _absolute(path: str, home: str) -> str:
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    return os.path.abspath(os.path.expanduser(path))


def _directory(path: str, precedence: int) -> Store:
    return Store(f"path:{os.path.realpath(path)}", path, precedence=precedence, optional=True)


def parse_spec(spec: str, precedence: int = 0, poll: bool | None = None) -> Store:
    """Read a store as an operator writes it.

    Args:
        spec: ``PATH`` of a directory or file, or ``package:NAME[@SITE_DIR]``.
        precedence: Of one name in several stores the lowest wins.
        poll: ``Store.poll``.

    Raises:
        ConfigError: The text names no store.
    """
    if spec.startswith("package:"):
        return _parse_package(spec, precedence, poll)
    path = spec.removeprefix("path:")
    if not path or "\0" in path:
        raise ConfigError(f"store {spec!r}: a path or package:NAME[@SITE_DIR] is expected")
    path = os.path.abspath(os.path.expanduser(path))
    return Store(f"path:{path}", path, precedence=precedence, poll=poll)


def _parse_package(spec: str, precedence: int, poll: bool | None) -> Store:
    name, at, site = spec.removeprefix("package:").partition("@")
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"store {spec!r}: {name!r} is not a dotted package name")
    if at and not site:
        raise ConfigError(f"store {spec!r}: a site-packages folder is expected after @")
    site_dir = os.path.abspath(os.path.expanduser(site)) if site else None
    return Store(
        f"package:{name}",
        name,
        is_package=True,
        site_dir=site_dir,
        precedence=precedence,
        poll=poll,
    )
