"""A job of fairseq2 0.2 to 0.4 with the daemon's cards among its own, as ``legacy_job.py NAME...``.

Native code and other packages that these versions import but asset code never calls are stood in
for by empty modules. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from unittest.mock import MagicMock

ABSENT = ("fairseq2n", "sacrebleu", "editdistance", "blobfile", "overrides")


class Empty(MetaPathFinder, Loader):
    """Finds modules that are not there, whose attributes are whatever one asks for."""

    def find_spec(self, name, path=None, target=None):
        known = name.partition(".")[0] in ABSENT
        return ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec):
        module = MagicMock(name=spec.name, __version__="0", DOC_MODE=True)
        module.__path__ = []
        module.final = module.override = lambda what: what  # decorators that only mark
        return module

    def exec_module(self, module):
        pass


def store():
    from fairseq2 import assets  # noqa: PLC0415 - only once the finder is in place

    if hasattr(assets, "StandardAssetStore"):
        return assets.StandardAssetStore()
    return assets.asset_store


def card(store, name):
    try:
        found = store.retrieve_card(name)
    except Exception as error:  # noqa: BLE001 - whatever fairseq2 lets through is its answer
        return type(error).__name__
    return [found.name, found.field("x").as_(int), found.base and found.base.name]


def main():
    from resolverd_client.fairseq2.legacy import NodeMetadataProvider  # noqa: PLC0415 - as above

    provider, asset_store = NodeMetadataProvider(), store()
    asset_store.metadata_providers.append(provider)
    answer = {name: card(asset_store, name) for name in sys.argv[1:]}
    print(json.dumps({"cards": answer, "names": provider.get_names()}))


sys.meta_path.insert(0, Empty())
if __name__ == "__main__":
    main()
