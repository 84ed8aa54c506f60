"""Alipay's tables of codes: every code of the vendor's, read off a signed answer."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from channels.alipay.bill_fetch import read_bill_url
from channels.alipay.codes import GATEWAY_CODES, TEXTS
from channels.alipay.later_codes import (
    BILL_SUB_CODES,
    CANCEL_SUB_CODES,
    CLOSE_SUB_CODES,
    QUERY_SUB_CODES,
    REFUND_SUB_CODES,
    ROYALTY_SUB_CODES,
)
from channels.alipay.orders_wire import read_create, read_face, read_precreate, read_token
from channels.alipay.outcome import Table
from channels.alipay.pay_codes import ORDER_SUB_CODES, PAY_SUB_CODES
from channels.alipay.payer_codes import FACE_SUB_CODES, PAYER_SUB_CODES
from channels.alipay.refund_wire import read_refund, read_refund_query
from channels.alipay.royalty import read_settle
from channels.alipay.wire import read_cancel, read_close, read_pay, read_query
from channels.bills import BillAbsent, BillPending, BillUnavailable
from channels.port import Advice, HttpResponse, RefundRequest, Verdict
from channels.royalty import RoyaltyRequest, Share
from domain.decline import DeclineReason
from tests.channels.rigs import AlipayRig, alipay_answer, paid, ref_of

ORDER = "ORDER00001"
VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "alipay_codes.json"
VENDOR: Final = {
    name: [code if "." in code else f"ACQ.{code}" for code in codes.split()]
    for name, codes in json.loads(VECTORS.read_text("utf-8")).items()
}
TABLES: Final[dict[str, Table]] = {
    "pay": PAY_SUB_CODES,
    "create": ORDER_SUB_CODES,
    "precreate": ORDER_SUB_CODES,
    "query": QUERY_SUB_CODES,
    "cancel": CANCEL_SUB_CODES,
    "close": CLOSE_SUB_CODES,
    "refund": REFUND_SUB_CODES,
    "settle": ROYALTY_SUB_CODES,
    "payer": PAYER_SUB_CODES,
    "face": FACE_SUB_CODES,
}
EVERY: Final = {**TABLES, "gateway": GATEWAY_CODES, "bill": BILL_SUB_CODES}
ROWS = [(name, code) for name, table in EVERY.items() for code in table]
HAN = re.compile(r"[\u4e00-\u9fff]")


def signed(method: str, code: str, sub_code: str = "") -> HttpResponse:
    fields = {"code": code, "msg": "x", "sub_code": sub_code, "sub_msg": "y"}
    return HttpResponse(200, {}, alipay_answer(method, fields))


def refund_request() -> RefundRequest:
    rig = AlipayRig()
    return RefundRequest(
        refund_no="R1",
        payment=ref_of(rig.request(ORDER)),
        amount_fen=5,
        currency="CNY",
        reason="",
        created_at_ms=0,
    )


@pytest.mark.parametrize("method", TABLES)
def test_every_code_of_the_vendors_is_in_its_table(method: str) -> None:
    assert set(VENDOR[method]) - set(TABLES[method]) == set()
    if method not in ("create", "precreate"):
        assert set(TABLES[method]) == set(VENDOR[method])


@pytest.mark.parametrize(("method", "code"), ROWS)
def test_every_row_speaks_both_languages(method: str, code: str) -> None:
    """English in ASCII with a full stop, Chinese in Chinese, both short enough for a till."""
    text = EVERY[method][code].text
    assert text.en.isascii()
    assert text.en.endswith(".")
    assert len(text.en) <= 80
    assert HAN.search(text.zh)
    assert len(text.zh) <= 40


@pytest.mark.parametrize("code", PAY_SUB_CODES)
def test_a_row_of_pay(code: str) -> None:
    """A no with a reason, or the query decides; never a yes, and nothing in between."""
    answer = read_pay(signed("pay", "40004", code), AlipayRig().account, ORDER)
    is_asked = code in VENDOR["unknown_of_pay"]
    assert answer.verdict is (Verdict.UNKNOWN if is_asked else Verdict.DECLINED)
    assert (answer.reason is None) == is_asked
    assert (answer.channel_code, answer.unlisted) == (code, False)
    if answer.reason is DeclineReason.CONFIGURATION:
        assert answer.advice is Advice.CONFIGURATION
    elif answer.reason is DeclineReason.CODE_INVALID:
        assert answer.advice is Advice.FRESH_CODE
    else:
        assert answer.advice is None
    assert TEXTS.payments[code] == PAY_SUB_CODES[code].text


@pytest.mark.parametrize("code", REFUND_SUB_CODES)
def test_a_row_of_refund(code: str) -> None:
    """Money is owed: only what says that this refund can never be ends it."""
    answer = read_refund(signed("refund", "40004", code), AlipayRig().account, refund_request())
    is_asked = code in VENDOR["unknown_of_refund"]
    assert answer.verdict is (Verdict.UNKNOWN if is_asked else Verdict.DECLINED)
    assert (answer.reason is None) == is_asked
    assert (answer.channel_code, answer.unlisted) == (code, False)
    assert TEXTS.refunds[code] == REFUND_SUB_CODES[code].text


@pytest.mark.parametrize("code", CANCEL_SUB_CODES)
def test_a_row_of_cancel(code: str) -> None:
    answer = read_cancel(signed("cancel", "40004", code), AlipayRig().account, ORDER)
    is_final = code in VENDOR["final_of_cancel"]
    assert answer.verdict is (Verdict.DECLINED if is_final else Verdict.UNKNOWN)
    assert (answer.was_paid, answer.unlisted) == (None, False)


@pytest.mark.parametrize("code", CLOSE_SUB_CODES)
def test_a_row_of_close(code: str) -> None:
    answer = read_close(signed("close", "40004", code), AlipayRig().account, ORDER)
    assert (answer.verdict, answer.unlisted) == (Verdict.UNKNOWN, False)


@pytest.mark.parametrize("code", QUERY_SUB_CODES)
def test_a_row_of_query(code: str) -> None:
    account = AlipayRig().account
    answer = read_query(signed("query", "40004", code), account, ORDER)
    assert (answer.verdict, answer.unlisted) == (Verdict.UNKNOWN, False)
    assert answer.not_found == (code == "ACQ.TRADE_NOT_EXIST")
    of_refund = signed("fastpay_refund_query", "40004", code)
    found = read_refund_query(of_refund, account, refund_request())
    assert (found.verdict, found.unlisted) == (Verdict.UNKNOWN, False)
    assert found.not_found == (code == "ACQ.TRADE_NOT_EXIST")


@pytest.mark.parametrize("code", ORDER_SUB_CODES)
def test_a_row_of_an_order(code: str) -> None:
    """As of a payment: what both tables list is one outcome, and nothing is counted."""
    account = AlipayRig().account
    for read, method in ((read_precreate, "precreate"), (read_create, "create")):
        answer = read(signed(method, "40004", code), account, ORDER)
        listed = ORDER_SUB_CODES[code].outcome
        assert (answer.verdict, answer.reason, answer.advice) == (
            listed.verdict,
            listed.reason,
            listed.advice,
        )
        assert (answer.channel_code, answer.unlisted) == (code, False)
        if code in PAY_SUB_CODES:
            assert listed == PAY_SUB_CODES[code].outcome
    assert TEXTS.payments[code] == PAY_SUB_CODES.get(code, ORDER_SUB_CODES[code]).text


def royalty_request() -> RoyaltyRequest:
    share = Share(receiver="2088000000000002", amount_fen=5)
    payment = replace(ref_of(AlipayRig().request(ORDER)), trade_no="T1")
    return RoyaltyRequest(request_no="S1", payment=payment, shares=(share,))


@pytest.mark.parametrize("code", ROYALTY_SUB_CODES)
def test_a_row_of_a_royalty(code: str) -> None:
    said = signed("order_settle", "40004", code)
    answer = read_settle(said, AlipayRig().account, royalty_request())
    listed = ROYALTY_SUB_CODES[code].outcome
    assert (answer.verdict, answer.reason, answer.advice) == (
        listed.verdict,
        listed.reason,
        listed.advice,
    )
    assert (answer.channel_code, answer.unlisted) == (code, False)


def of_payer(code: str, sub_code: str) -> HttpResponse:
    fields = {"code": code, "sub_code": sub_code, "sub_msg": "y"}
    return HttpResponse(
        200, {}, alipay_answer("x", fields, key="alipay_system_oauth_token_response")
    )


def of_face(code: str, sub_code: str) -> HttpResponse:
    key = "zoloz_authentication_customer_smilepay_initialize_response"
    fields = {"code": code, "sub_code": sub_code, "sub_msg": "y"}
    return HttpResponse(200, {}, alipay_answer("x", fields, key=key))


@pytest.mark.parametrize("code", PAYER_SUB_CODES)
def test_a_row_of_who_the_payer_is(code: str) -> None:
    answer = read_token(of_payer("40002", code), AlipayRig().account)
    assert (answer.verdict, answer.unlisted) == (PAYER_SUB_CODES[code].outcome.verdict, False)
    assert (answer.channel_code, answer.payer_id) == (code, "")


@pytest.mark.parametrize("code", FACE_SUB_CODES)
def test_a_row_of_a_face(code: str) -> None:
    for written in (code, code.removeprefix("ACQ.")):
        answer = read_face(of_face("40004", written), AlipayRig().account)
        assert (answer.verdict, answer.unlisted) == (FACE_SUB_CODES[code].outcome.verdict, False)
        assert (answer.channel_code, answer.device_data) == (written, "")


@pytest.mark.parametrize("code", BILL_SUB_CODES)
def test_a_row_of_a_bill(code: str) -> None:
    """Not yet, never, or not now with a word for the operator."""
    fault: type[Exception] = BillUnavailable
    if code in ("BILL_NOT_EXIST", "NO_BILL_DATA"):
        fault = BillPending if code == "BILL_NOT_EXIST" else BillAbsent
    key = "alipay_data_dataservice_bill_downloadurl_query_response"
    fields = {"code": "40004", "sub_code": f"isp.{code.lower()}", "sub_msg": "y"}
    said = HttpResponse(200, {}, alipay_answer("x", fields, key=key))
    with pytest.raises(fault) as told:
        read_bill_url(said, AlipayRig().account, is_late=False)
    if fault is BillUnavailable:
        assert BILL_SUB_CODES[code].text.en in str(told.value)


@pytest.mark.parametrize("code", GATEWAY_CODES)
def test_a_row_of_the_gateway(code: str) -> None:
    """A code without a sub code; 10000 needs what only a payment has."""
    fields = paid(ORDER, "19.90") if code == "10000" else {"code": code, "msg": "x"}
    said = HttpResponse(200, {}, alipay_answer("pay", fields))
    answer = read_pay(said, AlipayRig().account, ORDER)
    listed = GATEWAY_CODES[code]
    assert (answer.verdict, answer.reason) == (listed.outcome.verdict, listed.outcome.reason)
    assert (answer.channel_code, answer.unlisted) == (code, False)
    assert TEXTS.payments[code] == listed.text


@pytest.mark.parametrize("code", ["ACQ.PAYMENT_AUTH_CODE_INVALID", "PAYMENT_AUTH_CODE_INVALID"])
def test_a_text_is_found_under_either_name(code: str) -> None:
    """The prefix may be left out; what the cashier reads is the same."""
    answer = read_pay(signed("pay", "40004", code), AlipayRig().account, ORDER)
    assert (answer.channel_code, answer.advice) == (code, Advice.FRESH_CODE)
    listed = PAY_SUB_CODES["ACQ.PAYMENT_AUTH_CODE_INVALID"]
    assert TEXTS.payments[answer.channel_code] == listed.text


def test_the_refund_query_may_leave_the_prefix_out() -> None:
    said = signed("fastpay_refund_query", "40004", "TRADE_NOT_EXIST")
    assert read_refund_query(said, AlipayRig().account, refund_request()).not_found


@pytest.mark.parametrize(
    ("code", "sub_code"), [("40004", "ACQ.NEW"), ("40004", ""), ("50000", "x"), ("", "")]
)
def test_what_no_table_knows_is_unknown_and_counted(code: str, sub_code: str) -> None:
    account = AlipayRig().account
    tried = read_pay(signed("pay", code, sub_code), account, ORDER)
    asked = read_query(signed("query", code, sub_code), account, ORDER)
    undone = read_cancel(signed("cancel", code, sub_code), account, ORDER)
    closed = read_close(signed("close", code, sub_code), account, ORDER)
    returned = read_refund(signed("refund", code, sub_code), account, refund_request())
    said = signed("fastpay_refund_query", code, sub_code)
    found = read_refund_query(said, account, refund_request())
    code_made = read_precreate(signed("precreate", code, sub_code), account, ORDER)
    page_made = read_create(signed("create", code, sub_code), account, ORDER)
    shared = read_settle(signed("order_settle", code, sub_code), account, royalty_request())
    payer, face = (
        read_token(of_payer(code, sub_code), account),
        read_face(of_face(code, sub_code), account),
    )
    for answer in (
        tried, asked, undone, closed, returned, found, code_made, page_made, shared, payer, face,
    ):  # fmt: skip
        assert (answer.verdict, answer.unlisted) == (Verdict.UNKNOWN, True)


def test_a_state_that_no_table_knows_is_counted_too() -> None:
    fields = {"code": "10000", "out_trade_no": ORDER, "trade_status": "TRADE_NEW"}
    said = HttpResponse(200, {}, alipay_answer("query", fields))
    answer = read_query(said, AlipayRig().account, ORDER)
    assert (answer.verdict, answer.unlisted) == (Verdict.UNKNOWN, True)


@pytest.mark.parametrize(
    ("code", "sub_code", "verdict", "advice"),
    [
        ("20000", "isp.unknow-error", Verdict.UNKNOWN, None),
        ("20000", "aop.unknow-error", Verdict.UNKNOWN, None),
        ("20000", "aop.ACQ.SYSTEM_ERROR", Verdict.UNKNOWN, None),
        ("40005", "isv.call-limited", Verdict.UNKNOWN, None),
        ("20001", "aop.invalid-auth-token", Verdict.DECLINED, Advice.CONFIGURATION),
        ("40001", "isv.missing-signature", Verdict.DECLINED, Advice.CONFIGURATION),
        ("40002", "isv.invalid-signature", Verdict.DECLINED, Advice.CONFIGURATION),
        ("40002", "isp.unknow-error", Verdict.UNKNOWN, None),
        ("40003", "isv.insufficient-isv-permissions", Verdict.DECLINED, Advice.CONFIGURATION),
        ("40006", "isv.insufficient-user-permissions", Verdict.DECLINED, Advice.CONFIGURATION),
        ("40004", "aop.ACQ.SYSTEM_ERROR", Verdict.UNKNOWN, None),
    ],
)
def test_the_gateways_own_codes(
    code: str, sub_code: str, verdict: Verdict, advice: Advice | None
) -> None:
    """Of a payment its refusals are final; of what must still end they only raise the alarm."""
    account = AlipayRig().account
    answer = read_pay(signed("pay", code, sub_code), account, ORDER)
    assert (answer.verdict, answer.advice, answer.unlisted) == (verdict, advice, False)
    refund = read_refund(signed("refund", code, sub_code), account, refund_request())
    assert (refund.verdict, refund.unlisted) == (Verdict.UNKNOWN, False)
    if verdict is Verdict.DECLINED:
        assert refund.advice is Advice.CONFIGURATION


def test_bill_codes_are_listed() -> None:
    expected = {"BILL_NOT_EXIST", "INVAILID_ARGUMENTS", "UNKNOWN_ERROR", "NO_BILL_DATA"}
    assert set(BILL_SUB_CODES) == expected
