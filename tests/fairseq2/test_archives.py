"""Archives that fairseq2 unpacks as far as it gets, and resolverd refuses as a whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from resolverd_client import VerificationError

from tests.checkpoints.origin import Origin
from tests.checkpoints.test_archive import member, tar, zipped
from tests.checkpoints.test_hostile_archives import ZIPS, files
from tests.daemon.running import daemon

pytestmark = pytest.mark.fairseq2


@pytest.fixture(scope="module")
def node():
    with daemon() as running:
        yield running


@pytest.fixture
def both(fairseq2, node, tmp_path):
    """What fairseq2's own download makes of an archive: an error, or files; and our refusal."""

    def fetch(name, data):
        with Origin() as origin:
            origin.put(f"/{name}", data)
            uri, cache = origin.url(f"/{name}"), str(tmp_path / "theirs")
            theirs = fairseq2.ask(
                "download",
                uri=uri,
                kind="model",
                cache_dir=cache,
                hub_cache=cache,
                endpoint="http://127.0.0.1:1",  # so that it downloads at all
            )
            with pytest.raises(VerificationError) as refused:
                node.client().path(uri=uri, kind="model", timeout=60)
        if isinstance(theirs, str):
            theirs = sorted(os.listdir(theirs)) if os.path.isdir(theirs) else [Path(theirs).name]
        return theirs, str(refused.value)

    return fetch


def test_a_compressed_tar_is_read_by_neither_whatever_its_name(both):
    theirs, ours = both("m.bin", tar((member("a"), b"x"), mode="w:gz"))
    assert theirs["refused"][0][0] == "ReadError"
    assert "m.bin: is a compressed tar" in ours


def test_an_encrypted_zip_is_read_by_neither(both):
    theirs, ours = both("m.zip", ZIPS["encrypted"]())
    assert theirs["refused"][0][0] == "RuntimeError"
    assert "member 'a.bin' is encrypted" in ours


def test_a_tar_that_was_cut_off_is_not_taken_for_a_smaller_one(both):
    theirs, ours = both("m.tar", files("a", "b", "c")[: 4 * 512])
    assert theirs == ["a", "b"]
    assert "cut off" in ours


def test_of_two_members_with_one_name_none_is_chosen(both):
    theirs, ours = both("m.tar", tar((member("a"), b"x"), (member("a"), b"y"), (member("b"), b"")))
    assert theirs == ["a", "b"]
    assert "member 'a' is there twice" in ours


def test_a_member_that_leads_out_is_not_put_elsewhere(both, tmp_path):
    theirs, ours = both("m.tar", files("../out", "b", "c"))
    assert theirs == ["b", "c"]
    assert (tmp_path / "theirs/out").exists()
    assert "member '../out' leads out" in ours


def test_a_member_that_leads_out_of_a_zip_is_not_renamed(both):
    theirs, ours = both("m.zip", zipped(("../../in", b"x"), ("b", b"x")))
    assert theirs == ["b", "in"]
    assert "member '../../in' leads out" in ours
