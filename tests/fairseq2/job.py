"""A job: the real fairseq2, with whatever is installed beside it, doing what it is told.

Takes all requests of oracle.py, and those of a job that lives on from one request to the next.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import runpy
import sys
import time
from functools import partial
from pathlib import Path

import fairseq2
import oracle
import torch
from exact import tree
from fairseq2.assets import AssetCardError, AssetDownloadManager, AssetStore
from fairseq2.assets.cli import _main
from fairseq2.composition import register_file_assets, register_package_assets
from fairseq2.data.tokenizers.hub import load_tokenizer
from fairseq2.gang import ProcessGroupGang, create_parallel_gangs
from fairseq2.models.hub import load_model
from fairseq2.models.llama import LLaMAConfig, get_llama_model_hub
from fairseq2.nn import BatchLayout
from fairseq2.runtime.dependency import DependencyContainer
from fairseq2.utils.progress import ProgressReporter, ProgressTask
from fairseq2.utils.uri import Uri

try:
    from resolverd_client.fairseq2 import download, setup
except ImportError:  # fairseq2 alone
    download = setup = None

kept = {}


def arranged(paths=(), packages=(), names=(), environ=None, site_dirs=()):
    """All that a job can see of the stores of one arrangement, or fairseq2's refusal."""

    def see():
        store = opened(paths, packages)
        return {
            "names": sorted(store.asset_names),
            "cards": {
                name: oracle.attempt(seen, store, name)
                for name in sorted({*(n.partition("@")[0] for n in store.asset_names), *names})
            },
            "found": found(store),
        }

    sys.path[:0] = [each for each in site_dirs if each not in sys.path]
    with oracle.environment(environ or {}):
        return oracle.attempt(see)


def sources(paths=(), packages=(), environ=None):
    """Where each store's cards come from, in fairseq2's order."""
    with oracle.environment(environ or {}):
        store = opened(paths, packages)
        providers = getattr(store, "_own", store)._metadata_providers
        return [[each.source, type(each).__name__] for each in providers]


def opened(paths, packages):
    container = oracle.fresh()
    for path in paths:
        register_file_assets(container, Path(path))
    for package in packages:
        register_package_assets(container, package)
    return container.resolve(AssetStore)


def found(store):
    """Names by a field's value; a broken card anywhere ends the search, in no certain order."""
    try:
        return sorted(card.name for card in store.find_cards("model_family", "llama"))
    except AssetCardError:
        return "a broken card"


def seen(store, name):
    card = store.maybe_retrieve_card(name)
    return card and {"chain": oracle.chain(card), "fields": oracle.fields(card)}


def keep(paths=(), environ=None):
    """Open a store that later requests ask; it lives as long as the job."""
    with oracle.environment(environ or {}), told() as warnings:
        kept["container"] = container = oracle.fresh()
        for path in paths:
            register_file_assets(container, Path(path))
        kept["store"] = oracle.attempt(container.resolve, AssetStore)
    return {"warnings": warnings}


def ask(name):
    """A card of the kept store: the fields of its chain, or the refusal."""

    def look():
        card = kept["store"].maybe_retrieve_card(name)
        return card and [tree({**link}) for link in metadata_of(card)]

    begin = time.monotonic()
    with told() as warnings:
        answer = oracle.attempt(look)
    return {"card": answer, "warnings": warnings, "seconds": time.monotonic() - begin}


def metadata_of(card):
    while card is not None:
        yield {k: v for k, v in card.metadata.items() if not k.startswith("__")}
        card = card.base


def names():
    return sorted(kept["store"].asset_names)


def hurry(seconds):
    """Have the kept store's client wait no longer than this, and count what it asks."""
    link, kept["asked"] = kept["store"]._node._link, []
    link.timeout, reply = seconds, link.reply

    def counted(*request):
        kept["asked"].append(request)
        return reply(*request)

    link.reply = counted


def asked():
    return len(kept["asked"])


def requests():
    """How many requests the kept store's client has sent."""
    return sum(each._ident for each in kept["store"]._node._link.idle)


