"""UnionPay's ACP behind the port: what is sent, what is believed, and how it is undone."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from channels.card import CardAction, HoldRef
from channels.codes import detect_channel
from channels.port import Advice, PaymentRef, UndoAnswer, Verdict
from channels.unionpay.qr_codes import (
    CASHIER_TEXTS,
    PAY_CODES,
    QUERY_CODES,
    REFUND_CODES,
    REFUND_QUERY_CODES,
)
from channels.unionpay.qr_envelope import Distrusted, answer_fields
from channels.unionpay.qr_numbers import undo_number
from channels.unionpay.qr_plugin import PLUGIN
from channels.unionpay.qr_times import clearing_day, is_same_clearing_day, txn_time
from domain.decline import DeclineReason
from gateway.breaker import is_failure
from signing.unionpay import rsa_signature
from tests.channels.qr_rigs import (
    MER_ID,
    QR_CODE,
    Params,
    UnionPayQrRefundRig,
    UnionPayQrRig,
    acp_answer,
    echo,
    found,
)
from tests.channels.rigs import FixedClock, ref_of
from tests.support.acp_chain import chain, issue

CREATED_MS = 1_795_331_737_042  # 2026-11-22 15:15:37 in Beijing
DAY_MS = 86_400_000


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Shanghai"])
def machine_zone(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield
    os.environ.pop("TZ") if before is None else os.environ.__setitem__("TZ", before)
    time.tzset()


async def test_a_scanned_code_is_sold_by_01_06_in_fen_signed_by_our_key() -> None:
    """Every field of the request, and a signature that our certificate verifies."""
    rig = UnionPayQrRig(terminal_id="01080209", term_info='{"device_type":"11"}')
    await rig.channel.pay(rig.request("ORDERNUMBER1"))
    (sent,) = rig.requests
    signature = sent["signature"]
    assert rig.urls == ["http://127.0.0.1:1/gateway/api/backTransReq.do"]
    assert sent == {
        "version": "5.1.0",
        "encoding": "UTF-8",
        "accessType": "0",
        "merId": MER_ID,
        "certId": "68759585097",
        "signMethod": "01",
        "txnType": "01",
        "txnSubType": "06",
        "bizType": "000000",
        "channelType": "08",
        "orderId": "ORDERNUMBER1",
        "txnTime": "20261122151537",
        "txnAmt": "1990",
        "currencyCode": "156",
        "qrNo": QR_CODE,
        "termId": "01080209",
        "termInfo": '{"device_type":"11"}',
        "backUrl": "https://pos.example.com/notify/unionpay_qr/up1",
        "signature": signature,
    }
    assert signature == rsa_signature(sent, issue("merchant").key)


async def test_an_acquirer_names_itself_and_the_merchant() -> None:
    rig = UnionPayQrRig(
        acquirer_code="48800000",
        merchant_category="5411",
        merchant_name="街角小店",
        merchant_abbreviation="小店",
    )
    await rig.channel.pay(rig.request())
    named = {name: rig.requests[0][name] for name in ("accessType", "acqInsCode", "merCatCode")}
    assert named == {"accessType": "1", "acqInsCode": "48800000", "merCatCode": "5411"}
    assert (rig.requests[0]["merName"], rig.requests[0]["merAbbr"]) == ("街角小店", "小店")


@pytest.mark.usefixtures("machine_zone")
async def test_time_is_beijings_whatever_the_machines_zone() -> None:
    """G 6: and the moment of payment is read as Beijing's too."""
    rig = UnionPayQrRig()
    request = rig.request()
    await rig.channel.pay(request)
    answer = await rig.channel.query(ref_of(request))
    assert [sent["txnTime"] for sent in rig.requests] == ["20261122151537"] * 2
    assert answer.paid_at_ms == CREATED_MS // 1000 * 1000 + 1000


async def test_a_yes_to_a_sale_is_an_acceptance_and_the_query_tells() -> None:
    """00 to the sale moves nothing; 00 as the original's code in a query is the payment."""
    rig = UnionPayQrRig()
    request = rig.request()
    accepted = await rig.channel.pay(request)
    assert (accepted.verdict, accepted.amount_fen) == (Verdict.PENDING, None)
    paid = await rig.channel.query(ref_of(request))
    assert (paid.verdict, paid.amount_fen, paid.currency) == (Verdict.SUCCEEDED, 1990, "CNY")
    assert (paid.order_no, paid.trade_no) == (request.order_no, "951811221515371234568")


