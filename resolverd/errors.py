"""The roots of every error resolverd raises on purpose: each says whose fault it is.

A message names the thing at fault, the cause, and where possible what to do about it.
"""

from __future__ import annotations


class ResolverdError(Exception):
    """Something went wrong that resolverd can explain."""


class CardError(ResolverdError):
    """A card, or its base chain, is at fault: its author must mend it."""


class StoreError(ResolverdError):
    """A store can't be found, listed or read."""


class SourceError(ResolverdError):
    """The origin of a checkpoint refused, failed or sent something else than it announced."""


class CacheError(ResolverdError):
    """The local cache can't hold or vouch for an object: no room, no permission, bit rot."""


class ConfigError(ResolverdError):
    """The configuration is at fault; the message holds every problem found, one a line."""
