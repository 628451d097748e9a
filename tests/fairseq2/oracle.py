"""Asks the real fairseq2: run by the interpreter of the environment that build_env.py makes.

One request a line on standard input, one answer a line on standard output, both JSON; values travel
as the trees of exact.py. Every request gets a container of fairseq2's own wiring, so a fresh YAML
loader, as a fresh process would have: one that once met a ``%YAML`` directive keeps its version.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub.constants
import huggingface_hub.file_download
from exact import tree
from fairseq2.assets import (
    AssetDirectoryAccessor,
    AssetDownloadManager,
    AssetEnvironmentResolver,
    AssetMetadataFileLoader,
    AssetStore,
    FileAssetMetadataLoader,
    PackageAssetMetadataLoader,
    StandardAssetStore,
    download_manager,
)
from fairseq2.composition import _register_library, register_file_assets
from fairseq2.runtime.dependency import DependencyContainer
from fairseq2.utils.uri import Uri


def fresh(no_progress=True):
    container = DependencyContainer()
    _register_library(container, no_progress=no_progress)
    return container


def refusal(fault):
    """The chain of exceptions, outermost first."""
    chain = []
    while fault is not None:
        chain.append([type(fault).__name__, str(fault)])
        fault = fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__)
    return {"refused": chain}


def attempt(do, *args):
    try:
        return do(*args)
    except Exception as fault:  # noqa: BLE001 - whatever fairseq2 lets through is its answer
        return refusal(fault)


def provided(provider):
    names = sorted(provider.asset_names)
    metadata = {
        name: attempt(lambda n=name: tree(provider.maybe_get_metadata(n))) for name in names
    }
    return {"source": provider.source, "metadata": metadata}


def files(paths):
    """Each file alone: the pairs of name and metadata that fairseq2 reads, or its refusal."""

    def load(path):
        loader = fresh().resolve(AssetMetadataFileLoader)
        return [[tree(name)[1], tree(found)] for name, found in loader.load(Path(path), "oracle")]

    return [attempt(load, path) for path in paths]


def directory(path):
    """What the provider of one directory or file answers, for every name that it has."""
    return attempt(lambda: provided(fresh().resolve(FileAssetMetadataLoader).load(Path(path))))


def package(name, site_dirs=()):
    """What the provider of one package answers, for every name that it has."""
    sys.path[:0] = site_dirs
    importlib.invalidate_caches()
    return attempt(lambda: provided(fresh().resolve(PackageAssetMetadataLoader).load(name)))


def cards(paths=(), env=None, names=None, environ=None, only_paths=False):
    """Cards as a job retrieves them: from the package, the well-known stores and ``paths``."""

    def retrieve(store, name):
        card = store.maybe_retrieve_card(name)
        return card and {"chain": chain(card), "fields": fields(card)}

    def answer():
        store = store_of(paths, env) if only_paths else open_store(paths, env)
        wanted = (
            sorted({n.partition("@")[0] for n in store.asset_names}) if names is None else names
        )
        return {name: attempt(retrieve, store, name) for name in wanted}

    with environment(environ or {}):
        return attempt(answer)


def directories(environ):
    """Where fairseq2 looks for cards: the system's directory and the user's, if they exist."""

    def find():
        accessor = fresh().resolve(AssetDirectoryAccessor)
        found = accessor.maybe_get_system_dir(), accessor.maybe_get_user_dir()
        return [path and str(path) for path in found]

    with environment(environ):
        return attempt(find)


def open_store(paths, env):
    container = fresh()
    for path in paths:
        register_file_assets(container, Path(path))
    if env is not None:
        container.collection.register_instance(AssetEnvironmentResolver, lambda _: env)
    return container.resolve(AssetStore)


def store_of(paths, env):
    """Without the package and the well-known stores."""
    loader = fresh().resolve(FileAssetMetadataLoader)
    return StandardAssetStore([loader.load(Path(path)) for path in paths], default_env=env)


def chain(card):
    """The card and its bases, leaf first."""
    links = []
    while card is not None:
        links.append([card.name, tree(card.metadata)])
        card = card.base
    return links


def fields(card):
    """Every field that the card or a base has: its value and, of a text, the URI it stands for."""
    keys, link = {}, card
    while link is not None:
        keys.update(dict.fromkeys(link.metadata))
        link = link.base
    found = []
    for key in keys:
        field = card.field(key)
        uri = attempt(lambda f=field: str(f.as_uri())) if isinstance(field.value, str) else None
        found.append([tree(key), tree(field.value), uri])
    return found


def download(uri, kind, cache_dir, hub_cache, endpoint=None):
    """Where fairseq2's own manager finds an asset, without fetching anything or from a Hub."""

    def find():
        manager = fresh().resolve(AssetDownloadManager)
        get = getattr(manager, f"download_{kind}")
        return str(get(Uri.parse(uri), local_only=endpoint is None))

    # Read once by huggingface_hub, when it is imported.
    known = huggingface_hub.constants
    known.HF_HUB_CACHE = download_manager.HF_HUB_CACHE = hub_cache
    known.HF_HUB_OFFLINE = endpoint is None
    if endpoint is not None:
        known.ENDPOINT = endpoint
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE = template
    huggingface_hub.utils.reset_sessions()
    with environment({"FAIRSEQ2_CACHE_DIR": cache_dir}):
        return attempt(find)


@contextmanager
def environment(changes):
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


REQUESTS = {do.__name__: do for do in (files, directory, package, cards, directories, download)}


def main(requests=REQUESTS):
    # Answers alone go where they are read.
    answers, sys.stdout = sys.stdout, sys.stderr
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(requests[name](**arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main()