async def test_a_defective_success_is_a_payment_and_an_alarm() -> None:
    """A6: the money moved; a person must look, the goods are paid."""
    rig = UnionPayQrRig()
    rig.answers(lambda asked: found(asked, "A6"))
    answer = await rig.channel.query(ref_of(rig.request()))
    assert (answer.verdict, answer.amount_fen) == (Verdict.SUCCEEDED, 1990)
    assert (answer.channel_code, answer.advice) == ("A6", Advice.CONFIGURATION)


async def test_not_found_is_not_a_no() -> None:
    """34: a query can overtake the sale."""
    rig = UnionPayQrRig()
    rig.says("34")
    answer = await rig.channel.query(ref_of(rig.request()))
    assert (answer.verdict, answer.not_found, answer.answered) == (Verdict.UNKNOWN, True, True)


@pytest.mark.parametrize("code", ["03", "04", "05"])
async def test_what_is_not_clear_is_asked_again(code: str) -> None:
    rig = UnionPayQrRig()
    rig.answers(lambda asked: found(asked, code))
    answer = await rig.channel.query(ref_of(rig.request()))
    assert answer.verdict in (Verdict.UNKNOWN, Verdict.PENDING)
    assert not answer.not_found


async def test_a_refused_query_says_nothing_of_the_payment() -> None:
    """``origRespCode`` counts only beside a query that was itself answered 00."""
    rig = UnionPayQrRig()
    for own in ("37", "10", "34", "99"):
        rig.answers(lambda asked, own=own: found(asked, "64") | {"respCode": own})  # type: ignore[misc]
        answer = await rig.channel.query(ref_of(rig.request()))
        assert (answer.verdict, answer.channel_code) == (Verdict.UNKNOWN, own)


@pytest.mark.parametrize("code", sorted(PAY_CODES))
async def test_every_row_of_the_table_for_a_sale(code: str) -> None:
    """As a sale's own answer, and as what a query tells of it."""
    rig = UnionPayQrRig()
    rig.says(code)
    answer = await rig.channel.pay(rig.request())
    row = PAY_CODES[code]
    expected = Verdict.PENDING if row.verdict is Verdict.SUCCEEDED else row.verdict
    assert (answer.verdict, answer.reason, answer.channel_code) == (expected, row.reason, code)
    assert answer.verdict is not Verdict.SUCCEEDED
    rig.answers(lambda asked: found(asked, code))
    asked = await rig.channel.query(ref_of(rig.request()))
    assert (asked.verdict, asked.reason) == (QUERY_CODES[code].verdict, row.reason)
    assert (asked.verdict is Verdict.SUCCEEDED) == (code in ("00", "A6"))


@pytest.mark.parametrize("code", sorted(REFUND_CODES))
async def test_every_row_of_the_table_for_a_refund(code: str) -> None:
    rig = UnionPayQrRefundRig()
    rig.says(code)
    answer = await rig.ability.refund(rig.refund_request(500))
    row = REFUND_CODES[code]
    expected = Verdict.PENDING if row.verdict is Verdict.SUCCEEDED else row.verdict
    assert (answer.verdict, answer.reason) == (expected, row.reason)
    rig.answers(lambda asked: found(asked, code, 500))
    asked = await rig.ability.query_refund(rig.refund_request(500))
    assert (asked.verdict, asked.reason) == (REFUND_QUERY_CODES[code].verdict, row.reason)


def test_every_row_has_words_for_the_cashier_in_both_languages_and_is_a_whole_decision() -> None:
    assert set(CASHIER_TEXTS) == set(PAY_CODES)
    for code, text in CASHIER_TEXTS.items():
        assert text.en.isascii(), code
        assert any("\u4e00" <= character <= "\u9fff" for character in text.zh), code
    for table in (PAY_CODES, QUERY_CODES, REFUND_CODES, REFUND_QUERY_CODES):
        for code, row in table.items():
            assert (row.reason is not None) == (row.verdict is Verdict.DECLINED), code
    for hint_of_money in ("12", "42", "45", "46", "74", "75"):
        assert PAY_CODES[hint_of_money].verdict is Verdict.UNKNOWN
    for mendable in ("02", "10", "11", "13", "31", "32", "43"):
        assert REFUND_CODES[mendable].verdict is Verdict.UNKNOWN


