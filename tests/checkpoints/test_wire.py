from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from resolverd.checkpoints.process import wire

messages = st.tuples(
    st.integers(0, 2**31),
    st.text(max_size=8),
    st.dictionaries(
        st.text(max_size=8), st.integers(-(2**60), 2**60) | st.text(max_size=20), max_size=4
    ),
)


@given(st.lists(messages, max_size=5), st.integers(1, 40))
def test_messages_come_out_as_they_went_in_however_the_stream_is_cut(
    sent: list[tuple[int, str, dict[str, object]]], step: int
) -> None:
    stream = b"".join(wire.encode(*message) for message in sent)
    decoder = wire.Decoder()
    found = [
        message
        for at in range(0, len(stream), step)
        for message in decoder.feed(stream[at : at + step])
    ]
    assert found == sent
