"""What the configuration says of fetching, as the checkpoint engine takes it."""

from __future__ import annotations

import grp
from collections.abc import Sequence

from msgspec.structs import asdict

from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.access.rules import EVERYONE, Readers, Rule, Token
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.sources.hub.settings import HubSettings
from resolverd.checkpoints.sources.s3.settings import S3Settings
from resolverd.config import Settings
from resolverd.rule_settings import RuleSettings

_KINDS = {"token": "text", "token_env": "env", "token_file": "file",
          "token_credential": "credential"}  # fmt: skip


def limits(settings: Settings) -> Limits:
    """The engine's bounds."""
    cache, fetch = settings.cache, settings.fetch
    return Limits(
        concurrency=fetch.concurrency,
        host_concurrency=fetch.host_concurrency,
        bandwidth=int(fetch.bandwidth),
        host_bandwidth=int(fetch.host_bandwidth),
        connections=fetch.connections,
        attempts=fetch.attempts,
        stall_timeout=fetch.stall_timeout,
        journal_seconds=fetch.journal_seconds,
        min_rate=int(fetch.min_rate),
        max_bytes=None if cache.max_bytes is None else int(cache.max_bytes),
        min_free_bytes=int(cache.min_free_bytes),
        quarantine_bytes=int(cache.quarantine_bytes),
        scrub_seconds=float(cache.scrub),
        scrub_rate=int(cache.scrub_rate),
    )


def policy(settings: Settings, roots: Sequence[str] | None, readers: Readers) -> Policy:
    """The engine's policy.

    Args:
        settings: The configuration.
        roots: Folders that local sources may lie in; None: anywhere.
        readers: Who may read what only a secret gave, where no rule says.
    """
    hub = settings.hub
    return Policy(
        schemes=settings.fetch.schemes,
        file_roots=None if roots is None else tuple(roots),
        s3=S3Settings(**asdict(settings.s3)),
        hub=HubSettings(hub.endpoint, str(hub.token_file) if hub.token_file else None),
        rules=tuple(_rule(each) for each in settings.fetch.rules),
        readers=readers,
    )


def _rule(said: RuleSettings) -> Rule:
    secret = said.secret
    return Rule(
        prefix=said.from_,
        to=said.to,
        proxy=said.proxy,
        allow=said.allow,
        readers=None if said.read_groups is None else tuple(map(_gid, said.read_groups)),
        token=Token(_KINDS[secret[0]], secret[1]) if secret else None,  # type: ignore[arg-type]
        endpoint=said.endpoint,
        region=said.region,
        profile=said.profile,
    )


def _gid(name: str) -> int:
    return EVERYONE if name == "*" else grp.getgrnam(name).gr_gid
