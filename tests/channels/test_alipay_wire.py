"""Alipay's requests and answers, without a network."""

import base64
from urllib.parse import parse_qs, quote_plus

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.alipay.codes import pay_outcome
from channels.alipay.envelope import form_quoted
from channels.alipay.wire import (
    build_pay,
    build_query,
    read_cancel,
    read_pay,
    read_query,
    subject_text,
)
from channels.port import Advice, Answer, HttpResponse, UndoAnswer, Verdict
from domain.decline import DeclineReason
from signing.alipay import string_to_sign
from signing.rsa import verify_sha256
from tests.channels.rigs import AlipayRig, alipay_answer, paid, ref_of, rsa_key

ORDER = "ORDER00001"
NOW_MS = 1_795_331_737_042  # 2026-11-22T07:15:37Z, 15:15:37 in Beijing


def pay_answer(body: bytes, **settings: str) -> Answer:
    return read_pay(HttpResponse(200, {}, body), AlipayRig(**settings).account, ORDER)


def query_answer(fields: dict[str, object]) -> Answer:
    body = alipay_answer("query", fields)
    return read_query(HttpResponse(200, {}, body), AlipayRig().account, ORDER)


def cancel_answer(fields: dict[str, object]) -> UndoAnswer:
    body = alipay_answer("cancel", fields)
    return read_cancel(HttpResponse(200, {}, body), AlipayRig().account, ORDER)


def form_of(body: bytes) -> dict[str, str]:
    fields = parse_qs(body.decode("ascii"), strict_parsing=True)
    assert all(len(values) == 1 for values in fields.values())
    return {name: values[0] for name, values in fields.items()}


def test_pay_is_a_signed_form_with_yuan_and_beijing_time() -> None:
    rig = AlipayRig()
    request = build_pay(rig.request(ORDER), rig.account, NOW_MS)
    form = form_of(request.body)
    assert request.method == "POST"
    assert request.timeout_s == 10
    assert form["timestamp"] == "2026-11-22 15:15:37"
    assert (form["method"], form["sign_type"], form["version"]) == (
        "alipay.trade.pay",
        "RSA2",
        "1.0",
    )
    content = orjson.loads(form["biz_content"])
    assert content["total_amount"] == "19.90"
    assert content["out_trade_no"] == ORDER
    assert content["scene"] == "bar_code"
    signature = base64.b64decode(form["sign"])
    assert verify_sha256(rsa_key("app").public_key(), string_to_sign(form), signature)


def test_a_query_names_our_number_alone() -> None:
    rig = AlipayRig()
    form = form_of(build_query(ref_of(rig.request(ORDER)), rig.account, NOW_MS).body)
    assert orjson.loads(form["biz_content"]) == {"out_trade_no": ORDER}


def test_a_face_token_goes_as_security_code() -> None:
    rig = AlipayRig()
    request = rig.request(ORDER)
    face = type(request)(
        order_no=ORDER,
        amount_fen=1,
        currency="CNY",
        subject="x",
        created_at_ms=0,
        auth_code="fp" + "a" * 33,
    )
    content = orjson.loads(form_of(build_pay(face, rig.account, NOW_MS).body)["biz_content"])
    assert (content["scene"], content["total_amount"]) == ("security_code", "0.01")


@pytest.mark.parametrize(
    ("subject", "sent"),
    [("a/b=c&d", "a b c d"), ("茶\n水", "茶 水"), ("  ", "Payment"), ("x" * 300, "x" * 256)],
)
def test_a_subject_loses_what_alipay_refuses(subject: str, sent: str) -> None:
    assert subject_text(subject) == sent


def test_an_approval_tells_amount_numbers_and_time() -> None:
    answer = pay_answer(alipay_answer("pay", paid(ORDER, "19.9", trans_currency="CNY")))
    assert answer == Answer(
        verdict=Verdict.SUCCEEDED,
        amount_fen=1990,
        currency="CNY",
        order_no=ORDER,
        trade_no="2026112222001404120000000001",
        channel_code="10000",
        paid_at_ms=1_795_331_738_000,
    )


@pytest.mark.parametrize("amount", ["", "19.999", "1e3", "abc", "１９.90"])
def test_an_approval_without_a_readable_amount_is_unknown(amount: str) -> None:
    assert pay_answer(alipay_answer("pay", paid(ORDER, amount))).verdict is Verdict.UNKNOWN


def test_user_paying_is_pending() -> None:
    answer = pay_answer(alipay_answer("pay", {"code": "10003", "out_trade_no": ORDER}))
    assert answer.verdict is Verdict.PENDING


def test_a_signed_query_answer_under_pays_name_is_no_approval() -> None:
    """The signature does not cover the name of the call."""
    waiting = paid(ORDER, "19.90", trade_status="WAIT_BUYER_PAY")
    assert pay_answer(alipay_answer("pay", waiting)).verdict is Verdict.UNKNOWN


def test_an_invalid_code_asks_for_a_fresh_one() -> None:
    refused = {"code": "40004", "sub_code": "ACQ.PAYMENT_AUTH_CODE_INVALID"}
    answer = pay_answer(alipay_answer("pay", refused))
    assert (answer.verdict, answer.reason, answer.advice) == (
        Verdict.DECLINED,
        DeclineReason.CODE_INVALID,
        Advice.FRESH_CODE,
    )


