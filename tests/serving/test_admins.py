"""Who may change the cache."""

from __future__ import annotations

import pytest
from resolverd_client import RequestError

from resolverd.serving.cache_requests import Admins
from resolverd.serving.call import Peer

ADMINS = Admins(frozenset({0, 500}), 77, "ml-admins")


@pytest.mark.parametrize(
    "peer", [Peer(1, 0, 0), Peer(1, 500, 9), Peer(1, 1000, 77), Peer(1, 1000, 9, (8, 77))]
)
def test_root_the_daemons_user_and_the_groups_members_may(peer: Peer) -> None:
    ADMINS.check(peer)


@pytest.mark.parametrize("peer", [Peer(1, 1000, 9), Peer(1, 77, 9, (8,))])
def test_others_are_told_who_may(peer: Peer) -> None:
    with pytest.raises(RequestError, match="be a member of the group ml-admins") as caught:
        ADMINS.check(peer)
    assert caught.value.code == "denied"


def test_without_a_group_the_setting_is_named() -> None:
    with pytest.raises(RequestError, match=r"cache\.admin_group"):
        Admins(frozenset({0})).check(Peer(1, 1000, 9))
