"""Every message that we send to a card host, read by a codec that is not ours, and back."""

from dataclasses import replace

import iso8583
import pytest

from channels.card import ADVICES, CardAction
from channels.host_settlement import HostBatch, HostTotals
from channels.port import PayRequest, RefundRequest, Verdict
from channels.unionpay.card_balance_wire import build_balance, read_balance
from channels.unionpay.card_messages import PAYMENTS
from channels.unionpay.card_refund_wire import build_refund, read_refund
from channels.unionpay.card_settlement import build_settlement, read_settlement
from channels.unionpay.card_wire import Reply, build_reversal, build_sale, read_reversal, read_sale
from pos_protocol.codec import decode
from tests.channels.refund_rigs import CardRefundRig
from tests.channels.rigs import (
    MERCHANT,
    PAN,
    TERMINAL,
    CardRig,
    CompletionRig,
    HoldRig,
    ref_of,
)
from tests.sandbox.foreign_link import SPEC, Fields, cup_mac

NUMBER = TERMINAL + "000123" + "000456"
OURS = {"11": "000456", "41": TERMINAL, "42": MERCHANT, "49": "156"}


class MotoRig(CardRig):
    """Sales by mail and telephone."""

    action = CardAction.MOTO_SALE


class MotoHoldRig(CardRig):
    """Holds by mail and telephone."""

    action = CardAction.MOTO_AUTHORISE


RIGS = {
    CardAction.SALE: CardRig,
    CardAction.AUTHORISE: HoldRig,
    CardAction.COMPLETE: CompletionRig,
    CardAction.MOTO_SALE: MotoRig,
    CardAction.MOTO_AUTHORISE: MotoHoldRig,
}
PAID = {
    CardAction.SALE: {"t": "0200", "3": "000000", "25": "00", "60": "22000123000"},
    CardAction.AUTHORISE: {"t": "0100", "3": "030000", "25": "06", "60": "10000123000"},
    CardAction.COMPLETE: {
        "t": "0200", "3": "000000", "25": "06", "60": "20000123000",
        "38": "H12345", "61": "0000010007771122",
    },
    CardAction.MOTO_SALE: {"t": "0200", "3": "000000", "25": "08", "60": "22000123000"},
    CardAction.MOTO_AUTHORISE: {"t": "0100", "3": "030000", "25": "18", "60": "10000123000"},
}  # fmt: skip
CARD_FIELDS = {"2", "14", "22", "26", "35", "52", "53"}


def foreign(rig: CardRig, payload: bytes) -> Fields:
    """The fields by the other codec; the MAC is right by the other arithmetic."""
    fields, _ = iso8583.decode(payload, SPEC)
    assert fields.pop("64") == cup_mac(rig.host.working.mac, payload[11:-8])
    for mark in ("h", "p", "1"):
        fields.pop(mark, None)
    return dict(fields)


def answered(rig: CardRig, asked: Fields, **more: str) -> Reply:
    """A whole answer by the other codec, its MAC by the other arithmetic."""
    kept = {n: v for n, v in asked.items() if n in ("3", "4", "11", "25", "41", "42", "49", "60")}
    fields = kept | {
        "h": "6000000003602200000000",
        "t": f"{int(asked['t']) + 10:04}",
        "12": "151538",
        "13": "1122",
        "37": "326151538001",
        "39": "00",
        **{name[1:]: value for name, value in more.items()},
    }
    raw, _ = iso8583.encode(fields | {"64": "00000000"}, SPEC)
    mac = cup_mac(rig.host.working.mac, bytes(raw[11:-8]))
    payload = bytes(raw[:-8]) + mac.encode()
    return Reply(payload, decode(payload))


@pytest.mark.parametrize("action", list(PAID))
def test_a_payment_and_its_answer(action: CardAction) -> None:
    rig = RIGS[action]()
    request = rig.request(NUMBER)
    assert request.card is not None
    fields = foreign(rig, build_sale(request, request.card, rig.account, rig.keys))
    wanted = OURS | PAID[action] | {"4": "000000001990", "2": PAN, "22": "021"}
    assert {name: fields[name] for name in wanted} == wanted
    assert fields.keys() == wanted.keys() | CARD_FIELDS
    answer = read_sale(answered(rig, fields, f38="A12345"), request, rig.account, (rig.keys,))
    assert (answer.verdict, answer.amount_fen) == (Verdict.SUCCEEDED, 1990)
    assert (answer.reference, answer.auth_code) == ("326151538001", "A12345")
    assert answer.paid_at_ms == 1_795_331_738_000


