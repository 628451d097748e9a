"""A job of an older fairseq2: what it sees with resolverd-client and without, what it downloads.

Run by the interpreter of fairseq2's environment with that version first on the search path, as
``older_job.py STORE URI MISSING_URI``; the daemon is the one of RESOLVERD_SOCKET.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import fairseq2
from exact import tree
from fairseq2.assets import AssetDownloadManager, AssetStore
from fairseq2.composition import _register_library, register_file_assets
from fairseq2.runtime.dependency import DependencyContainer
from fairseq2.utils.uri import Uri


def container(store, switch):
    os.environ["RESOLVERD_FAIRSEQ2"] = switch
    made = DependencyContainer()
    _register_library(made)
    register_file_assets(made, Path(store))
    return made


def cards(store):
    names = sorted({each.partition("@")[0] for each in store.asset_names})
    return {name: attempt(lambda n=name: chain(store.maybe_retrieve_card(n))) for name in names}


def chain(card):
    links = []
    while card is not None:
        links.append([card.name, tree({**card.metadata})])
        card = card.base
    return links


def attempt(do):
    try:
        return do()
    except Exception as error:  # noqa: BLE001 - whatever fairseq2 lets through is its answer
        return [type(error).__name__, str(error)]


def fetched(manager, uri):
    return attempt(lambda: str(manager.download_model(Uri.maybe_parse(uri), "m", force=False)))


def main():
    store, uri, missing = sys.argv[1:]
    alone = container(store, "off").resolve(AssetStore)
    ours = container(store, "on")
    shown = ours.resolve(AssetStore)
    manager = ours.resolve(AssetDownloadManager)
    answer = {
        "version": fairseq2.__version__,
        "alone": cards(alone),
        "ours": cards(shown),
        "kinds": [type(each).__name__ for each in shown._own._metadata_providers],
        "path": fetched(manager, uri),
        "failure": fetched(manager, missing),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
