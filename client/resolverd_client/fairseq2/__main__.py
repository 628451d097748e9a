"""Tells whether fairseq2 answers from the daemon here: ``python -m resolverd_client.fairseq2``."""

from __future__ import annotations

import os
import sys
from typing import Any

from resolverd_client.fairseq2 import internals
from resolverd_client.fairseq2.node import Node


def main() -> int:
    """Print each store of this environment's fairseq2 and who reads it.

    Returns:
        The exit code: 0 when the daemon serves at least one of them.
    """
    from fairseq2.assets import get_asset_store  # noqa: PLC0415 -- seconds; only here

    store = get_asset_store()
    providers = internals.providers_of(getattr(store, "own", store)) or []
    print(f"fairseq2 {internals.version()}: {len(store.asset_names)} assets")
    for provider in providers:
        print(f"  {_reader(provider):<10} {provider.source}")
    node = Node(os.environ)
    print(f"daemon: {node.server or 'none answers'}")
    return 0 if any(_reader(each) == "resolverd" for each in providers) else 1


def _reader(provider: Any) -> str:
    return "resolverd" if getattr(provider, "live", False) else "fairseq2"


if __name__ == "__main__":
    sys.exit(main())
