"""What went bad: out of everyone's sight, but kept for a while, with a report beside it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass

from resolverd.checkpoints import leases
from resolverd.checkpoints.asset.manifest import Manifest
from resolverd.checkpoints.disk.durable import remove, unlink, write
from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.disk.links import drop_links
from resolverd.checkpoints.disk.room import measured
from resolverd.checkpoints.limits import Limits

_REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and with what.

    Attributes:
        asset: Whose file or object it is.
        uri: Where that came from, without secrets.
        reason: What is wrong.
    """

    asset: str
    uri: str
    reason: str


def quarantine(layout: Layout, path: str, finding: Finding, limits: Limits) -> str:
    """Move a bad file or object out of the way.

    Args:
        layout: The cache.
        path: What to move.
        finding: For the report.
        limits: How much to keep in all; the oldest make room.

    Returns:
        The folder that holds it, or only the report when it is too large to be kept.
    """
    stamp = time.time_ns()
    target = os.path.join(layout.folder("quarantine"), f"{stamp:020d}-{finding.asset}")
    os.mkdir(target, 0o700)
    os.rename(path, os.path.join(target, os.path.basename(path)))
    report = {"uri": finding.uri, "reason": finding.reason, "time": time.time()}
    write(os.path.join(target, _REPORT), json.dumps(report, indent=1).encode())
    _bound(layout, limits)
    return target


def withdraw(layout: Layout, manifest: Manifest, reason: str, limits: Limits) -> None:
    """Take a published object that has gone bad out of everyone's sight."""
    for _ in withdrawal(layout, manifest, reason, limits):
        pass


def withdrawal(layout: Layout, manifest: Manifest, reason: str, limits: Limits) -> Iterator[str]:
    """Withdraw an object one step at a time; yields each step's name.

    First nothing leads to it any more, so that nobody is given a new lease on it; then those who
    hold one are told, and told again when a crash has this done twice.
    """
    drop_links(layout, manifest.key)
    yield "links"
    leases.tell(layout.lock(manifest.key), reason, time.time())
    yield "told"
    if os.path.isdir(layout.object(manifest.key)):
        finding = Finding(manifest.asset, manifest.uri, reason)
        quarantine(layout, layout.object(manifest.key), finding, limits)
    yield "object"
    unlink(layout.manifest(manifest.key))
    yield "manifest"


def _bound(layout: Layout, limits: Limits) -> None:
    """Let the oldest give way; of one that alone is too large, the report stays."""
    total = 0
    for count, name in enumerate(sorted(os.listdir(layout.folder("quarantine")), reverse=True)):
        folder = os.path.join(layout.folder("quarantine"), name)
        total += measured(folder)
        if count and (count >= limits.quarantine_most or total > limits.quarantine_bytes):
            shutil.rmtree(folder, ignore_errors=True)
        elif total > limits.quarantine_bytes:
            for item in set(os.listdir(folder)) - {_REPORT}:
                remove(os.path.join(folder, item))
