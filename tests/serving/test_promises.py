"""What cards promise about a URI that is asked for by itself."""

from __future__ import annotations

import pytest
from resolverd_client import RequestError

from resolverd.cards.index import build
from resolverd.cards.resolve import environments, resolve
from resolverd.errors import CardError
from resolverd.serving.promises import promised
from resolverd.serving.targets import Asset
from tests.cards.making import CODEC, make_cards

URI = "https://h/m.pt"
CARD = f"name: a\ncheckpoint: {URI}\nchecksum: sha256:{'a' * 64}\n"
TOKENIZER = f"name: t\ntokenizer: {URI}\nchecksum: sha256:{'b' * 64}\n"


def checksum(*cards: str, asset: Asset = Asset("model", URI)) -> object:  # noqa: B008 (frozen)
    index = build([make_cards({f"{i}.yaml": text for i, text in enumerate(cards)})])

    def resolution(name, env):
        try:
            found = resolve(index, name, environments(env), CODEC)
        except CardError as error:
            raise RequestError(str(error)) from error
        assert found is not None
        return found

    return promised(asset, index, resolution).checksum


def test_a_cards_checksum_holds_for_its_uri():
    assert checksum(CARD) == f"sha256:{'a' * 64}"


def test_a_derived_card_promises_what_its_base_does():
    assert checksum(CARD, "name: b\nbase: a\nx: 1\n") == f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    "card",
    [
        f"name: a\ncheckpoint: {URI}\n",
        CARD.replace(URI, f"{URI}.old"),
        f"name: a\nnote: {URI}\nchecksum: sha256:{'a' * 64}\n",
        f"{CARD}base: nowhere\n",
        TOKENIZER,
    ],
)
def test_other_cards_promise_nothing(card):
    assert checksum(card) is None


def test_cards_that_contradict_each_other_promise_nothing():
    assert checksum(CARD, CARD.replace("aaaa", "cccc").replace("name: a", "name: b")) is None


def test_a_file_of_another_kind_has_its_own_promise():
    assert checksum(CARD, TOKENIZER, asset=Asset("tokenizer", URI)) == f"sha256:{'b' * 64}"
