"""The host session: bytes in, events out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pos_protocol.codec import CodecError, Message, decode, encode
from pos_protocol.framing import frame
from pos_protocol.header import HostInstruction, instruction_of, with_instruction
from pos_protocol.session import BadFrame, HostSession, Received, reply_to

TPDU = bytes.fromhex("6006010000")
HEADER = bytes.fromhex("60310031110E")
PAN = "9900001234567899"


def echo(terminal_id: str = "T0000001") -> Message:
    fields: dict[int, str | bytes] = {41: terminal_id, 42: "M" * 15, 60: "00000001301"}
    return Message(TPDU, HEADER, "0820", fields)


def sale() -> Message:
    fields: dict[int, str | bytes] = {
        2: PAN, 3: "000000", 4: "000000000100", 11: "000007", 14: "3012", 22: "021", 25: "00",
        35: f"{PAN}=3012", 41: "T0000001", 42: "M" * 15, 49: "156", 52: bytes(8), 53: "26" + "0" * 14,
        60: "22000001000", 64: b"00000000",
    }  # fmt: skip
    return Message(TPDU, HEADER, "0200", fields)


def test_messages_come_out_whole_and_in_order() -> None:
    """Byte by byte, the events are the messages with the very bytes they came in."""
    stream = frame(encode(echo("T0000001"))) + frame(encode(echo("T0000002")))
    session = HostSession()
    events = [
        event for at in range(len(stream)) for event in session.receive_data(stream[at : at + 1])
    ]
    assert events == [
        Received(encode(echo("T0000001")), echo("T0000001")),
        Received(encode(echo("T0000002")), echo("T0000002")),
    ]
    assert not session.closed
    assert session.receive_data(b"") == []
    assert session.closed


def test_a_bad_message_ends_the_session_and_keeps_what_came_before() -> None:
    """One event names the fault; nothing after it is read."""
    session = HostSession()
    garbage = encode(echo())[:-1]
    events = session.receive_data(
        frame(encode(echo())) + frame(garbage) + frame(encode(echo("T0000002")))
    )
    assert [type(event) for event in events] == [Received, BadFrame]
    bad = events[1]
    assert isinstance(bad, BadFrame)
    assert bad.field == 60
    assert bad.size_bytes == len(garbage)
    assert session.closed
    assert session.receive_data(frame(encode(echo()))) == []


def test_bad_framing_ends_the_session_too() -> None:
    session = HostSession(max_frame_bytes=200)
    events = session.receive_data(frame(encode(echo())) + b"\x01\x00")
    assert [type(event) for event in events] == [Received, BadFrame]
    assert events[1] == BadFrame("a frame of 256 bytes, above the bound of 200")
    assert session.closed


def test_a_stream_that_ends_inside_a_frame_says_so() -> None:
    session = HostSession()
    session.receive_data(frame(encode(echo()))[:-3])
    assert session.receive_data(b"") == [BadFrame("the stream ended inside a frame", size_bytes=len(encode(echo())) - 1)]  # fmt: skip


@given(st.lists(st.binary(min_size=1, max_size=80), max_size=4))
def test_no_bytes_make_it_raise(chunks: list[bytes]) -> None:
    session = HostSession()
    for chunk in chunks:
        for event in session.receive_data(chunk):
            assert isinstance(event, BadFrame) or encode(event.message) == event.payload


def test_an_event_shows_no_card() -> None:
    payload = encode(sale())
    (event,) = HostSession().receive_data(frame(payload))
    assert PAN not in repr(event)
    assert payload.hex() not in repr(event)


def test_a_reply_swaps_echoes_and_answers() -> None:
    """TPDU swapped, header echoed but for nibble 5, MTI + 10, track and PIN never sent back."""
    answer = reply_to(
        sale(),
        {39: "00", 37: "123456789012", 4: "000000000050"},
        processing=HostInstruction.SIGN_IN_AGAIN,
    )
    assert answer.tpdu.hex() == "6000000601"
    assert answer.header.hex() == "60310331110e"
    assert answer.mti == "0210"
    assert answer.fields == {
        2: PAN, 3: "000000", 4: "000000000050", 11: "000007", 14: "3012", 25: "00", 37: "123456789012",
        39: "00", 41: "T0000001", 42: "M" * 15, 49: "156", 53: "26" + "0" * 14, 60: "22000001000",
    }  # fmt: skip
    assert decode(encode(answer)) == answer


def test_a_scan_gets_its_f59_back_and_an_unknown_request_the_usual() -> None:
    scan = sale()
    for number in (2, 14, 35, 52, 53):
        del scan.fields[number]
    scan.fields |= {22: "032", 59: "A3018" + "2" * 18}
    assert reply_to(scan, {39: "00"}).fields[59] == "A3018" + "2" * 18
    unknown = sale()
    unknown.fields[3] = "990000"
    assert set(reply_to(unknown, {39: "40"}).fields) == {
        2,
        3,
        4,
        11,
        14,
        25,
        39,
        41,
        42,
        49,
        53,
        60,
    }


def test_what_is_no_request_gets_no_reply() -> None:
    answer = reply_to(echo(), {39: "00"})
    with pytest.raises(CodecError):
        reply_to(answer, {39: "00"})


@given(st.binary(min_size=6, max_size=6), st.integers(0, 15))
def test_the_instruction_changes_one_nibble(header: bytes, instruction: int) -> None:
    """Nibble index 5 and nothing else (reference §1)."""
    changed = with_instruction(header, instruction)
    assert instruction_of(changed) == instruction
    nibbles, before = changed.hex(), header.hex()
    assert nibbles[:5] + nibbles[6:] == before[:5] + before[6:]


@pytest.mark.parametrize(("header", "instruction"), [(bytes(5), 0), (bytes(6), 16), (bytes(6), -1)])
def test_no_other_header_or_instruction_is_taken(header: bytes, instruction: int) -> None:
    with pytest.raises(CodecError):
        with_instruction(header, instruction)
