"""The environment that the daemon is configured for, offered to jobs that chose none."""

from __future__ import annotations

from typing import Any

from fairseq2.assets.store import AssetEnvironmentResolver

from resolverd_client.fairseq2.node import Node


def offer_environment(container: Any, node: Node) -> None:
    """Register a resolver of the environment that gives way to all others.

    fairseq2 takes the first environment that a resolver names, in the order of registration; the
    job's own, which may be registered later, is asked first all the same.

    Args:
        container: fairseq2's ``DependencyContainer``.
        node: The daemon.
    """

    def offered(resolver: Any) -> str | None:
        for other in resolver.collection.resolve(AssetEnvironmentResolver):
            if not getattr(other, "gives_way", False):
                chosen = other(resolver)
                if chosen is not None:
                    return chosen  # type: ignore[no-any-return]
        node.stores()
        return None if node.gone else node.environment

    offered.gives_way = True  # type: ignore[attr-defined]  # or two of them would ask each other
    container.collection.register_instance(AssetEnvironmentResolver, offered)
