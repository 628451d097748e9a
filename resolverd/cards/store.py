"""A store: where cards come from, before anything is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Store:
    """One place that holds cards.

    Attributes:
        source: The text fairseq2 0.8.1 gives as ``__source__``: ``path:DIR`` or ``package:NAME``.
        location: A directory or single file, or a package's dotted name.
        is_package: Whether ``location`` is a package.
        site_dir: For a package: the site-packages folder to look in; None for this environment.
        precedence: Of one name in several stores the card of the lowest number wins.
        optional: Whether its absence is normal (fairseq2's well-known directories).
        poll: True forces polling, False forbids it, None decides by the file system.
    """

    source: str
    location: str
    is_package: bool = False
    site_dir: str | None = None
    precedence: int = 0
    optional: bool = False
    poll: bool | None = None
