"""What went bad: out of everyone's sight, but kept for a while, with a report beside it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from dataclasses import dataclass

from resolverd.checkpoints.disk.durable import unlink, write
from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.manifest import Manifest


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


def quarantine(layout: Layout, path: str, finding: Finding, keep: int) -> str:
    """Move a bad file or object out of the way.

    Args:
        layout: The cache.
        path: What to move.
        finding: For the report.
        keep: How many to keep in all; the oldest make room.

    Returns:
        The folder it is kept in.
    """
    stamp = time.time_ns()
    target = os.path.join(layout.folder("quarantine"), f"{stamp:020d}-{finding.asset}")
    os.mkdir(target, 0o700)
    os.rename(path, os.path.join(target, os.path.basename(path)))
    report = {"uri": finding.uri, "reason": finding.reason, "time": time.time()}
    write(os.path.join(target, "report.json"), json.dumps(report, indent=1).encode())
    for name in sorted(os.listdir(layout.folder("quarantine")))[:-keep]:
        shutil.rmtree(os.path.join(layout.folder("quarantine"), name), ignore_errors=True)
    return target


def withdraw(layout: Layout, manifest: Manifest, reason: str, keep: int) -> None:
    """Take a published object that has gone bad out of everyone's sight."""
    link = layout.link(manifest.asset)
    with contextlib.suppress(OSError):
        if os.path.basename(os.readlink(link)) == manifest.key:
            os.unlink(link)
    if os.path.isdir(layout.object(manifest.key)):
        finding = Finding(manifest.asset, manifest.uri, reason)
        quarantine(layout, layout.object(manifest.key), finding, keep)
    unlink(layout.manifest(manifest.key))
