"""The cache on disk: where everything lies, and how it comes to lie there without half-states.

``layout`` names it all, ``cache`` makes it ours, ``partial`` is what is on its way, ``objects``
what is published, ``quarantine`` what went bad; ``removal`` takes an object away, and ``links``
what leads to it (``hub`` those in Hugging Face's layout); ``inventory`` lists what takes room,
``room`` measures it, ``pins`` says what must stay; ``sweep`` removes what a crash left, and
``durable`` holds the steps that survive a power cut and ``permissions`` says who may read.
"""

from resolverd.checkpoints.disk.cache import explained, own, prepare
from resolverd.checkpoints.disk.durable import remove_tree, write
from resolverd.checkpoints.disk.inventory import inventory
from resolverd.checkpoints.disk.layout import Layout
from resolverd.checkpoints.disk.links import drop_links
from resolverd.checkpoints.disk.objects import (
    admit,
    adopt,
    current,
    found_right,
    leads_to,
    publication,
    verified_at,
    visible_path,
    whole,
)
from resolverd.checkpoints.disk.partial import (
    discard,
    drop_kept,
    first_gap,
    keep,
    partials,
    place,
    prune,
)
from resolverd.checkpoints.disk.pins import pin, pinned_as, pins, unpin
from resolverd.checkpoints.disk.quarantine import Finding, quarantine, withdraw, withdrawal
from resolverd.checkpoints.disk.records import read_manifest, record
from resolverd.checkpoints.disk.removal import evict, removal
from resolverd.checkpoints.disk.room import allocated, free_bytes, kept_at_hand, listed, measured
from resolverd.checkpoints.disk.sweep import set_aside_unknown, sweep

__all__ = [
    "Finding",
    "Layout",
    "admit",
    "adopt",
    "allocated",
    "current",
    "discard",
    "drop_kept",
    "drop_links",
    "evict",
    "explained",
    "first_gap",
    "found_right",
    "free_bytes",
    "inventory",
    "keep",
    "kept_at_hand",
    "leads_to",
    "listed",
    "measured",
    "own",
    "partials",
    "pin",
    "pinned_as",
    "pins",
    "place",
    "prepare",
    "prune",
    "publication",
    "quarantine",
    "read_manifest",
    "record",
    "removal",
    "remove_tree",
    "set_aside_unknown",
    "sweep",
    "unpin",
    "verified_at",
    "visible_path",
    "whole",
    "withdraw",
    "withdrawal",
    "write",
]
