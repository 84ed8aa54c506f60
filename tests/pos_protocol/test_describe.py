"""Describing a message, masked."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pos_protocol.codec import Message, encode
from pos_protocol.describe import describe
from pos_protocol.framing import frame
from pos_protocol.tlv import ber_build, text_build

TPDU = bytes.fromhex("6000030000")
HEADER = bytes.fromhex("603100311108")
PAN = "9900001234567899"
CODE = "289900000000000017"
PIN_BLOCK = bytes.fromhex("3D87C8B8FA17C67C")


def sale() -> Message:
    icc = ber_build([("9F26", bytes(range(8))), ("5A", bytes.fromhex(PAN)), ("95", bytes(5))])
    fields: dict[int, str | bytes] = {
        2: PAN, 3: "000000", 4: "000000000100", 11: "000007", 14: "3012", 22: "051", 23: "001",
        25: "00", 35: f"{PAN}=30122010000012345", 36: "99" + PAN, 41: "T0000001", 42: "M" * 15,
        49: "156", 52: PIN_BLOCK, 53: "26" + "0" * 14, 55: icc, 60: "2200000100050", 64: b"0123ABCD",
    }  # fmt: skip
    return Message(TPDU, HEADER, "0200", fields)


def secrets() -> list[str]:
    return [PAN, PAN[6:-4], "3012201", PIN_BLOCK.hex().upper(), CODE, CODE[2:-2]]


@pytest.mark.parametrize("form", ["as_text", "as_json"])
def test_nothing_of_the_card_is_shown(form: str) -> None:
    """PAN first six and last four; track, expiry, PIN block and card tags not at all."""
    shown = getattr(describe(encode(sale())), form)()
    for secret in secrets():
        assert secret not in shown
    assert "990000******7899" in shown


def test_json_has_the_form_of_the_contract() -> None:
    answer = describe(frame(encode(sale())).hex()).as_dict()
    assert list(answer) == ["tpdu", "header", "mti", "fields", "reencodes"]
    fields = answer.pop("fields")
    assert answer == {
        "tpdu": "6000030000",
        "header": "603100311108",
        "mti": "0200",
        "reencodes": True,
    }
    assert isinstance(fields, dict)
    assert fields["11"] == "000007"
    assert fields["22"] == "051"
    assert fields["41"] == "T0000001"
    assert fields["64"] == b"0123ABCD".hex().upper()
    assert fields["2"] == "990000******7899"
    assert fields["14"] == fields["35"] == fields["36"] == fields["52"] == "****"
    assert fields["55"] == "9F26080001020304050607" + "5A08" + "*" * 16 + "9505" + "0" * 10
    assert json.loads(describe(encode(sale())).as_json())["fields"] == fields


def test_a_scanned_code_shows_its_wallet_only() -> None:
    factor = text_build([("01", "04"), ("03", "567899"), ("04", "ABCDEF01")])
    message = sale()
    for number in (2, 14, 23, 35, 36, 52, 53, 55):
        del message.fields[number]
    message.fields |= {22: "032", 59: text_build([("A2", factor), ("A3", CODE)])}
    description = describe(encode(message))
    assert description.transaction == "qr sale"
    value = json.loads(description.as_json())["fields"]["59"]
    assert value == "A2031" + "010020403006******04008ABCDEF01" + "A3018" + "28" + "*" * 16
    for secret in (CODE, CODE[2:-2], "567899"):
        assert secret not in description.as_text() + description.as_json()


def test_working_keys_are_hidden_and_their_check_values_shown() -> None:
    """F62 of a sign-in answer is keys; of a sign-in request it is a serial number."""
    keys = bytes(range(40))
    answer = Message(TPDU, HEADER, "0810", {11: "000001", 39: "00", 60: "00000001003", 62: keys})
    description = describe(encode(answer))
    assert description.transaction == "answer to sign in"
    assert json.loads(description.as_json())["fields"]["62"] == "****"
    assert keys[:8].hex().upper() not in description.as_text()
    assert "PIN key check value: 10111213" in description.as_text()
    assert "MAC key check value: 24252627" in description.as_text()
    asked = Message(TPDU, HEADER, "0800", {11: "000001", 60: "00000001003", 62: b"Sequence No12"})
    assert "text: Sequence No12" in describe(encode(asked)).as_text()


@pytest.mark.parametrize("mti", ["0320", "0200"])
def test_card_numbers_in_private_fields_are_hidden(mti: str) -> None:
    """A batch upload's F48 and a vendor's unreadable F57 may hold PANs."""
    upload = "01" + "00" + "000001" + PAN.rjust(20, "0") + "000000000100"
    fields: dict[int, str | bytes] = {57: f"vendor {PAN} data", 60: "00000001201"}
    if mti == "0320":
        fields[48] = upload
    description = describe(encode(Message(TPDU, HEADER, mti, fields)))
    assert PAN not in description.as_json() + description.as_text()


def test_text_names_fields_and_parts() -> None:
    shown = describe(encode(sale())).as_text()
    for words in ("0200  sale", "Amount 交易金额: 000000000100", "60.2 batch: 000001", "read by: chip",
                  "PIN block: with PAN", "9F26 cryptogram: 0001020304050607", "5A PAN: ****"):  # fmt: skip
        assert words in shown


def test_answers_explain_their_code_and_totals() -> None:
    totals = "000000000100" + "001" + "000000000000" + "000" + "2"
    message = Message(TPDU, HEADER, "0510", {39: "51", 48: totals * 2, 60: "00000001201", 63: "CUP请重试"})  # fmt: skip
    shown = describe(encode(message)).as_text()
    assert "中文: 余额不足" in shown
    assert "RMB debit amount: 000000000100" in shown
    assert "foreign cards result: 2" in shown
    assert "issuer text: 请重试" in shown
    assert shown.splitlines()[2] == "MTI     0510  answer to settlement"


@pytest.mark.parametrize("is_prefixed", [True, False])
@pytest.mark.parametrize("envelope", ["usual", "bare", "tpdu only", "routing block"])
def test_every_envelope_is_found(envelope: str, is_prefixed: bool) -> None:
    body = encode(sale())[11:]
    before = {
        "usual": TPDU + HEADER,
        "bare": b"",
        "tpdu only": TPDU,
        "routing block": TPDU + bytes(14) + HEADER,
    }[envelope]
    raw = before + body
    description = describe(frame(raw) if is_prefixed else raw)
    assert description.problem == ""
    assert description.reencodes
    assert description.tpdu == ("" if envelope == "bare" else TPDU.hex().upper())
    assert description.header == (HEADER.hex().upper() if HEADER in before else "")
    assert description.skipped == ("00" * 14 if envelope == "routing block" else "")
    assert len(description.fields) == len(sale().fields)


def test_other_pad_nibbles_still_reencode() -> None:
    raw = encode(sale()).replace(bytes.fromhex("22000001000500"), bytes.fromhex("2200000100050F"))
    assert describe(raw).reencodes


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("", "0 bytes are no message"),
        ("6", "odd number of hex digits (1)"),
        ("60zz", "not hexadecimal"),
        ("6000", "message at byte"),
        (encode(sale()).hex() + "00", "1 bytes after the last field"),
        (encode(sale()).hex()[:-2], "field 64 at byte"),
        ("00ff" + encode(sale()).hex(), "the length prefix says 255 bytes, 167 follow"),
    ],
)
def test_a_bad_message_gets_a_named_diagnosis(source: str, problem: str) -> None:
    description = describe(source)
    assert problem in description.problem
    assert not description.reencodes or "prefix" in problem
    assert description.as_dict()["problem"] == description.problem
    assert "Problem: " in description.as_text()


def test_a_diagnosis_counts_from_the_first_byte_and_shows_what_came_before() -> None:
    raw = frame(encode(sale()))
    broken = raw[:36] + b"\xff" + raw[37:]
    description = describe(broken)
    assert description.problem == "field 4 at byte 35: not decimal digits"
    assert [view.number for view in description.fields] == [2, 3]


@settings(max_examples=60)
@given(st.binary(max_size=120))
def test_describing_never_fails(raw: bytes) -> None:
    for source in (raw, raw.hex(), encode(sale())[: len(raw) + 20] + raw[:3]):
        description = describe(source)
        json.dumps(description.as_dict()).encode()
        description.as_text().encode()


@given(st.text(max_size=20))
def test_describing_any_text_never_fails(text: str) -> None:
    describe(text).as_text()
