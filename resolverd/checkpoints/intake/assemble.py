"""Puts an object's tree together from verified files: placed as they are, or unpacked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace

from resolverd.checkpoints import archive, disk
from resolverd.checkpoints.asset import digest
from resolverd.checkpoints.asset.digest import Digest
from resolverd.checkpoints.asset.manifest import Entry
from resolverd.checkpoints.faults import VerificationError
from resolverd.checkpoints.intake import completeness
from resolverd.checkpoints.intake.errand import Errand
from resolverd.checkpoints.intake.hashing import hash_file
from resolverd.errors import SourceError

_TREE = "/"  # no file's name


def assemble(errand: Errand, fetched: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Put the object's tree together.

    Returns:
        The files it holds.

    Raises:
        VerificationError: When an archive is damaged or refused, or the files are not those that
            the card names; the first file is in quarantine.
    """
    tree = errand.layout.tree(errand.asset)
    disk.remove_tree(tree)
    first = fetched[0].path
    data = errand.whole(first)
    try:
        if (
            len(fetched) == 1
            and not errand.wanted.is_repository
            and archive.is_archive(data, first)
        ):
            return _unpacked(errand, first, tree)
        digest.check_names(errand.card, [entry.path for entry in fetched], errand.wanted.shown)
    except SourceError as error:
        errand.quarantine(data, str(error).rstrip("."))
    for entry in fetched:
        disk.place(errand.whole(entry.path), tree, entry.path)
    return _complete(errand, tree, fetched)


def _unpacked(errand: Errand, name: str, tree: str) -> tuple[Entry, ...]:
    """Unpack the archive ``name``, and hold its members against the card."""
    data = errand.data(name)
    errand.job.enter("unpacking")
    errand.claim.hold({_TREE: archive.unpacked_size(data, name, errand.limits, errand.job)})
    files = archive.unpack(data, name, tree, errand.limits, errand.job)
    inside = {member: said for member, said in errand.card.items() if member}
    digest.check_names(inside, [name, *(entry.path for entry in files)], errand.wanted.shown)
    return _complete(errand, tree, tuple(_checked(errand, tree, files, inside)))


def _complete(errand: Errand, tree: str, files: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """The files, unless an index among them names others."""
    if lack := completeness.gap(tree, [entry.path for entry in files]):
        raise VerificationError(f"{errand.wanted.shown}: {lack}. It is not served.")
    return files


def _checked(
    errand: Errand, tree: str, files: tuple[Entry, ...], card: Mapping[str, Digest]
) -> Iterator[Entry]:
    """The files, with the digests that the card speaks of."""
    for entry in files:
        digests, said = dict(entry.digests), card.get(entry.path)
        if said and said.algorithm not in digests:
            path = os.path.join(tree, entry.path)
            digests |= hash_file(path, [said.algorithm], errand.job)
        if said and digests[said.algorithm] != said.hex:
            raise VerificationError(f"{entry.path} is not {said}, as the card says")
        yield replace(entry, digests=digests)
