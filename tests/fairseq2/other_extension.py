"""An extension of fairseq2 by somebody else: it registers and wraps much the same things.

It does so only when the variable OTHERS names it, so that one process can do without it.
"""

from __future__ import annotations

import os

from fairseq2.assets import (
    AssetDownloadManager,
    AssetEnvironmentResolver,
    FileAssetMetadataLoader,
    LocalAssetDownloadManager,
)
from fairseq2.composition import register_in_memory_assets


class OtherLoader(FileAssetMetadataLoader):
    """Passes every store on."""

    def __init__(self, own):
        self._own = own

    def load(self, path):
        return self._own.load(path)


class OtherManager(AssetDownloadManager):
    """Fetches the scheme of its own name."""

    supported_schemes = frozenset({__name__.replace("_", "-")})
    _own = LocalAssetDownloadManager()

    def download_model(self, uri, *_args, **_options):
        return f"{__name__} gives {uri}"

    download_tokenizer = download_dataset = download_model


def setup(container):
    if __name__ not in os.environ.get("OTHERS", "").split(","):
        return
    cards = [{"name": __name__, "base": "a", "x": 1}, {"name": f"{__name__}@user", "y": 2}]
    register_in_memory_assets(container, f"memory:{__name__}", cards)
    container.collection.register_instance(AssetDownloadManager, OtherManager())
    container.collection.register_instance(
        AssetEnvironmentResolver, lambda _: os.environ.get(f"ENV_OF_{__name__}")
    )
    registration = container._registrations.pop((FileAssetMetadataLoader, None))
    container._keys[FileAssetMetadataLoader].remove(None)
    container.register(
        FileAssetMetadataLoader,
        lambda resolver: OtherLoader(registration.get_instance(FileAssetMetadataLoader, resolver)),
    )
