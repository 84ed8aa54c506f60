"""The codec against itself, against pyiso8583, and against arbitrary bytes."""

from typing import Any

import iso8583
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pos_protocol.codec import (
    CodecError,
    Message,
    decode,
    decode_before,
    encode,
    encode_with_mac,
    mac_input,
)
from pos_protocol.dialect import Dialect, opaque
from pos_protocol.spec import FIELDS, Content, FieldSpec, Size

TPDU = bytes.fromhex("6000030000")
HEADER = bytes.fromhex("603100311108")
PAN = "9900001234567899"

SALE: dict[int, str | bytes] = {
    2: PAN,
    3: "000000",
    4: "000000000123",
    11: "000123",
    22: "051",
    23: "001",
    25: "00",
    26: "12",
    35: f"{PAN}=30122010000012345",
    41: "22003600",
    42: "104512541110001",
    49: "156",
    52: bytes(range(8)),
    53: "2600000000000000",
    55: bytes.fromhex("9F2608") + bytes(8),
    60: "2200660300050",
    64: b"B7133B57",
}


def sale(**changed: str | bytes) -> Message:
    return Message(TPDU, HEADER, "0200", SALE | {int(key[1:]): v for key, v in changed.items()})


# The table once more, written by hand in pyiso8583's words: (content, length type, maximum).
# n: BCD digits, b: bytes, a: ASCII, g: latin-1 view of GBK text.
ORACLE_TABLE: dict[int, tuple[str, int, int]] = {
    2: ("n", 1, 19), 3: ("n", 0, 6), 4: ("n", 0, 12), 11: ("n", 0, 6), 12: ("n", 0, 6),
    13: ("n", 0, 4), 14: ("n", 0, 4), 15: ("n", 0, 4), 22: ("n", 0, 3), 23: ("r", 0, 3),
    25: ("n", 0, 2), 26: ("n", 0, 2), 32: ("n", 1, 11), 35: ("n", 1, 37), 36: ("n", 2, 104),
    37: ("a", 0, 12), 38: ("a", 0, 6), 39: ("a", 0, 2), 41: ("a", 0, 8), 42: ("a", 0, 15),
    43: ("g", 0, 40), 44: ("g", 1, 25), 48: ("n", 2, 322), 49: ("a", 0, 3), 52: ("b", 0, 8),
    53: ("n", 0, 16), 54: ("a", 2, 120), 55: ("b", 2, 255), 57: ("g", 2, 999),
    58: ("g", 2, 999), 59: ("g", 2, 999), 60: ("n", 2, 999), 61: ("n", 2, 999),
    62: ("b", 2, 999), 63: ("g", 2, 999), 64: ("b", 0, 8),
}  # fmt: skip


def oracle_spec() -> dict[str, dict[str, Any]]:
    fixed = {"len_enc": "bcd", "len_type": 0, "desc": ""}
    spec: dict[str, dict[str, Any]] = {
        "h": {**fixed, "data_enc": "b", "max_len": 11},
        "t": {**fixed, "data_enc": "b", "max_len": 2},
        "p": {**fixed, "data_enc": "b", "max_len": 8},
        "1": {**fixed, "data_enc": "b", "max_len": 8},
    }
    for number, (content, length_type, maximum) in ORACLE_TABLE.items():
        line: dict[str, Any] = {"len_enc": "bcd", "len_type": length_type, "max_len": maximum}
        line["data_enc"] = {"a": "ascii", "g": "latin-1"}.get(content, "b")
        line["desc"] = ""
        if content in "nr":
            line["len_count"] = "nibbles"
            line["left_pad" if content == "r" else "right_pad"] = "0"
        spec[str(number)] = line
    return spec


ORACLE = oracle_spec()


def oracle_view(message: Message) -> dict[str, str]:
    """Our message in pyiso8583's words."""
    view = {"h": (message.tpdu + message.header).hex().upper(), "t": message.mti}
    for number, value in message.fields.items():
        if isinstance(value, bytes):
            view[str(number)] = value.hex().upper()
        elif ORACLE_TABLE[number][0] == "g":
            view[str(number)] = value.encode("gbk").decode("latin-1")
        else:
            view[str(number)] = value.replace("=", "D") if number in (35, 36) else value
    return view