@pytest.mark.parametrize("code", ["20001", "40001", "40002", "40003", "40006"])
def test_the_gateways_signed_refusal_is_a_set_up_fault(code: str) -> None:
    answer = pay_answer(alipay_answer("pay", {"code": code}, key="error_response"))
    assert (answer.verdict, answer.reason) == (Verdict.DECLINED, DeclineReason.CONFIGURATION)


@pytest.mark.parametrize("key", ["error_response", "alipay_trade_pay_response"])
def test_the_gateways_unsigned_refusal_ends_nothing_but_raises_the_alarm(key: str) -> None:
    body = orjson.dumps({key: {"code": "40002", "sub_code": "isv.invalid-app-id"}})
    answer = pay_answer(body)
    assert (answer.verdict, answer.advice) == (Verdict.UNKNOWN, Advice.CONFIGURATION)
    assert answer.channel_code == "40002"


@pytest.mark.parametrize(
    "sub_code", ["ACQ.TRADE_HAS_SUCCESS", "ACQ.TRADE_HAS_CLOSE", "ACQ.CONTEXT_INCONSISTENT"]
)
def test_a_code_about_an_earlier_trade_is_unknown(sub_code: str) -> None:
    outcome = pay_outcome("40004", sub_code)
    assert outcome is not None
    assert outcome.verdict is Verdict.UNKNOWN


def test_another_seller_is_not_believed() -> None:
    body = alipay_answer("pay", paid(ORDER, "19.90", seller_id="2088000000000002"))
    assert pay_answer(body, seller_id="2088000000000001").verdict is Verdict.UNKNOWN
    assert pay_answer(body, seller_id="2088000000000002").verdict is Verdict.SUCCEEDED


def test_a_vendors_text_never_shows_a_payment_code() -> None:
    refused = {"code": "40004", "sub_code": "ACQ.PAYMENT_FAIL", "sub_msg": "280000000000000001?"}
    assert pay_answer(alipay_answer("pay", refused)).channel_message == "…?"


@pytest.mark.parametrize("state", ["TRADE_SUCCESS", "TRADE_FINISHED"])
def test_a_query_finds_a_paid_trade(state: str) -> None:
    answer = query_answer(paid(ORDER, "19.90", trade_status=state))
    assert (answer.verdict, answer.amount_fen) == (Verdict.SUCCEEDED, 1990)


@pytest.mark.parametrize(
    ("fields", "verdict", "not_found"),
    [
        (paid(ORDER, "19.90", trade_status="WAIT_BUYER_PAY"), Verdict.PENDING, False),
        (paid(ORDER, "19.90", trade_status="TRADE_CLOSED"), Verdict.UNKNOWN, False),
        (paid(ORDER, "19.90"), Verdict.UNKNOWN, False),
        (paid("OTHER", "19.90", trade_status="TRADE_SUCCESS"), Verdict.UNKNOWN, False),
        ({"code": "40004", "sub_code": "ACQ.TRADE_NOT_EXIST"}, Verdict.UNKNOWN, True),
        ({"code": "20000", "sub_code": "ACQ.TRADE_NOT_EXIST"}, Verdict.UNKNOWN, False),
        ({"code": "40004", "sub_code": "ACQ.SYSTEM_ERROR"}, Verdict.UNKNOWN, False),
        ({"code": "40002"}, Verdict.UNKNOWN, False),
    ],
)
def test_a_query_never_declines(
    fields: dict[str, object], verdict: Verdict, not_found: bool
) -> None:
    answer = query_answer(fields)
    assert (answer.verdict, answer.not_found) == (verdict, not_found)


CANCELS: list[tuple[dict[str, object], Verdict, bool | None]] = [
    ({"code": "10000", "out_trade_no": ORDER, "action": "close"}, Verdict.SUCCEEDED, False),
    ({"code": "10000", "out_trade_no": ORDER, "action": "refund"}, Verdict.SUCCEEDED, True),
    ({"code": "10000", "out_trade_no": ORDER, "retry_flag": "N"}, Verdict.SUCCEEDED, None),
    (
        {"code": "10000", "out_trade_no": ORDER, "action": "close", "retry_flag": "Y"},
        Verdict.UNKNOWN,
        None,
    ),
    ({"code": "10000", "out_trade_no": ORDER, "action": "new"}, Verdict.UNKNOWN, None),
    ({"code": "10000", "action": "close"}, Verdict.UNKNOWN, None),
    ({"code": "10000", "out_trade_no": "OTHER", "action": "close"}, Verdict.UNKNOWN, None),
    ({"code": "40004", "sub_code": "ACQ.SYSTEM_ERROR"}, Verdict.UNKNOWN, None),
    ({"code": "40004", "sub_code": "AQC.SYSTEM_ERROR"}, Verdict.UNKNOWN, None),
    ({"code": "40004", "sub_code": "ACQ.SELLER_BALANCE_NOT_ENOUGH"}, Verdict.UNKNOWN, None),
    ({"code": "40004", "sub_code": "ACQ.TRADE_CANCEL_TIME_OUT"}, Verdict.DECLINED, None),
]


@pytest.mark.parametrize(("fields", "verdict", "was_paid"), CANCELS)
def test_a_cancel_says_whether_money_went_back(
    fields: dict[str, object], verdict: Verdict, was_paid: bool | None
) -> None:
    undone = cancel_answer(fields)
    assert (undone.verdict, undone.was_paid) == (verdict, was_paid)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=80))
def test_the_quick_quoting_is_quote_plus(text: str) -> None:
    assert form_quoted(text) == quote_plus(text)
    assert form_quoted('%+ {}"/=&' + text) == quote_plus('%+ {}"/=&' + text)
