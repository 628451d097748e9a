"""The cache on disk: where everything lies, and how it comes to lie there without half-states.

``layout`` names it all, ``cache`` makes it ours, ``partial`` is what is on its way, ``objects``
what is published, ``quarantine`` what went bad; ``sweep`` removes what a crash left, ``room`` looks
at the space there is, and ``durable`` holds the steps that survive a power cut.
"""

from resolverd.checkpoints.disk.cache import explained, own, prepare
from resolverd.checkpoints.disk.durable import remove_tree, write
from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.disk.objects import (
    adopt,
    current,
    publication,
    read_manifest,
    record,
    visible_path,
    whole,
)
from resolverd.checkpoints.disk.partial import discard, place, resumes_at
from resolverd.checkpoints.disk.quarantine import Finding, quarantine, withdraw
from resolverd.checkpoints.disk.room import allocated, refuse_no_room
from resolverd.checkpoints.disk.sweep import sweep

__all__ = [
    "Finding",
    "Layout",
    "adopt",
    "allocated",
    "current",
    "discard",
    "explained",
    "own",
    "place",
    "prepare",
    "publication",
    "quarantine",
    "read_manifest",
    "record",
    "refuse_no_room",
    "remove_tree",
    "resumes_at",
    "sweep",
    "visible_path",
    "whole",
    "withdraw",
    "write",
]