@pytest.mark.parametrize("action", list(PAID))
def test_a_reversal_is_of_its_payments_kind(action: CardAction) -> None:
    """The same F3, F25 and 60.1; a completion's names the hold by batch and trace."""
    rig = RIGS[action]()
    ref = ref_of(rig.request(NUMBER))
    fields = foreign(rig, build_reversal(ref, rig.account, rig.keys))
    wanted = OURS | PAID[action] | {"t": "0400", "4": "000000001990", "22": "021", "39": "98"}
    wanted.pop("38", None)
    if action is CardAction.COMPLETE:
        wanted["61"] = "000001000777"
    assert fields == wanted
    undone = read_reversal(answered(rig, fields), ref, rig.account, (rig.keys,))
    assert (undone.verdict, undone.was_paid) == (Verdict.SUCCEEDED, True)


def todays(rig: CardRefundRig, action: CardAction, amount_fen: int) -> RefundRequest:
    payment = replace(rig.payment, action=action, paid_at_ms=rig.payment.paid_at_ms + 86_400_000)
    return replace(rig.refund_request(amount_fen, NUMBER_OF_BATCH_1), payment=payment)


NUMBER_OF_BATCH_1 = TERMINAL + "000001" + "000456"
RETURNED = {
    "void": {"t": "0200", "25": "00", "60": "23000001000"},
    "completion void": {"t": "0200", "25": "06", "60": "21000001000"},
    "refund": {"t": "0220", "25": "00", "60": "25000001000", "63": "000"},
}


@pytest.mark.parametrize(
    ("row", "action", "amount_fen", "date"),
    [
        ("void", CardAction.SALE, 1990, "1122"),
        ("completion void", CardAction.COMPLETE, 1990, "1122"),
        ("refund", CardAction.SALE, 500, "1122"),
        ("refund", CardAction.COMPLETE, 500, "1122"),
    ],
)
def test_a_return_and_its_answer(row: str, action: CardAction, amount_fen: int, date: str) -> None:
    rig = CardRefundRig()
    request = todays(rig, action, amount_fen)
    fields = foreign(rig, build_refund(request, rig.account, rig.keys))
    assert fields == OURS | RETURNED[row] | {
        "3": "200000",
        "4": f"{amount_fen:012}",
        "22": "012",
        "37": "326151538001",
        "61": "000001000042" + date,
    }
    answer = read_refund(answered(rig, fields), request, rig.account, (rig.keys,))
    assert (answer.verdict, answer.amount_fen) == (Verdict.SUCCEEDED, amount_fen)
    assert answer.refund_no == NUMBER_OF_BATCH_1


def test_a_balance_and_its_answer() -> None:
    rig = CardRig()
    asked: PayRequest = rig.request(NUMBER)
    assert asked.card is not None
    fields = foreign(rig, build_balance(NUMBER, asked.card, rig.account, rig.keys))
    wanted = OURS | {"t": "0200", "2": PAN, "3": "310000", "25": "00", "60": "01000123000"}
    assert {name: fields[name] for name in wanted} == wanted
    assert fields.keys() == wanted.keys() | CARD_FIELDS
    told = answered(rig, fields, f54="1002156C000000012345" + "2001156D000000000600")
    answer = read_balance(told, NUMBER, rig.account, (rig.keys,))
    assert answer.verdict is Verdict.SUCCEEDED
    assert answer.amounts == (("10", "02", "156", 12345), ("20", "01", "156", -600))


def test_the_rows_are_those_of_the_table() -> None:
    """Advices have their own tests: they are never undone."""
    assert set(PAYMENTS) == set(CardAction) == set(PAID) | set(ADVICES)


def test_a_settlement_and_its_answer() -> None:
    """No MAC either way, no F39 in the answer: the other codec writes and reads it all."""
    rig = CardRig()
    batch = HostBatch(terminal_id=TERMINAL, batch_no=123, prefix=TERMINAL + "000123")
    ours = HostTotals(debit_fen=5970, debit_count=1003, credit_fen=1990, credit_count=1)
    fields, _ = iso8583.decode(build_settlement(batch, ours, rig.account), SPEC)
    asked = {name: value for name, value in fields.items() if name not in ("h", "p", "1")}
    half = "000000005970" + "999" + "000000001990" + "001"
    none = "0" * 30
    assert asked == OURS | {
        "t": "0500",
        "11": "999999",
        "48": half + "0" + none + "0",
        "60": "00000123201",
        "63": "001",
    }
    answer = asked | {"t": "0510", "h": "6000000003602200000000", "48": half + "2" + none + "1"}
    raw, _ = iso8583.encode(answer | {"12": "003000", "13": "1123", "15": "1122"}, SPEC)
    word = read_settlement(decode(bytes(raw)), batch, rig.account)
    assert (word.totals, word.agrees) == (ours.counts_at_most(999), False)
