"""Chooses the source for a URI; for the worker alone, as it brings the HTTP library."""

from __future__ import annotations

from dataclasses import replace

from resolverd.checkpoints.faults import Denied
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.policy import Policy, check_scheme
from resolverd.checkpoints.sources.base import Source
from resolverd.checkpoints.sources.file import FileSource
from resolverd.checkpoints.sources.http.connections import Connections
from resolverd.checkpoints.sources.http.source import HttpSource
from resolverd.checkpoints.sources.hub.source import HubSource
from resolverd.checkpoints.sources.s3.source import S3Source
from resolverd.checkpoints.sources.shards import ShardedSource
from resolverd.checkpoints.target import Wanted


def source_of(wanted: Wanted, limits: Limits, policy: Policy) -> Source:
    """The source for a URI.

    Raises:
        Denied: When its scheme is not allowed, or not known.
    """
    check_scheme(policy, wanted.scheme, wanted.shown)
    if wanted.scheme == "file":
        return FileSource(wanted.local_path, policy, tuple(wanted.each_shard))
    if wanted.shards:
        shards = {
            name: source_of(replace(wanted, uri=uri, shards=0), limits, policy)
            for name, uri in wanted.each_shard.items()
        }
        return ShardedSource(shards, wanted.shown)
    if wanted.scheme in {"http", "https"}:
        return HttpSource(wanted.normal, limits, Connections(wanted.shown, limits, policy))
    if wanted.scheme == "s3":
        return S3Source(wanted, limits, policy)
    if wanted.scheme == "hg":
        return HubSource(wanted, limits, policy)
    raise Denied(f"{wanted.shown}: scheme {wanted.scheme!r} is not supported.")
