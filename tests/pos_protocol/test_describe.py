"""Describing a message, masked."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pos_protocol import asks, management_asks
from pos_protocol.card import chip_card
from pos_protocol.codec import Message, encode
from pos_protocol.describe import describe
from pos_protocol.fields.balance import AdditionalAmount, build_amounts
from pos_protocol.fields.download import BlockMark, DownloadBlock, build_block
from pos_protocol.fields.original import Original
from pos_protocol.fields.payment_status import PaymentState, PaymentStatus, build_payment_status
from pos_protocol.fields.totals import ClassTotals, SettlementTotals
from pos_protocol.fields.upload import ChipLine, UploadLine
from pos_protocol.framing import frame
from pos_protocol.session import reply_to
from pos_protocol.terminal import Terminal, TerminalIdentity, TerminalScheme
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
    assert "RMB debit: 100 fen in 1" in shown
    assert "foreign cards result: different" in shown
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
        assert json.loads(json.dumps(description.as_dict()))["mti"] == description.mti
        assert description.problem in description.as_text()


@given(st.text(max_size=20))
def test_describing_any_text_never_fails(text: str) -> None:
    description = describe(text)
    assert description.problem in description.as_text()


def device() -> Terminal:
    class Crypto:
        def unwrap_keys(self, scheme: TerminalScheme, keys: bytes) -> bool:
            return True

        def mac(self, data: bytes) -> bytes:
            return b"0123ABCD"

        def pin_block(self, pin: str, pan: str) -> bytes:
            return bytes(8)

    identity = TerminalIdentity(terminal_id="T0000001", merchant_id="M" * 15)
    return Terminal(identity, Crypto(), batch="000001")


def text_of(ask: asks.Ask) -> str:
    return describe(device().ask(ask).payload).as_text()


def test_parts_of_settlement_and_upload_are_named_and_masked() -> None:
    """Totals per class, lines with their masked cards, the count at the end."""
    totals = SettlementTotals(ClassTotals(debit_fen=1990, debit_count=2))
    text = text_of(management_asks.settlement(totals, "001"))
    assert "RMB debit: 1990 fen in 2" in text
    assert "foreign cards result: asked" in text
    line = UploadLine(trace="000007", pan=PAN, amount_fen=1990)
    text = text_of(management_asks.upload_lines([line]))
    assert "trace 000007: 990000******7899 1990 fen" in text
    assert PAN not in text
    assert "lines in all: 17" in text_of(management_asks.upload_end(17, totals_agreed=True))


def test_parts_of_chip_upload_download_and_query() -> None:
    card = chip_card(PAN, "3012", b"")
    chip = ChipLine(amount_fen=5, has_failed=True)
    text = text_of(management_asks.upload_chip(card, "000007", chip, totals_agreed=True))
    assert "chip transaction: failed, 5 fen" in text
    assert PAN not in text
    assert "entries known: 7" in text_of(management_asks.query("372", 7))
    request = device().ask(management_asks.download("370"))
    block = build_block(DownloadBlock(BlockMark.MORE, (("9F06", b"\xa0"), ("5A", b"\x99" * 8))))
    answer = describe(encode(reply_to(request.message, {39: "00", 62: block}, processing=4)))
    assert "block: more" in answer.as_text()
    assert "9F06: A0" in answer.as_text()
    assert "5A: ****" in answer.as_text()
    assert "download public keys" in answer.as_text()


def test_parts_of_an_inquiry_and_a_balance() -> None:
    request = device().ask(asks.status_inquiry(Original("000001", "000007")))
    status = build_payment_status(PaymentStatus(PaymentState.NOT_PAID))
    text = describe(encode(reply_to(request.message, {39: "00", 62: status}))).as_text()
    assert "answer to status inquiry" in text
    assert "payment is: not paid" in text
    balance = device().ask(asks.balance(chip_card(PAN, "3012", b"")))
    amounts = build_amounts([AdditionalAmount(amount_fen=-5)])
    fields: dict[int, str | bytes] = {39: "00", 54: amounts, 44: "03080000   48025800   "}
    text = describe(encode(reply_to(balance.message, fields))).as_text()
    assert "-5 in the smallest unit of 156" in text
    assert "issuer: 03080000" in text
    assert "acquirer: 48025800" in text


def test_what_a_request_lacks_is_said() -> None:
    message = device().sale(chip_card(PAN, "3012", b""), 100).message
    del message.fields[49], message.fields[64]
    assert "Missing: F49, F64" in describe(encode(message)).as_text()
    assert "Missing" not in describe(device().echo().payload).as_text()


def test_a_sign_in_says_its_serial() -> None:
    request = device().sign_in()
    request.message.fields[62] = b"Sequence No12306022003600"
    assert "serial: 22003600" in describe(encode(request.message)).as_text()
