from __future__ import annotations

import os

import pytest
from resolverd_client.errors import RequestError

from resolverd.serving.call import Peer
from resolverd.serving.readers import check_reader


@pytest.mark.parametrize(
    ("peer", "readers"),
    [
        (Peer(1, 5, 5), None),
        (Peer(1, 0, 0), ()),
        (Peer(1, os.geteuid(), 5), ()),
        (Peer(1, 5, 7), (6, 7)),
        (Peer(1, 5, 5, (8, 7)), (7,)),
    ],
)
def test_who_may_read_is_told(peer: Peer, readers: tuple[int, ...] | None) -> None:
    check_reader(peer, readers, "x")


@pytest.mark.parametrize(("peer", "readers"), [(Peer(1, 5, 5), ()), (Peer(1, 7, 5, (8,)), (7,))])
def test_who_may_not_is_denied_with_what_helps(peer: Peer, readers: tuple[int, ...]) -> None:
    with pytest.raises(RequestError, match="read_groups") as caught:
        check_reader(peer, readers, "x")
    assert caught.value.code == "denied"
