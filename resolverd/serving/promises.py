"""What cards promise about a URI that is asked for without one.

fairseq2 asks for a checkpoint by its URI alone. Whatever a card says about that file shall hold all
the same, and a prefetch of the card shall be the very download that such a request waits for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from resolverd_client.errors import ResolverdError

from resolverd.cards.index import Index
from resolverd.serving.targets import Asset, Resolve, read


def promised(asset: Asset, index: Index, resolve: Resolve) -> Asset:
    """Add what the cards that name a URI say about its file.

    Args:
        asset: What was asked for by its URI, without a checksum.
        index: All cards.
        resolve: Gives the merged fields of a name.

    Returns:
        The asset: with a checksum when cards have one, and not several, for this URI; to be copied
        to the local disk when a card says so.
    """
    named = list(_same(asset, index, resolve))
    said = [each.checksum for each in named if each.checksum is not None]
    sure = said[0] if said and all(each == said[0] for each in said) else None
    return replace(asset, checksum=sure, localise=any(each.localise for each in named))


def _same(asset: Asset, index: Index, resolve: Resolve) -> Iterator[Asset]:
    """The files that cards name which are this one; to look for its text spares most cards."""
    local = asset.uri.startswith("file:")  # a card may name it by a path, relative to its own
    text = (asset.uri.rpartition("/")[2] if local else asset.uri).encode("utf-8", "surrogatepass")
    for name in [name for name, card in index.cards.items() if text in card.packed]:
        try:
            named = read({"name": name}, resolve)
        except ResolverdError:
            continue  # a broken card promises nothing
        yield from (each for each in named if (each.uri, each.kind) == (asset.uri, asset.kind))
