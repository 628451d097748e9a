"""Unpacks what fairseq2 0.8.1 would unpack: ``*.zip``, and plain tar files whatever their name.

``kinds`` tells what is an archive, ``zips`` and ``tars`` read its members, ``rules`` (pure) says
which of them may be made, and ``unpack`` makes them. All members are looked at before the first is
made: one that may not be refuses the whole archive, by its name, and nothing is left of it.
"""

from resolverd.checkpoints.archive.kinds import is_archive
from resolverd.checkpoints.archive.unpack import unpack, unpacked_size

__all__ = ["is_archive", "unpack", "unpacked_size"]
