"""Alipay's refunds on the wire: requests built, answers read. Pure.

Rules:

* 10000 alone proves nothing. ``fund_change`` is ``Y`` when this very call moved the
  money; ``N`` (or nothing) means "done before, or not at all", and only the query of
  this ``out_request_no`` tells which.
* ``refund_fee`` is cumulative over all refunds of the trade: it must at least hold
  ours, and be no more than was paid.
* The query answers 10000 for a refund that it does not know. ``REFUND_SUCCESS`` with our
  two numbers is a yes; an absent ``refund_status`` is "not done", never a no.

Reference ``channels.md`` A3, A4.
"""

from typing import Final

from channels.alipay.account import AlipayAccount
from channels.alipay.codes import (
    BUSINESS_FAILED,
    SUCCESS,
    TRADE_NOT_EXIST,
    bare,
    is_answer,
    outcome_of,
)
from channels.alipay.distrust import Distrusted
from channels.alipay.envelope import (
    Fields,
    message_of,
    request_of,
    require_order,
    text_of,
    verified,
)
from channels.alipay.later_codes import QUERY_SUB_CODES, REFUND_SUB_CODES
from channels.alipay.outcome import ASK
from channels.alipay.wire import subject_text
from channels.port import Advice, HttpRequest, HttpResponse, RefundAnswer, RefundRequest, Verdict
from domain.money import MoneyError, format_yuan, parse_yuan

NO_CHANGE: Final = "fund_change=N"
"""The code of an ``UNKNOWN`` answer that the query must decide."""
_REFUNDED: Final = "REFUND_SUCCESS"


def build_refund(
    request: RefundRequest, account: AlipayAccount, now_ms: int, nonce: str = ""
) -> HttpRequest:
    """``alipay.trade.refund`` of a part or all, under our ``out_request_no``.

    Raises:
        domain.money.MoneyError: the amount is not an integer.
    """
    content = {
        "out_trade_no": request.payment.order_no,
        "refund_amount": format_yuan(request.amount_fen),
        "out_request_no": request.refund_no,
    }
    if request.reason:
        content["refund_reason"] = subject_text(request.reason)
    return request_of("alipay.trade.refund", content, account, now_ms, nonce)


def build_refund_query(
    request: RefundRequest, account: AlipayAccount, now_ms: int, nonce: str = ""
) -> HttpRequest:
    """``alipay.trade.fastpay.refund.query`` by our two numbers."""
    content = {"out_trade_no": request.payment.order_no, "out_request_no": request.refund_no}
    return request_of("alipay.trade.fastpay.refund.query", content, account, now_ms, nonce)


def read_refund(
    response: HttpResponse, account: AlipayAccount, request: RefundRequest
) -> RefundAnswer:
    """What a refund that was just sent came to."""
    order_no = request.payment.order_no
    try:
        fields = verified(response, "alipay_trade_refund_response", account, order_no)
        code, sub_code = text_of(fields, "code"), text_of(fields, "sub_code")
        if code == SUCCESS:
            return _sent(fields, request)
    except Distrusted as fault:
        return _unknown(fault)
    found = outcome_of(REFUND_SUB_CODES, code, sub_code)
    outcome = found or ASK
    return RefundAnswer(
        answered=is_answer(code, sub_code),
        unlisted=found is None,
        verdict=outcome.verdict,
        reason=outcome.reason,
        advice=outcome.advice,
        channel_code=sub_code or code,
        channel_message=message_of(fields),
    )


def _sent(fields: Fields, request: RefundRequest) -> RefundAnswer:
    require_order(fields, request.payment.order_no)
    _require_number(fields, request)
    total_fen = _fen(fields, "refund_fee")
    if not request.amount_fen <= total_fen <= request.payment.amount_fen:
        raise Distrusted("the trade's refunds do not hold ours", SUCCESS)
    if text_of(fields, "fund_change") == "Y":
        return RefundAnswer(
            verdict=Verdict.SUCCEEDED,
            refund_no=text_of(fields, "out_request_no"),
            channel_code=SUCCESS,
        )
    return RefundAnswer(verdict=Verdict.UNKNOWN, channel_code=NO_CHANGE, answered=True)


def read_refund_query(
    response: HttpResponse, account: AlipayAccount, request: RefundRequest
) -> RefundAnswer:
    """What became of a refund."""
    order_no = request.payment.order_no
    key = "alipay_trade_fastpay_refund_query_response"
    try:
        fields = verified(response, key, account, order_no)
        code, sub_code = text_of(fields, "code"), text_of(fields, "sub_code")
        if code == SUCCESS:
            return _found(fields, request)
    except Distrusted as fault:
        return _unknown(fault)
    outcome = outcome_of(QUERY_SUB_CODES, code, sub_code)
    return RefundAnswer(
        verdict=Verdict.UNKNOWN,
        answered=is_answer(code, sub_code),
        channel_code=sub_code or code,
        channel_message=message_of(fields),
        advice=None if outcome is None else outcome.advice,
        not_found=code == BUSINESS_FAILED and bare(sub_code) == TRADE_NOT_EXIST,
        unlisted=outcome is None,
    )


def _found(fields: Fields, request: RefundRequest) -> RefundAnswer:
    _require_number(fields, request)
    status = text_of(fields, "refund_status")
    if status == _REFUNDED:
        require_order(fields, request.payment.order_no)
        if fields.get("out_request_no") != request.refund_no:
            raise Distrusted("the answer does not name our refund", SUCCESS)
        return RefundAnswer(
            verdict=Verdict.SUCCEEDED,
            amount_fen=_fen(fields, "refund_amount"),
            refund_no=request.refund_no,
            channel_code=status,
        )
    # A signed answer of another call put under the query's name would carry one of these.
    foreign = any(name in fields for name in ("trade_status", "action", "fund_change"))
    return RefundAnswer(
        verdict=Verdict.UNKNOWN,
        channel_code=status or SUCCESS,
        answered=True,
        not_found=not foreign and "refund_status" not in fields,
    )


def _require_number(fields: Fields, request: RefundRequest) -> None:
    if text_of(fields, "out_request_no") not in ("", request.refund_no):
        raise Distrusted("the answer names another refund", SUCCESS)


def _fen(fields: Fields, name: str) -> int:
    try:
        return parse_yuan(text_of(fields, name))
    except MoneyError:
        raise Distrusted("refunded, and no amount that can be read", SUCCESS) from None


def _unknown(fault: Distrusted) -> RefundAnswer:
    return RefundAnswer(
        verdict=Verdict.UNKNOWN,
        channel_code=fault.code,
        channel_message=fault.why,
        advice=Advice.CONFIGURATION if fault.misconfigured else None,
    )