async def test_a_code_that_no_table_lists_is_counted() -> None:
    """As a sale's answer, a query's, a refund's and an undo's; a listed one is not."""
    rig = UnionPayQrRefundRig()
    for code, unlisted in (("Z9", True), ("99", True), ("12", False)):
        rig.says(code)
        answers = (
            await rig.channel.pay(rig.request()),
            await rig.channel.query(ref_of(rig.request())),
            await rig.channel.cancel(ref_of(rig.request())),
            await rig.ability.refund(rig.refund_request(500)),
            await rig.ability.query_refund(rig.refund_request(500)),
        )
        assert [answer.unlisted for answer in answers] == [unlisted] * 5
    assert PLUGIN.texts.payments["64"].zh == "余额不足"


async def test_a_used_code_asks_for_a_fresh_one_and_a_set_up_fault_calls_the_operator() -> None:
    rig = UnionPayQrRig()
    rig.says("86")
    used = await rig.channel.pay(rig.request())
    assert (used.reason, used.advice) == (DeclineReason.CODE_INVALID, Advice.FRESH_CODE)
    rig.says("32")
    forbidden = await rig.channel.pay(rig.request())
    assert (forbidden.reason, forbidden.advice) == (
        DeclineReason.CONFIGURATION,
        Advice.CONFIGURATION,
    )


async def test_an_answer_to_another_call_is_no_answer() -> None:
    """Signed, ours, and of this order: a query's put in a sale's place, and the reverse."""
    rig = UnionPayQrRig()
    request = rig.request()
    for change in ({"txnType": "99", "txnSubType": "01"}, {"txnSubType": "07"}):
        rig.answers(lambda asked, change=change: echo(asked, "64") | change)  # type: ignore[misc]
        assert (await rig.channel.pay(request)).verdict is Verdict.UNKNOWN
    rig.answers(lambda asked: found(asked, "64"))
    assert (await rig.channel.pay(request)).verdict is Verdict.UNKNOWN
    rig.answers(lambda asked: echo(asked, "00", txnAmt="1990"))
    assert (await rig.channel.query(ref_of(request))).verdict is Verdict.UNKNOWN
    rig.answers(lambda asked: echo(asked, "00") | {"txnType": "01"})
    assert (await rig.channel.cancel(ref_of(request))).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("text", ["", "19.90", "-1990", "１９９０", "1e3", "1" * 13])
async def test_g5_an_amount_is_whole_fen_or_no_success(text: str) -> None:
    """19.9 × 100 = 1989 cannot happen: there is no point in the text."""
    rig = UnionPayQrRig()
    rig.answers(lambda asked: found(asked) | {"txnAmt": text})
    assert (await rig.channel.query(ref_of(rig.request()))).verdict is Verdict.UNKNOWN


async def test_g2_the_channels_own_amount_and_currency_are_handed_on_to_be_compared() -> None:
    rig = UnionPayQrRig()
    rig.answers(lambda asked: found(asked, "00", 1) | {"currencyCode": "840"})
    answer = await rig.channel.query(ref_of(rig.request()))
    assert (answer.amount_fen, answer.currency) == (1, "840")


async def test_g18_neither_code_nor_key_is_in_any_text() -> None:
    rig = UnionPayQrRig()
    rig.says("64", respMsg=f"余额不足 {QR_CODE}")
    request = rig.request()
    answer = await rig.channel.pay(request)
    shown = repr((answer, request, rig.channel, rig.account, rig.channel.schedule))
    assert QR_CODE not in shown
    assert "PRIVATE" not in shown


def ref(created_ms: int, **more: object) -> PaymentRef:
    plain = PaymentRef(
        order_no="NUMBER00000000000000000000000001",
        amount_fen=1990,
        currency="CNY",
        created_at_ms=created_ms,
    )
    return replace(plain, **more)  # type: ignore[arg-type]  # named by the test