def value_of(spec: FieldSpec) -> st.SearchStrategy[str | bytes]:
    least = spec.length if spec.size is Size.FIXED else 1
    most = min(spec.length, 60)
    match spec.content:
        case Content.DIGITS:
            return st.text("0123456789", min_size=least, max_size=most)
        case Content.NIBBLES | Content.TRACK:
            letters = "0123456789=ABCEF" if spec.content is Content.TRACK else "0123456789ABCDEF"
            return st.text(letters, min_size=least, max_size=most)
        case Content.BINARY:
            return st.binary(min_size=least, max_size=most)
        case Content.ASCII:
            return st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=least, max_size=most)  # fmt: skip
        case Content.TEXT:
            if spec.size is Size.FIXED:
                return st.just("商户" + " " * (spec.length - 4))
            return st.text("Aa1 =+交易成功，", min_size=least, max_size=spec.length // 2 % 40)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    numbers = draw(st.sets(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=20))
    fields = {number: draw(value_of(FIELDS[number])) for number in sorted(numbers)}
    mti = draw(st.sampled_from(["0200", "0210", "0400", "0800", "0810", "0500"]))
    return Message(draw(st.binary(min_size=5, max_size=5)), HEADER, mti, fields)


def test_table_equals_the_one_written_for_the_oracle() -> None:
    """Two tables, typed twice, have the same fields, lengths and length types."""
    ours = {number: (spec.size.prefix_bytes, spec.length) for number, spec in FIELDS.items()}
    assert ours == {number: line[1:] for number, line in ORACLE_TABLE.items()}
    for number, spec in FIELDS.items():
        assert spec.is_bcd == (ORACLE_TABLE[number][0] in "nr")


@given(messages())
def test_oracle_reads_what_we_write(message: Message) -> None:
    """pyiso8583 decodes our bytes to the same values."""
    decoded, _ = iso8583.decode(encode(message), ORACLE)
    decoded.pop("p")
    assert decoded == oracle_view(message)


@given(messages())
def test_we_read_what_the_oracle_writes(message: Message) -> None:
    """Bytes that pyiso8583 wrote decode to the same message, and we write the same bytes."""
    raw, _ = iso8583.encode(oracle_view(message), ORACLE)
    assert decode(bytes(raw)) == message
    assert encode(message) == bytes(raw)


@given(messages(), st.data())
def test_whatever_decodes_encodes_to_the_same_bytes(message: Message, data: st.DataObject) -> None:
    """Flip bytes of a real message: either a CodecError, or a faithful re-encoding."""
    raw = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(11, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(max(11, len(raw) - 5), len(raw)))
    payload = bytes(raw[:cut])
    try:
        again = decode(payload)
    except CodecError:
        return
    assert encode(again) == payload


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_but_codec_error(payload: bytes) -> None:
    """No byte string makes decode fail in any other way."""
    try:
        decode(payload)
    except CodecError as error:
        assert 0 <= error.field <= 64


@given(st.binary(min_size=8, max_size=200))
def test_random_bodies_behind_a_known_bitmap_raise_nothing_else(tail: bytes) -> None:
    """Every field's reader sees random bytes."""
    bits = sum(1 << (64 - number) for number in FIELDS if tail[number % 8] >> (number // 8) & 1)
    payload = bytes(11) + b"\x02\x00" + bits.to_bytes(8, "big") + tail
    try:
        assert encode(decode(payload)) == payload
    except CodecError as error:
        assert error.field in (0, *FIELDS)


@settings(max_examples=30)
@given(st.integers(0, 200))
def test_every_truncation_names_a_field(cut: int) -> None:
    """A message cut anywhere is refused, never half read."""
    whole = encode(sale())
    payload = whole[: min(cut, len(whole) - 1)]
    with pytest.raises(CodecError) as caught:
        decode(payload)
    assert caught.value.offset <= len(payload)
    if len(payload) > 22:
        assert caught.value.field in SALE
        assert "ends inside" in caught.value.reason


def test_sale_is_laid_out_as_the_reference_says() -> None:
    """BCD left-aligned, F23 right-aligned, LL and LLL in digits or bytes, track with D."""
    expected = (
        "6000030000", "603100311108", "0200", "702006C020C09A11",
        "16" + PAN, "000000", "000000000123", "000123", "0510", "0001", "00", "12",
        "34" + PAN + "D30122010000012345", b"22003600104512541110001156".hex(),
        "0001020304050607", "2600000000000000", "0011" + "9F2608" + "00" * 8,
        "0013" + "22006603000500", b"B7133B57".hex(),
    )  # fmt: skip
    assert encode(sale()) == bytes.fromhex("".join(expected))


@pytest.mark.parametrize("pad", "0123456789F")
def test_any_pad_nibble_is_read_and_kept(pad: str) -> None:
    """Real track data ends in F; a right-aligned F22 leaves its digit as a pad."""
    raw = encode(sale()).hex().upper()
    other = bytes.fromhex(raw.replace("22006603000500", f"2200660300050{pad}"))
    other = bytes.fromhex(other.hex().upper().replace("05100001", f"051{pad}{pad}001"))
    message = decode(other)
    assert message.fields == SALE
    assert encode(message) == other
    assert dict(message.pads) == ({} if pad == "0" else {22: pad, 23: pad, 60: pad})


def test_encrypted_track_keeps_any_nibble() -> None:
    """A–F survive, upper case, with D shown as '='."""
    track = "9900001234ABCEF=99F0"
    message = sale(f35=track)
    assert decode(encode(message)).fields[35] == track
    assert decode(encode(sale(f35=track.replace("=", "D").lower()))).fields[35] == track


def test_gbk_and_bytes_that_are_no_gbk_come_back_as_they_were() -> None:
    """F63 is text for people; nonsense in it neither fails nor changes."""
    message = sale(f63="CUP交易成功")
    assert decode(encode(message)).fields[63] == "CUP交易成功"
    raw = encode(message).replace("交易".encode("gbk"), b"\xff\x80\x81\xff")
    assert encode(decode(raw)) == raw


def test_mac_covers_mti_to_the_field_before_64() -> None:
    """encode_with_mac hands over exactly the bytes that mac_input gives back."""
    seen: list[bytes] = []

    def mac(body: bytes) -> bytes:
        seen.append(body)
        return b"0123ABCD"

    message = sale()
    payload = encode_with_mac(message, mac)
    assert seen == [mac_input(payload)]
    assert seen[0] + b"0123ABCD" == payload[11:]
    assert decode(payload).fields == SALE | {64: b"0123ABCD"}
    del message.fields[64]
    assert encode_with_mac(message, mac) == payload


def test_a_mac_of_another_size_is_refused() -> None:
    with pytest.raises(CodecError, match="field 64"):
        encode_with_mac(sale(), lambda _: b"short")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (2, "9" * 20),
        (3, "12345"),
        (3, "1234567"),
        (4, "00000000012x"),
        (4, "٠" * 12),
        (4, b"000000000123"),
        (11, "00 123"),
        (22, "0512"),
        (23, "01"),
        (35, "99000=12  34"),
        (35, "9" * 38),
        (41, "1234567"),
        (41, "1234567\n"),
        (41, "1234567é"),
        (42, "104512541110001 "),
        (49, 156),
        (52, "12345678"),
        (52, b"1234567"),
        (55, bytes(256)),
        (60, "22xx"),
        (62, "text"),
        (63, "\U0001f600"),
        (63, "A" * 1000),
    ],
)
def test_writing_is_exact(field: int, value: Any) -> None:
    """A value that does not fit is refused by field number, and never shown."""
    message = sale(f63="CUP", f62=b"x")
    message.fields[field] = value
    with pytest.raises(CodecError) as caught:
        encode(message)
    assert caught.value.field == field
    if isinstance(value, str) and len(value) > 4:
        assert value not in str(caught.value)


def test_two_wrong_lengths_that_add_up_are_still_refused() -> None:
    """One digit moved from F3 to F4 keeps the sum, not the layout."""
    message = sale(f3="00000", f4="0000000000123")
    with pytest.raises(CodecError, match="field 3"):
        encode(message)


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        (lambda raw: raw[:20], 0, "too short"),
        (lambda raw: raw[:11] + b"\x0a" + raw[12:], 0, "MTI"),
        (lambda raw: raw[:13] + bytes([raw[13] | 0x80]) + raw[14:], 1, "bit 1"),
        (lambda raw: raw[:13] + bytes([raw[13] | 0x08]) + raw[14:], 5, "not in the field table"),
        (lambda raw: raw + b"\x00", 0, "1 bytes after the last field"),
        (lambda raw: raw[:21] + b"\x1a" + raw[22:], 2, "not BCD"),
        (lambda raw: raw[:21] + b"\x20" + raw[22:], 2, "above the maximum 19"),
        (lambda raw: raw[:22] + b"\xf9" + raw[23:], 2, "not decimal"),
        (lambda raw: raw[:34] + b"\xf0" + raw[35:], 4, "not decimal"),
        (lambda raw: raw.replace(b"22003600", b"2200\x006 0"), 41, "not printable"),
    ],
)
def test_a_bad_message_is_refused_by_name(change: Any, field: int, reason: str) -> None:
    with pytest.raises(CodecError, match=reason) as caught:
        decode(change(encode(sale())))
    assert caught.value.field == field
    assert PAN not in str(caught.value)