def fetch(uri, kind="model", environ=None, **options):
    """Download as fairseq2 does; the path and what it holds, or the refusal."""

    bars = Bars()

    def do():
        container = oracle.fresh()
        del container._registrations[ProgressReporter, "download_reporter"]
        container.register_instance(ProgressReporter, bars, key="download_reporter")
        manager = container.resolve(AssetDownloadManager)
        path = Path(getattr(manager, f"download_{kind}")(Uri.parse(uri), **options))
        files = [path] if path.is_file() else sorted(path.glob("*"))
        return {"path": str(path), "files": {each.name: digest(each) for each in files}}

    with oracle.environment(environ or {}), told() as warnings:
        answer = oracle.attempt(do)
    return {"answer": answer, "warnings": warnings, "bars": bars.bars}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Bars(ProgressReporter):
    """Notes what is shown: total and steps of each bar, and whether it was ended in good order."""

    def __init__(self):
        self.bars = []

    def create_task(self, name, total, completed=0, *, start=True):
        self.bars.append({"name": name, "total": total, "done": completed, "open": True})
        return Bar(self.bars[-1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Bar(ProgressTask):
    def __init__(self, shown):
        self.shown = shown

    def step(self, value=1):
        self.shown["done"] += value

    def start(self):
        pass

    def close(self):
        self.shown["open"] = False


SMALL = {"model_dim": 32, "num_layers": 1, "num_attn_heads": 2, "num_key_value_heads": 2}
SMALL |= {"vocab_size": 64, "max_seq_len": 32, "ffn_inner_dim": 64}


def checkpoint(path):
    """Make a small model of fairseq2's own classes: its configuration, the sum of its weights."""
    model = get_llama_model_hub().create_new_model(LLaMAConfig(**SMALL))
    torch.save({"model": model.state_dict()}, path)
    return {"config": SMALL, "sum": weights(model)}


def model(name, environ, rank=None):
    """Load a model by its name, as any researcher does, and have it compute something.

    With a rank: as one of a gang of two, which meet over gloo.
    """
    os.environ.update(environ)
    download._leases.clear()  # those of the job that this is a child of
    gangs = None
    if rank is not None:
        os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1")
        root = ProcessGroupGang.create_default_process_group(torch.device("cpu"))
        gangs = create_parallel_gangs(root)
    with told() as warnings:
        found = load_model(name, gangs=gangs) if gangs else load_model(name)
    with torch.inference_mode():
        seqs = torch.arange(6).unsqueeze(0)
        shape = list(found(seqs, BatchLayout.of(seqs)).shape)
    paths = list(map(str, download._leases))
    return {"sum": weights(found), "shape": shape, "paths": paths, "warnings": warnings}


def tokenizer(name, environ):
    """Load a tokenizer by its name, and have it encode a text."""
    os.environ.update(environ, TIKTOKEN_CACHE_DIR="")
    download._leases.clear()  # those of the job that this is a child of
    tokens = load_tokenizer(name).create_raw_encoder()("hello").tolist()
    return {"tokens": tokens, "paths": list(map(str, download._leases))}


def weights(model):
    return float(sum(each.double().abs().sum() for each in model.parameters()))


def strange(version):
    """Set the extension up in a fairseq2 of another version, or of another build."""
    with told() as warnings:
        containers = []
        for _ in range(2):
            before, fairseq2.__version__ = fairseq2.__version__, version or fairseq2.__version__
            try:
                container = DependencyContainer() if version is None else oracle.fresh()
                if version is None:
                    setup(container)
            finally:
                fairseq2.__version__ = before
            containers.append(container)
    made = [type(each.maybe_resolve(AssetStore)).__name__ for each in containers]
    return {"warnings": warnings, "stores": made}


def late():
    """Set the extension up in a container that takes nothing new any more."""
    container = oracle.fresh()
    container.resolve(AssetStore)
    registrations, keys = dict(container._registrations), {**container._keys}
    refusal = oracle.attempt(setup, container)["refused"][0][0]
    same = registrations == container._registrations and keys == container._keys
    return {"refused": refusal, "same": same}


def twice(paths, environ):
    """Set the extension up once more than its entry point does."""
    with oracle.environment(environ):
        container = oracle.fresh()
        setup(container)
        for path in paths:
            register_file_assets(container, Path(path))
        return sorted(container.resolve(AssetStore).asset_names)[:1]


def command(arguments, environ):
    """What ``python -m fairseq2.assets`` prints; run in a child, where it may do as it likes."""
    os.environ.update(environ)
    sys.argv = ["assets", *arguments]
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            _main()
        except SystemExit as end:
            return [end.code, output.getvalue()]
    return [0, output.getvalue()]


def told_by_command(environ):
    """What ``python -m resolverd_client.fairseq2`` prints; run in a child."""
    os.environ.update(environ)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            runpy.run_module("resolverd_client.fairseq2", run_name="__main__")
        except SystemExit as end:
            return [end.code, output.getvalue()]
    return None


def together(calls):
    """Run requests at once, each in a forked child; give their answers in order."""
    pipes = [os.pipe() for _ in calls]
    children = []
    for (name, arguments), (reading, writing) in zip(calls, pipes, strict=True):
        pid = os.fork()
        if not pid:
            with os.fdopen(writing, "w") as out:
                os.close(reading)
                json.dump(oracle.attempt(partial(REQUESTS[name], **arguments)), out)
            os._exit(0)
        children.append(pid)
        os.close(writing)
    answers = []
    for reading, _ in pipes:
        with os.fdopen(reading) as stream:
            answers.append(json.load(stream))
    for pid in children:
        os.waitpid(pid, 0)
    return answers


@contextlib.contextmanager
def told():
    """Collect the warnings of resolverd's extension."""
    lines = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("resolverd_client")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


REQUESTS = {
    **oracle.REQUESTS,
    **{
        do.__name__: do
        for do in (
            arranged, sources, keep, ask, names, requests, fetch, command, together, strange,
            checkpoint, model, tokenizer, hurry, asked, late, twice, told_by_command,
        )
    },
}  # fmt: skip


if __name__ == "__main__":
    oracle.main(REQUESTS)
