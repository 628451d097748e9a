"""Chooses the source for a URI; for the worker alone, as it brings the HTTP library."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

from resolverd.checkpoints.access import policy as access
from resolverd.checkpoints.access import private
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.access.rules import first, routes
from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.target import Wanted
from resolverd.checkpoints.faults import Denied
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.sources.base import Source
from resolverd.checkpoints.sources.file import FileSource
from resolverd.checkpoints.sources.http.connections import Connections, Sign, bearer
from resolverd.checkpoints.sources.http.source import HttpSource
from resolverd.checkpoints.sources.hub.source import HubSource
from resolverd.checkpoints.sources.mirrors import MirroredSource
from resolverd.checkpoints.sources.s3.source import S3Source
from resolverd.checkpoints.sources.shards import ShardedSource


def source_of(wanted: Wanted, limits: Limits, policy: Policy) -> Source:
    """The source for a URI: its own, or those of the mirrors that a rule names.

    Raises:
        Denied: When the policy forbids it, or its scheme is not known.
        SourceError: When a token that it needs can't be read.
    """
    access.check_uri(policy, wanted.normal, wanted.shown)
    if wanted.shards and wanted.scheme != "file":
        shards = {
            name: source_of(replace(wanted, uri=uri, shards=0), limits, policy)
            for name, uri in wanted.each_shard.items()
        }
        return ShardedSource(shards, wanted.shown)
    mirrors = routes(policy.rules, wanted.normal, wanted.shown)
    if not mirrors:
        return _direct(wanted, limits, policy)
    places = [
        partial(_direct, replace(wanted, uri=uri), limits, access.trusting(policy, prefix))
        for prefix, uri in mirrors
    ]
    return MirroredSource(places, wanted.shown, digest.parse_card(wanted.checksum))


def _direct(wanted: Wanted, limits: Limits, policy: Policy) -> Source:
    if wanted.scheme == "file":
        return FileSource(wanted.local_path, policy, tuple(wanted.each_shard))
    if wanted.scheme in {"http", "https"}:
        sign = _shown_to(wanted.normal, policy)
        means = Connections(wanted.shown, limits, policy, sign)
        return HttpSource(wanted.normal, limits, means, private=sign is not None)
    if wanted.scheme == "s3":
        return S3Source(wanted, limits, policy)
    if wanted.scheme == "hg":
        return HubSource(wanted, limits, policy)
    raise Denied(f"{wanted.shown}: scheme {wanted.scheme!r} is not supported.")


def _shown_to(uri: str, policy: Policy) -> Sign | None:
    """Shows the token that a rule names for this URI to what that rule is of, and nobody else.

    A redirect into another rule's realm does not get that rule's token either: what was asked for
    decides who may read the answer.
    """
    rule = first(policy.rules, uri, lambda rule: rule if rule.token else None)
    if rule is None or rule.token is None:
        return None
    token = private.read(rule.token, os.environ)

    def is_its_own(url: str) -> bool:
        return first(policy.rules, url, lambda each: each if each.token else None) is rule

    return bearer(token, is_its_own)
