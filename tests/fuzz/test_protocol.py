"""Whatever the split, the same messages; whatever the value, the same value and type back."""

from __future__ import annotations

import contextlib
import datetime
import math
from collections import OrderedDict, deque
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resolverd_client import protocol
from resolverd_client.errors import ProtocolError

offsets = st.integers(-86_399, 86_399).map(lambda s: datetime.timedelta(seconds=s))
zones = st.one_of(
    st.builds(datetime.timezone, offsets),
    st.builds(datetime.timezone, offsets, st.sampled_from(["Z", "+01:00", "-5", "é"])),
)


def unfolded(times: st.SearchStrategy[datetime.datetime]) -> st.SearchStrategy[datetime.datetime]:
    """No YAML says which of two equal wall clock times it means."""
    return times.map(lambda time: time.replace(fold=0))


hashable = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.binary(),
        st.text(st.characters()), st.dates(), unfolded(st.datetimes()),
        unfolded(st.datetimes(timezones=zones)),
    ),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=5,
)  # fmt: skip
paths = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).map(Path)
values = st.recursive(
    st.one_of(hashable, st.just(math.nan), paths, st.just(Path("/a\udcff"))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(hashable, inner, max_size=4),
        st.dictionaries(hashable, inner, max_size=4).map(OrderedDict),
        st.sets(hashable, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=True)
        return len(one) == len(other) and all(same(a, b) for a, b in pairs)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, set):
        return one == other and {*map(repr, one)} == {*map(repr, other)}
    return repr(one) == repr(other)


@given(values)
def test_a_value_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    assert same(protocol.unpack(protocol.pack(value)), value)


@given(st.sets(hashable))
def test_equal_sets_give_equal_bytes(value: set[Any]) -> None:
    assert protocol.pack(value) == protocol.pack(set(sorted(value, key=repr)))  # noqa: C414 (another order)


@pytest.mark.parametrize("value", [object(), 1j, frozenset(), datetime.time(1), {"a": [object()]}])
def test_a_type_without_a_form_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="can't be sent"):
        protocol.pack(value)


def test_what_holds_itself_is_a_value_error() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(ValueError, match="recursion limit"):
        protocol.pack(value)
    ring: list[object] = []
    ring.append((ring,))
    with pytest.raises(ValueError, match="deep"):
        protocol.pack(ring)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_protocol_error(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        protocol.unpack(data)


@given(values, st.data())
def test_damaged_values_are_a_value_or_a_protocol_error(value: Any, data: st.DataObject) -> None:
    packed = bytearray(protocol.pack(value))
    packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        protocol.unpack(bytes(packed))


@pytest.mark.parametrize("code", [5, 6, 8])
def test_extensions_inside_each_other_without_end_are_a_protocol_error(code: int) -> None:
    data = b"\xc0"
    for _ in range(3000):
        body = b"\x91" + data
        data = b"\xc9" + len(body).to_bytes(4, "big") + bytes([code]) + body
    with pytest.raises(ProtocolError):
        protocol.unpack(data)


messages = st.lists(st.tuples(st.just(0), st.integers(0, 300), st.text(), st.lists(values)))


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(ends)]


@given(messages, st.lists(st.integers(0, 10_000)))
def test_any_split_gives_the_same_messages(sent: list[Any], cuts: list[int]) -> None:
    data = b"".join(protocol.pack(list(message)) for message in sent)
    reader = protocol.FrameReader(1 << 20)
    got = [message for piece in pieces(data, cuts) for message in reader.feed(piece)]
    assert same(got, [list(message) for message in sent])
    assert reader.pending == 0


def outcome(parts: list[bytes]) -> tuple[list[str], str | None]:
    reader = protocol.FrameReader(500, 20)
    got = []
    try:
        for part in parts:
            for message in reader.feed(part):
                got.append(repr(message))  # noqa: PERF401 (those before a fault count)
    except ProtocolError as error:
        return got, error.code
    return got, None


@settings(max_examples=300)
@given(st.lists(st.one_of(st.binary(max_size=60), values.map(protocol.pack)), max_size=8))
def test_bad_bytes_have_the_same_outcome_whole_and_byte_by_byte(parts: list[bytes]) -> None:
    data = b"".join(parts)
    whole, fault = outcome([data])
    bytewise, late_fault = outcome([bytes([byte]) for byte in data])
    # A size announced beyond the bound may be seen early; the messages are the same.
    assert bytewise == whole
    assert (fault is None) == (late_fault is None)


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_a_message_over_the_bound_is_refused_however_it_comes(size: int) -> None:
    data = protocol.pack([0, 1, "x", ["y" * 90] * 12])
    reader = protocol.FrameReader(1000)
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    with pytest.raises(ProtocolError, match="exceeds 1000 bytes"):
        deque(chain.from_iterable(map(reader.feed, parts)))


@given(st.recursive(st.none(), lambda inner: st.lists(inner, min_size=1, max_size=2)))
def test_nesting_counts_levels(value: object) -> None:
    def depth(item: object) -> int:
        return 1 + max(map(depth, item)) if isinstance(item, list) else 0

    assert protocol.nesting(value, depth(value))
    assert depth(value) == 0 or not protocol.nesting(value, depth(value) - 1)
