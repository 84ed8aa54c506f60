"""Cutting a byte stream into frames."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pos_protocol.framing import FrameReader, FramingError, frame, swap_tpdu

payload_lists = st.lists(st.binary(min_size=1, max_size=50), max_size=8)


@given(payload_lists, st.lists(st.integers(0, 200), max_size=10))
def test_frames_are_the_same_however_the_stream_is_cut(
    payloads: list[bytes], cuts: list[int]
) -> None:
    """Any cutting gives the payloads that went in, in order."""
    stream = b"".join(frame(payload) for payload in payloads)
    borders = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader = FrameReader()
    got = []
    for start, end in pairwise(borders):
        got += reader.feed(stream[start:end])
    assert got == payloads
    assert reader.buffered_bytes == 0


def test_byte_by_byte() -> None:
    """One byte at a time, a frame appears with its last byte and not before."""
    payloads = [b"a" * 300, b"b", b"c" * 17]
    stream = b"".join(frame(payload) for payload in payloads)
    reader = FrameReader()
    got = [(at, out) for at in range(len(stream)) for out in reader.feed(stream[at : at + 1])]
    assert [out for _, out in got] == payloads
    assert [at for at, _ in got] == [301, 304, 323]


def test_a_thousand_frames_in_one_write() -> None:
    payloads = [bytes([1 + at % 255]) * (1 + at % 180) for at in range(1000)]
    whole = b"".join(frame(payload) for payload in payloads)
    reader = FrameReader()
    assert reader.feed(whole + b"\x00") == payloads
    assert reader.buffered_bytes == 1


@pytest.mark.parametrize("bad", [b"\x00\x00", b"\x00\x65" + bytes(101)])
def test_zero_and_oversized_lengths_end_the_stream(bad: bytes) -> None:
    """The frames before the fault are kept, everything after it is refused."""
    reader = FrameReader(max_frame_bytes=100)
    with pytest.raises(FramingError) as caught:
        reader.feed(frame(b"first") + frame(b"x" * 100) + bad)
    assert caught.value.frames == (b"first", b"x" * 100)
    with pytest.raises(FramingError) as again:
        reader.feed(frame(b"good"))
    assert again.value.frames == ()
    assert reader.buffered_bytes == 0


def test_a_whole_oversized_frame_alone_is_refused_too() -> None:
    """The quick way for one frame in one read keeps the bound."""
    with pytest.raises(FramingError, match="101 bytes, above the bound of 100"):
        FrameReader(100).feed(frame(bytes(101)))


def test_the_buffer_is_bounded_by_one_frame() -> None:
    """However long a peer sends an unfinished frame, no more than it is kept."""
    reader = FrameReader(max_frame_bytes=100)
    for _ in range(51):
        reader.feed(frame(b"y" * 100) + (b"\x00\x64" + b"z" * 99))
        assert reader.buffered_bytes <= 102
        assert reader.feed(b"z") == [b"z" * 99 + b"z"]


@pytest.mark.parametrize("size", [0, 65536])
def test_a_payload_that_has_no_length_cannot_be_framed(size: int) -> None:
    with pytest.raises(FramingError):
        frame(bytes(size))


def test_tpdu_swap_exchanges_source_and_destination() -> None:
    """Reference §1: request 6006010000 is answered by 6000000601."""
    assert swap_tpdu(bytes.fromhex("6006010000")).hex() == "6000000601"