def beijing_ms(day: int, hour: int, minute: int = 0) -> int:
    """A moment of November 2026."""
    return (
        CREATED_MS - 42 + ((day - 22) * 24 * 60 + (hour - 15) * 60 + minute - 15) * 60_000 - 37_000
    )


def test_a_clearing_day_begins_at_23() -> None:
    before, after = beijing_ms(22, 22, 59), beijing_ms(22, 23, 0)
    assert (txn_time(before), txn_time(after)) == ("20261122225900", "20261122230000")
    assert not is_same_clearing_day(before, after)
    assert is_same_clearing_day(after, beijing_ms(23, 22, 59))
    assert f"{clearing_day(after):%m%d}" == "1123"


async def cancelled_at(
    rig: UnionPayQrRig, payment: PaymentRef, now_ms: int
) -> tuple[UndoAnswer, list[tuple[str, str]]]:
    """What an undo came to, and the calls it made: type and number."""
    rig.clock.ms = now_ms
    answer = await rig.channel.cancel(payment)
    return answer, [(sent["txnType"], sent["orderId"]) for sent in rig.requests]


async def test_within_the_clearing_day_a_reversal_goes_under_the_sales_own_number() -> None:
    """Even of a payment that is known to be paid, up to the last minute."""
    payment = ref(beijing_ms(21, 23, 0), paid_at_ms=beijing_ms(21, 23, 1))
    rig = UnionPayQrRig()
    answer, calls = await cancelled_at(rig, payment, beijing_ms(22, 22, 59))
    assert (answer.verdict, answer.was_paid) == (Verdict.SUCCEEDED, None)
    assert calls == [("99", payment.order_no)]
    sent = rig.requests[0]
    assert (sent["txnTime"], sent["txnSubType"]) == ("20261121230000", "01")


async def test_after_the_clearing_day_what_was_paid_is_refunded_whole_under_one_number() -> None:
    payment = ref(beijing_ms(22, 22, 59))
    rig = UnionPayQrRig()
    answer, calls = await cancelled_at(rig, payment, beijing_ms(22, 23, 0))
    number = undo_number(payment.order_no)
    assert (answer.verdict, answer.was_paid) == (Verdict.SUCCEEDED, True)
    assert calls == [("00", payment.order_no), ("04", number), ("00", number)]
    refund = rig.requests[1]
    assert (refund["origQryId"], refund["txnAmt"]) == ("951811221515371234568", "1990")
    assert len(number) == 32
    assert number != payment.order_no


@pytest.mark.parametrize("codes", [("00", "04"), ("00", "34"), ("12", ""), ("03", "")])
async def test_a_late_refund_that_is_not_seen_done_ends_nothing(codes: tuple[str, str]) -> None:
    """Accepted is not returned; the next try asks for the same once more."""
    sent_code, told_code = codes
    rig = UnionPayQrRig()

    def answer(asked: Params) -> Params:
        if asked["txnType"] == "04":
            return echo(asked, sent_code)
        if asked["orderId"].startswith("U"):
            return found(asked, told_code)
        return found(asked)

    rig.answers(answer)
    undone, _ = await cancelled_at(rig, ref(beijing_ms(21, 12)), beijing_ms(22, 23))
    assert undone.verdict is Verdict.UNKNOWN


async def test_a_late_refund_of_what_was_returned_before_is_done() -> None:
    """45: the first one arrived, though its answer did not."""
    rig = UnionPayQrRig()
    rig.answers(lambda asked: found(asked) if asked["txnType"] == "00" else echo(asked, "45"))
    undone, _ = await cancelled_at(rig, ref(beijing_ms(21, 12)), beijing_ms(22, 23))
    assert (undone.verdict, undone.was_paid) == (Verdict.SUCCEEDED, True)


