"""The transaction table and its look-up."""

import pytest

from pos_protocol.codec import CodecError, Message
from pos_protocol.transactions import (
    TRANSACTIONS,
    Transaction,
    TransactionKind,
    batch_of,
    identify,
    is_reply,
    missing_fields,
    reply_mti,
)

K = TransactionKind


def request(mti: str, f3: str = "", f25: str = "", f60: str = "", f22: str = "021") -> Message:
    fields: dict[int, str | bytes] = {60: f60}
    if f3:
        fields |= {3: f3, 25: f25, 22: f22}
    return Message(bytes(5), bytes(6), mti, fields)


def request_of(row: Transaction) -> Message:
    f60 = f"{row.type_code}000001{row.management}"
    return request(
        row.mti, row.processing_code, row.condition, f60, "032" if row.is_scan else "051"
    )


@pytest.mark.parametrize("row", TRANSACTIONS, ids=lambda row: f"{row.mti}-{row.kind.value}")
def test_every_row_is_found_by_its_own_message(row: Transaction) -> None:
    """No row hides another: the look-up gives back exactly the row."""
    assert identify(request_of(row)) is row


def test_every_kind_has_a_row() -> None:
    assert {row.kind for row in TRANSACTIONS} == set(TransactionKind)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (request("0800", f60="00000000001"), K.SIGN_IN),
        (request("0800", f60="00000000003"), K.SIGN_IN),
        (request("0800", f60="00000000004"), K.SIGN_IN),
        (request("0800", f60="01000001003"), K.SIGN_IN),
        (request("0820", f60="00000001002"), K.SIGN_OUT),
        (request("0820", f60="00000001301"), K.ECHO),
        (request("0200", "000000", "00", "2200000100050"), K.SALE),
        (request("0200", "000000", "00", "22000001"), K.SALE),
        (request("0200", "000000", "00", "2200000100060", "032"), K.QR_SALE),
        (request("0200", "200000", "00", "23000001000"), K.VOID),
        (request("0220", "200000", "00", "25000001000"), K.REFUND),
        (request("0100", "030000", "06", "10000001000"), K.PREAUTH),
        (request("0500", f60="00000001201"), K.SETTLEMENT),
        (request("0320", f60="00000001201"), K.UPLOAD),
        (request("0320", f60="00000001205"), K.UPLOAD),
        (request("0320", f60="00000001207"), K.UPLOAD_END),
        (request("0320", f60="2200000100050"), K.NOTICE_UPLOAD),
        (request("0200", "390000", "00", "92000001000"), K.STATUS_INQUIRY),
        (request("0200", "390000", "00", "91000001000", "032"), K.QR_QUERY),
        (request("0200", "390000", "00", "93000001000"), K.LIVE_CODE),
        (request("0800", f60="00000001370"), K.DOWNLOAD),
    ],
)
def test_messages_are_named(message: Message, kind: TransactionKind) -> None:
    row = identify(message)
    assert row is not None
    assert row.kind is kind


@pytest.mark.parametrize(
    "message",
    [
        request("0200", "990000", "00", "22000001000"),
        request("0200", "000000", "00", "99000001000"),
        request("0210", "000000", "00", "22000001000"),
        request("0800", f60="00000001999"),
        request("0900", f60=""),
        Message(bytes(5), bytes(6), "0200", {}),
    ],
)
def test_what_the_table_does_not_hold_has_no_name(message: Message) -> None:
    assert identify(message) is None


def test_reversals_name_their_original_and_are_demanded_with_f39() -> None:
    """Everything of 0100 and 0200 but the balance can be reversed; refunds and advices cannot."""
    reversed_kinds = {row.original for row in TRANSACTIONS if row.kind is K.REVERSAL}
    assert {K.SALE, K.QR_SALE, K.VOID, K.PREAUTH} <= reversed_kinds
    assert not reversed_kinds & {K.BALANCE, K.REFUND, K.QR_REFUND, K.COMPLETION_ADVICE, K.TIP}
    for row in TRANSACTIONS:
        if row.kind is K.REVERSAL:
            assert row.mti == "0400"
            assert 39 in row.required
        else:
            assert row.original is None


def test_mac_scope_is_money_and_scripts() -> None:
    """Reference §4: no MAC on sign-in, echo, settlement, upload, download."""
    with_mac = {row.kind for row in TRANSACTIONS if row.has_mac}
    without = {row.kind for row in TRANSACTIONS if not row.has_mac}
    assert not with_mac & without
    assert {K.SALE, K.QR_SALE, K.REVERSAL, K.BALANCE, K.SCRIPT_RESULT, K.REFUND} <= with_mac
    assert {K.SIGN_IN, K.SIGN_OUT, K.ECHO, K.SETTLEMENT, K.UPLOAD, K.DOWNLOAD} <= without
    for row in TRANSACTIONS:
        assert (64 in row.required) == row.has_mac


def test_missing_fields_are_named() -> None:
    """A sale needs its table fields and a card number from somewhere."""
    message = request("0200", "000000", "00", "22000001000")
    row = identify(message)
    assert row is not None
    assert missing_fields(message, row) == (2, 4, 11, 41, 42, 49, 64)
    message.fields |= {
        4: "0" * 12,
        11: "000001",
        41: "1" * 8,
        42: "1" * 15,
        49: "156",
        64: b"0" * 8,
    }
    message.fields[35] = "99=1"
    assert missing_fields(message, row) == ()


@pytest.mark.parametrize("field_59", ["", "A4003123", "A3019123"])
def test_a_scan_without_a_code_lacks_59(field_59: str) -> None:
    message = request("0200", "000000", "00", "22000001000", "032")
    message.fields |= {4: "0" * 12, 11: "000001", 41: "1" * 8, 42: "1" * 15, 49: "156"}
    message.fields |= {59: field_59, 64: b"0" * 8}
    row = identify(message)
    assert row is not None
    assert missing_fields(message, row) == (59,)
    message.fields[59] = "A3018" + "2" * 18
    assert missing_fields(message, row) == ()


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("0200", "0210"), ("0220", "0230"), ("0400", "0410"), ("0800", "0810"), ("0820", "0830")],
)
def test_an_answer_is_ten_more(asked: str, answered: str) -> None:
    assert reply_mti(asked) == answered
    assert is_reply(answered)
    assert not is_reply(asked)


@pytest.mark.parametrize("mti", ["0210", "0290", "02", "", "abcd", "02٠0"])
def test_what_is_no_request_has_no_answer(mti: str) -> None:
    with pytest.raises(CodecError):
        reply_mti(mti)


def test_batch_is_taken_from_as_many_digits_as_there_are() -> None:
    assert batch_of(request("0800", f60="00123456003")) == "123456"
    assert batch_of(request("0800", f60="0012345")) == ""
