"""Where fairseq2 reads the cards of a store: from the daemon, if that serves this very store.

Contract: the same answers as fairseq2's own provider of the same store, at every moment, whether
they come from the daemon or, once that is gone, from fairseq2's own loader.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Set
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

from fairseq2.assets import (
    AssetMetadataProvider,
    FileAssetMetadataLoader,
    PackageAssetMetadataLoader,
)

from resolverd_client.errors import AssetNotFoundError, ResolverdError
from resolverd_client.fairseq2.node import Node, Place, Served, log
from resolverd_client.protocol import unpackb


class NodeFileLoader(FileAssetMetadataLoader):
    """Loads the store of a path.

    Args:
        own: fairseq2's loader.
        node: The daemon.
    """

    def __init__(self, own: FileAssetMetadataLoader, node: Node) -> None:
        self._own = own
        self._node = node

    def load(self, path: Path) -> AssetMetadataProvider:
        """Give the store's provider."""
        served = _find(self._node, [os.path.expanduser(path)], package=False)
        if served is None:
            return self._own.load(path)
        return _taken(
            NodeProvider(f"path:{path}", served, self._node, lambda: self._own.load(path))
        )


class NodePackageLoader(PackageAssetMetadataLoader):
    """Loads the store of a package.

    Args:
        own: fairseq2's loader.
        node: The daemon.
    """

    def __init__(self, own: PackageAssetMetadataLoader, node: Node) -> None:
        self._own = own
        self._node = node

    def load(self, package: str) -> AssetMetadataProvider:
        """Give the store's provider."""
        roots = _roots(package)
        served = _find(self._node, roots, package=True) if roots else None
        if served is None:
            return self._own.load(package)
        return _taken(
            NodeProvider(
                f"package:{package}", served, self._node, lambda: self._own.load(package), roots
            )
        )


def _roots(package: str) -> list[str]:
    """Find a package's folders as the import system names them; none for one in a zip file."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError, AttributeError):
        return []
    locations = spec.submodule_search_locations if spec is not None else None
    return list(locations or ())


def _find(node: Node, roots: list[str], *, package: bool) -> Served | None:
    if node.gone:
        return None
    try:
        places = [_place(os.path.realpath(root), package=package) for root in roots]
    except (OSError, ValueError):  # it is not there, or can be nowhere
        return None
    return node.find(places, package=package)


def _place(real: str, *, package: bool) -> Place:
    found = os.stat(real)
    single = not package and not os.path.isdir(real)
    return real, found.st_dev, 0 if single else found.st_ino


def _taken(provider: NodeProvider) -> AssetMetadataProvider:
    served = provider.served
    if served.refused:
        log.warning(
            "resolverd: fairseq2 alone would refuse all of %s for its bad or duplicate cards. They "
            "are left out, and all others are there. Of %d: %s `resolverctl lint` tells more.",
            provider.source,
            served.refused,
            " ".join(served.first),
        )
    provider.begin()
    return provider


class NodeProvider(AssetMetadataProvider):
    """The cards of one store, from the daemon while that answers.

    Args:
        source: What fairseq2 calls the store.
        served: The daemon's store.
        node: The daemon.
        load: Gives fairseq2's own provider of the same store.
        roots: Of a package: its folders, as the import system names them.
    """

    def __init__(
        self,
        source: str,
        served: Served,
        node: Node,
        load: Callable[[], AssetMetadataProvider],
        roots: list[str] | None = None,
    ) -> None:
        self.served = served
        self._source = source
        self._served = served.source
        self._names = (served.source, None)
        self._node = node
        self._kept = node.kept
        self._load = load
        self._own: AssetMetadataProvider | None = None
        self._lock = Lock()
        self._moved = _moved(served, roots)
        self._bases: dict[Path, Path] = {}

    def begin(self) -> None:
        """Have the daemon asked for this store's cards."""
        self._node.take(self.served.source)

    @property
    def live(self) -> bool:
        """Whether it is still the daemon that answers."""
        return self._own is None

    @property
    def source(self) -> str:
        """What fairseq2 calls the store."""
        return self._source

    @property
    def asset_names(self) -> Set[str]:
        """The canonical names of its cards."""
        own = self._own
        if own is None:
            names: Set[str] | None = self._kept(self._names)
            if names is not None:
                return names
            try:
                return self._node.names(self._served)
            except ResolverdError as error:
                own = self._fall_back(error)
        return own.asset_names  # type: ignore[no-any-return]

    def __contains__(self, name: str) -> bool:
        """Tell whether there is a card of that canonical name, without asking for all names."""
        own = self._own
        if own is None:
            try:
                return bool(self._packed(name))
            except ResolverdError as error:
                own = self._fall_back(error)
        return name in own.asset_names

    def maybe_get_metadata(self, name: str) -> dict[str, object] | None:
        """Give a card as a fresh object, or None."""
        own = self._own
        if own is None:
            try:
                packed = self._packed(name)
            except ResolverdError as error:
                own = self._fall_back(error)
            else:
                return self._unpacked(packed) if packed else None
        return own.maybe_get_metadata(name)  # type: ignore[no-any-return]

    def _packed(self, name: str) -> bytes:
        packed: bytes | None = self._kept((self._served, name))
        return self._node.card(self._served, name) if packed is None else packed

    def _unpacked(self, packed: bytes) -> dict[str, object]:
        metadata: dict[str, Any] = unpackb(packed)
        if self._moved:
            base = metadata["__base_path__"]
            metadata["__base_path__"] = self._bases.get(base) or self._move(base)
        return metadata

    def _move(self, base: Path) -> Path:
        """Word a card's folder as fairseq2 does, which follows no links to a package."""
        text = str(base)
        for real, named in self._moved:
            if text == real or text.startswith(f"{real}/"):
                self._bases[base] = moved = Path(named + text[len(real) :])
                return moved
        return base

    def _fall_back(self, error: ResolverdError) -> AssetMetadataProvider:
        """Load the store in this process, as the daemon does not answer for it any more."""
        if isinstance(error, AssetNotFoundError):
            self._node.drop(self.served.source)
            log.warning(
                "resolverd: %s; fairseq2 reads it by itself from here on.", str(error).rstrip(".")
            )
        else:
            self._node.give_up(error)
        with self._lock:
            if self._own is None:
                self._own = self._load()
            return self._own


def _moved(served: Served, roots: list[str] | None) -> list[tuple[str, str]]:
    pairs = zip((path for path, _, _ in served.roots), roots or (), strict=False)
    return [(real, named) for real, named in pairs if real != named]