async def test_after_the_clearing_day_a_refused_payment_needs_no_undo_and_an_unknown_one_a_person() -> (
    None
):
    payment = ref(beijing_ms(21, 12))
    rig = UnionPayQrRig()
    rig.answers(lambda asked: found(asked, "64"))
    undone, _ = await cancelled_at(rig, payment, beijing_ms(22, 23))
    assert (undone.verdict, undone.was_paid) == (Verdict.SUCCEEDED, False)
    rig.says("34")
    undone, _ = await cancelled_at(rig, payment, beijing_ms(22, 23))
    assert undone.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("code", "verdict", "was_paid"),
    [
        ("00", Verdict.SUCCEEDED, None),
        ("A6", Verdict.SUCCEEDED, None),
        ("46", Verdict.SUCCEEDED, None),
        ("45", Verdict.SUCCEEDED, True),
        ("05", Verdict.UNKNOWN, None),
        ("12", Verdict.UNKNOWN, None),
        ("39", Verdict.UNKNOWN, None),
        ("01", Verdict.UNKNOWN, None),
    ],
)
async def test_what_a_reversal_is_answered(
    code: str, verdict: Verdict, was_paid: bool | None
) -> None:
    rig = UnionPayQrRig()
    rig.says(code)
    undone = await rig.channel.cancel(ref(CREATED_MS))
    assert (undone.verdict, undone.was_paid) == (verdict, was_paid)


@pytest.mark.parametrize("code", ["34", "35"])
async def test_nothing_to_reverse_ends_it_only_once_nothing_can_be_on_its_way(code: str) -> None:
    """Two words say that there is no such order, and the sale's own time is over."""
    rig = UnionPayQrRig(timeout_s="10")
    rig.answers(lambda asked: echo(asked, "34" if asked["txnType"] == "00" else code))
    payment = ref(CREATED_MS)
    young, calls = await cancelled_at(rig, payment, CREATED_MS + 11_000)
    assert young.verdict is Verdict.UNKNOWN
    assert [kind for kind, _ in calls] == ["99", "00"]
    old, _ = await cancelled_at(rig, payment, CREATED_MS + 13_000)
    assert (old.verdict, old.was_paid) == (Verdict.SUCCEEDED, False)


@pytest.mark.parametrize(
    ("told", "verdict"),
    [("00", Verdict.UNKNOWN), ("04", Verdict.UNKNOWN), ("64", Verdict.SUCCEEDED)],
)
async def test_nothing_to_reverse_while_the_order_is_known_is_what_the_order_says(
    told: str, verdict: Verdict
) -> None:
    """35 of a paid order ends nothing; of a refused one there is nothing to undo."""
    rig = UnionPayQrRig()
    rig.answers(lambda asked: found(asked, told) if asked["txnType"] == "00" else echo(asked, "35"))
    undone, _ = await cancelled_at(rig, ref(CREATED_MS), CREATED_MS + 60_000)
    assert undone.verdict is verdict
    assert undone.was_paid is (False if verdict is Verdict.SUCCEEDED else None)


async def test_g9_every_operation_has_an_order_id_of_its_own() -> None:
    """ "Duplicate" is what UnionPay says of a refund under the order's own number."""
    rig = UnionPayQrRefundRig()
    first, second = rig.refund_request(500), rig.refund_request(500)
    await rig.ability.refund(first)
    await rig.ability.refund(second)
    sent = [(sent["orderId"], sent["reqReserved"]) for sent in rig.requests]
    order_no = rig.payment.order_no
    assert sent == [(first.refund_no, order_no), (second.refund_no, order_no)]
    assert len({order_no, undo_number(order_no), first.refund_no, second.refund_no}) == 4


async def test_g7_a_retry_is_the_same_refund_whatever_the_time() -> None:
    rig = UnionPayQrRefundRig()
    request = rig.refund_request(500)
    await rig.ability.refund(request)
    rig.clock.ms += 2 * DAY_MS
    await rig.ability.refund(replace(request, repeated=True))
    assert rig.requests[0] == rig.requests[1]


@pytest.mark.parametrize(
    ("created_ms", "amount_fen", "kind"),
    [
        (CREATED_MS, 1990, "31"),
        (CREATED_MS, 1989, "04"),
        (CREATED_MS - DAY_MS, 1990, "04"),
        (beijing_ms(21, 23), 1990, "31"),
        (beijing_ms(21, 22, 59), 1990, "04"),
    ],
)
async def test_the_whole_within_the_day_is_a_void_everything_else_a_refund(
    created_ms: int, amount_fen: int, kind: str
) -> None:
    rig = UnionPayQrRefundRig()
    rig.payment = replace(rig.payment, created_at_ms=created_ms)
    await rig.ability.refund(rig.refund_request(amount_fen))
    assert rig.requests[0]["txnType"] == kind


