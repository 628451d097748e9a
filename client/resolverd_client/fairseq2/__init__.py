"""fairseq2, unmodified, on the node's daemon: installing ``resolverd-client`` is all a job needs.

fairseq2 finds ``setup`` by the entry point group ``fairseq2.extension``. With it a job sees what
fairseq2 alone would have shown it: the same stores in the same order, the same cards, the same
``source`` texts. A store comes from the daemon only when the daemon serves that very directory;
any other is loaded by fairseq2 as ever. Without a daemon fairseq2 works as if this were not there.

Two things differ on purpose. Where one bad or duplicate card would make fairseq2 refuse a whole
store, the job gets the good cards and a warning. And with ``RESOLVERD_LOCALISE=1`` checkpoints
that cards name by a path are read through the daemon's cache.
"""

from __future__ import annotations

import os
from typing import Any

from resolverd_client.fairseq2 import internals, localise
from resolverd_client.fairseq2.node import Node, log

__all__ = ["setup"]

_said: set[str] = set()


def setup(container: Any) -> None:
    """Have a container of fairseq2 answer from the node's daemon.

    All or nothing: when this fairseq2 is not built as expected, nothing is changed and a warning
    says so, once in a process.

    Args:
        container: fairseq2's ``DependencyContainer``, with everything of its own registered.
    """
    if os.environ.get("RESOLVERD_FAIRSEQ2", "").lower() in ("off", "0", "no", "false"):
        return
    reason = internals.unfit(container)
    if reason is not None:
        if reason not in _said:
            _said.add(reason)
            log.warning("resolverd leaves fairseq2 as it is: %s", reason)
        return
    # These import fairseq2's own modules, whose names are known to be there by now.
    from resolverd_client.fairseq2.download import NodeDownloadManager  # noqa: PLC0415
    from resolverd_client.fairseq2.environment import offer_environment  # noqa: PLC0415
    from resolverd_client.fairseq2.reload import following  # noqa: PLC0415
    from resolverd_client.fairseq2.stores import NodeFileLoader, NodePackageLoader  # noqa: PLC0415

    node, localising = Node(os.environ), localise.wanted(os.environ)
    internals.wrap(
        container,
        {
            "FileAssetMetadataLoader": lambda own, _: NodeFileLoader(own, node),
            "PackageAssetMetadataLoader": lambda own, _: NodePackageLoader(own, node),
            "AssetDownloadManager": lambda own, resolver: NodeDownloadManager(
                own, node, resolver, localising=localising
            ),
            "AssetStore": lambda own, _: following(own, node, localising=localising),
        },
    )
    offer_environment(container, node)