def test_vendor_fields_need_a_declared_layout() -> None:
    """F47 is unreadable by itself and opaque bytes where a dialect declares it."""
    dialect = Dialect({47: opaque(47, Size.LLL)})
    message = sale()
    message.fields[47] = b"vendor\x00data"
    with pytest.raises(CodecError, match="field 47"):
        encode(message)
    raw = encode(message, dialect)
    with pytest.raises(CodecError, match="field 47"):
        decode(raw)
    assert decode(raw, dialect).fields == message.fields
    with pytest.raises(ValueError, match="does not exist"):
        opaque(65, Size.LL)


def test_a_diagnosis_gets_the_fields_before_the_fault() -> None:
    """decode_before stops ahead of the field that failed."""
    raw = encode(sale())[:-20]
    with pytest.raises(CodecError) as caught:
        decode(raw)
    before = decode_before(raw, caught.value.field)
    assert before.fields == {n: v for n, v in SALE.items() if n < caught.value.field}
    with pytest.raises(CodecError, match="field 55"):
        decode_before(raw, 64)


def test_repr_shows_no_value() -> None:
    text = repr(sale())
    assert PAN not in text
    assert "35" in text
    assert "000123" not in text


def test_typed_readings_never_give_the_other_type() -> None:
    message = sale()
    assert message.text(11) == "000123"
    assert message.text(52) == ""
    assert message.data(52) == bytes(range(8))
    assert message.data(11) == b""
    assert message.text(63) == ""