async def test_a_payment_whose_number_we_do_not_know_is_named_by_ours() -> None:
    rig = UnionPayQrRefundRig()
    rig.payment = replace(rig.payment, trade_no="")
    await rig.ability.refund(rig.refund_request(500))
    sent = rig.requests[0]
    assert (sent["origOrderId"], sent["origTxnTime"]) == (rig.payment.order_no, "20261121151537")
    assert "origQryId" not in sent


async def test_holds_and_completions_go_as_their_own_types() -> None:
    """02 holds, 03 takes what is held, 32 and 33 give back."""
    rig = UnionPayQrRefundRig()
    rig.will_approve()
    hold = replace(rig.request(), action=CardAction.AUTHORISE)
    taken = replace(
        rig.request(),
        action=CardAction.COMPLETE,
        auth_code="",
        original=HoldRef(order_no=hold.order_no, held_at_ms=CREATED_MS),
    )
    for request in (hold, taken):
        assert (await rig.channel.pay(request)).verdict is Verdict.PENDING
        returned = replace(rig.refund_request(1990), payment=ref_of(request))
        await rig.ability.refund(returned)
    kinds = [sent["txnType"] for sent in rig.requests]
    assert kinds == ["02", "32", "03", "33"]
    assert rig.requests[2]["origOrderId"] == hold.order_no


async def test_the_schedule_is_unionpays_and_a_call_without_code_never_leaves() -> None:
    rig = UnionPayQrRig()
    assert list(rig.channel.schedule.query_after_s) == [1, 2, 4, 8, 16, 32]
    unwritable = await rig.channel.pay(replace(rig.request(), auth_code=""))
    assert (unwritable.verdict, unwritable.unwritable) == (Verdict.NOT_SENT, True)
    assert rig.requests == []
    assert detect_channel(QR_CODE) == "unionpay_qr"


async def test_only_what_unionpay_says_verified_is_an_answer_for_the_breaker() -> None:
    rig = UnionPayQrRig()
    for name, fault in rig.faults().items():
        fault()
        heard = name in {
            "unlisted code",
            "general error",
            "duplicate",
            "busy",
            "timed out there",
            "not clear there",
            "paid too late",
        }
        assert is_failure(await rig.channel.pay(rig.request())) != heard, name


def test_an_answer_is_cut_at_what_is_in_no_braces() -> None:
    raw = "a=1&r={x=1&y={z=2}}&s=[k=1&l=2]&cert=-----BEGIN-----\r\nA+/=\r\n&empty="
    assert answer_fields(raw.encode()) == {
        "a": "1",
        "r": "{x=1&y={z=2}}",
        "s": "[k=1&l=2]",
        "cert": "-----BEGIN-----\r\nA+/=\r\n",
        "empty": "",
    }


@pytest.mark.parametrize(
    "raw", [b"", b"a", b"a=1&", b"&a=1", b"a=1&a=1", b"=1", b"\xff=1", b"a=1&b", b"&".join([b"x"])]
)
def test_a_misshapen_answer_is_no_answer(raw: bytes) -> None:
    with pytest.raises(Distrusted):
        answer_fields(raw)
    many = b"&".join(f"k{number}=1".encode() for number in range(200))
    with pytest.raises(Distrusted):
        answer_fields(many)


async def test_g3_an_old_answer_to_another_moments_order_is_refused() -> None:
    """A replayed "yes" names its own order and time, and so no other's."""
    rig = UnionPayQrRig(clock=FixedClock(CREATED_MS))
    paid = acp_answer(found(rig.asked("NUMBER00000000000000000000000009", "20261122151537")))
    rig.answers(lambda asked: paid)
    assert (await rig.channel.query(ref(CREATED_MS))).verdict is Verdict.UNKNOWN


async def test_an_answer_whose_certificate_has_run_out_is_refused() -> None:
    rig = UnionPayQrRig()
    rig.clock.ms = 1_900_000_000_000
    request = rig.request()
    assert (await rig.channel.query(ref_of(request))).verdict is Verdict.UNKNOWN
    assert chain()[2].certificate.not_valid_after_utc.timestamp() * 1000 < rig.clock.ms
