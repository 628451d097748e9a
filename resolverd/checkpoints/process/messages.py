"""What daemon and worker tell each other, as plain data: each message's two directions together.

:mod:`resolverd.checkpoints.process.wire` makes bytes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.access.rules import Rule
from resolverd.checkpoints.asset.manifest import Manifest
from resolverd.checkpoints.asset.target import Wanted, is_sharded
from resolverd.checkpoints.disk import Layout
from resolverd.checkpoints.limits import Limits
from resolverd.checkpoints.results import Progress, Published
from resolverd.checkpoints.sources.hub.settings import HubSettings
from resolverd.checkpoints.sources.s3.settings import S3Settings


def configuration(layout: Layout, limits: Limits, rules: Policy) -> dict[str, Any]:
    """What a worker is told first."""
    return {
        "root": layout.root,
        "limits": asdict(limits),
        "schemes": list(rules.schemes),
        "file_roots": None if rules.file_roots is None else list(rules.file_roots),
        "s3": asdict(rules.s3),
        "hub": asdict(rules.hub),
        "rules": [asdict(rule) for rule in rules.rules],
        "readers": rules.readers,
    }


def configured(params: Mapping[str, Any]) -> tuple[Layout, Limits, Policy]:
    """Read :func:`configuration`."""
    roots = params["file_roots"]
    rules = Policy(
        tuple(params["schemes"]),
        None if roots is None else tuple(roots),
        S3Settings(**params["s3"]),
        HubSettings(**params["hub"]),
        msgspec.convert(params["rules"], tuple[Rule, ...]),
        None if params["readers"] is None else tuple(params["readers"]),
    )
    return Layout(params["root"]), Limits(**params["limits"]), rules


def request(wanted: Wanted, **options: object) -> dict[str, Any]:
    """What the worker is asked for."""
    checksum = wanted.checksum
    return {
        "asset": wanted.asset,
        "kind": wanted.kind,
        "uri": wanted.uri,
        "checksum": dict(checksum) if isinstance(checksum, Mapping) else checksum,
        "localise": wanted.localise,
        "shards": wanted.shards,
        **options,
    }


def requested(params: Mapping[str, Any]) -> Wanted:
    """Read :func:`request`."""
    keys = ("kind", "uri", "checksum", "localise", "shards")
    return Wanted(*(params[key] for key in keys))


def answer(manifest: Manifest, path: str) -> dict[str, Any]:
    """What the worker found or fetched."""
    return {
        "path": path,
        "key": manifest.key,
        "size": manifest.size,
        "digest": manifest.digest,
        "trust": manifest.trust,
        "stamp": manifest.stamp,
        "files": [entry.path for entry in manifest.files],
        "readers": manifest.readers,
    }


def answered(wanted: Wanted, result: Mapping[str, Any]) -> Published:
    """Read :func:`answer`."""
    return Published(
        path=result["path"],
        key=result["key"],
        uri=wanted.shown,
        kind=wanted.kind,
        size=result["size"],
        digest=result["digest"],
        trust=result["trust"],
        files=tuple(result["files"]),
        readers=None if result["readers"] is None else tuple(result["readers"]),
    )


def verdict(key: str, manifest: Manifest | None, found: Sequence[str]) -> dict[str, Any]:
    """What hashing an object again has shown, and what it takes to fetch it again."""
    shown = {"asset": key.partition("-")[0], "uri": "", "faults": list(found), "origin": None}
    if manifest is None:
        return shown
    said = {entry.path: f"sha256:{entry.digests['sha256']}" for entry in manifest.fetched}
    origin = {
        "kind": manifest.kind,
        "shards": len(manifest.fetched) if is_sharded(manifest.uri) else 0,
        "checksum": _card_word(said) if manifest.trust == "card" else None,
    }
    return {**shown, "uri": manifest.uri, "origin": origin}


def origin_of(result: Mapping[str, Any]) -> Wanted | None:
    """What to ask for so that the object of a :func:`verdict` is fetched again.

    None when nothing tells: its URI had something secret in it, which no manifest holds, or the
    manifest is damaged.
    """
    said = result["origin"]
    if said is None:
        return None
    localise = True  # it was a copy, so it is to be one again
    wanted = Wanted(said["kind"], result["uri"], said["checksum"], localise, said["shards"])
    return wanted if wanted.asset == result["asset"] else None


def _card_word(said: dict[str, str]) -> str | dict[str, str]:
    return next(iter(said.values())) if len(said) == 1 else said


def progress(
    step: str, done: int, total: int | None, rate: float, fault: str | None
) -> dict[str, Any]:
    """How far the worker is, and what went wrong last."""
    return {"step": step, "done": done, "total": total, "rate": rate, "fault": fault}


def progressed(uri: str, event: Mapping[str, Any]) -> Progress:
    """Read :func:`progress`."""
    seen = (event[key] for key in ("done", "total", "rate", "step", "fault"))
    return Progress(uri, *seen)
