"""Refunds over APIv2: requests built, answers read. Pure.

Rules: SUCCESS of a refund says that it was *accepted*; the money is back when the query of
this ``out_refund_no`` says so. A listed refusal is the adapter's to confirm: it asks whether
such a refund exists. Reference ``channels.md`` B1.
"""

from typing import Final

from channels.port import HttpRequest, HttpResponse, RefundAnswer, RefundRequest, Verdict
from channels.wechat.account import WechatAccount
from channels.wechat.codes import (
    REFUND_QUERY_V2,
    REFUND_STATES,
    REFUND_V2,
    UNLISTED,
    Outcome,
    is_answer,
)
from channels.wechat.texts import code_word, cut_bytes
from channels.wechat.v2 import (
    REFUND,
    REFUND_QUERY,
    Distrusted,
    Fields,
    code_of,
    fen_of,
    message_of,
    request_of,
    require_order,
    require_own,
    require_us,
    verified,
)
from domain.money import payable_fen

_REASON_BYTES: Final = 80
_NOT_OF_REFUND: Final = frozenset({"trade_state", "recall", "prepay_id", "refund_status_0"})
_NOT_OF_QUERY: Final = frozenset({"trade_state", "recall", "prepay_id"})


def build_refund(
    request: RefundRequest, account: WechatAccount, nonce: str, notify_url: str
) -> HttpRequest:
    """``secapi/pay/refund`` of a part or all, with the merchant's certificate.

    Raises:
        domain.money.MoneyError: an amount is not one.
        Unwritable: the account has no certificate.
    """
    content = {
        "out_trade_no": request.payment.order_no,
        "out_refund_no": request.refund_no,
        "total_fee": str(payable_fen(request.payment.amount_fen)),
        "refund_fee": str(payable_fen(request.amount_fen)),
        "refund_fee_type": request.currency,
        "notify_url": notify_url,
    }
    if request.reason:
        content["refund_desc"] = cut_bytes(request.reason, _REASON_BYTES)
    return request_of(REFUND, content, account, nonce)


def build_refund_query(request: RefundRequest, account: WechatAccount, nonce: str) -> HttpRequest:
    """``refundquery`` by our refund's number."""
    return request_of(REFUND_QUERY, {"out_refund_no": request.refund_no}, account, nonce)


def read_refund(
    response: HttpResponse, account: WechatAccount, request: RefundRequest
) -> RefundAnswer:
    """What a refund that was just sent came to: accepted is ``PENDING``."""
    try:
        fields = verified(response, account, request.payment.order_no)
        require_own(fields, foreign=_NOT_OF_REFUND)
        if fields.get("result_code") == "SUCCESS":
            return _accepted(fields, request)
    except Distrusted as fault:
        return _unknown(fault)
    return _said(fields, REFUND_V2.get(code_of(fields), UNLISTED))


def read_refund_query(
    response: HttpResponse, account: WechatAccount, request: RefundRequest
) -> RefundAnswer:
    """What became of a refund; one was asked about, so it is the first of the answer."""
    try:
        fields = verified(response, account, request.payment.order_no)
        require_own(fields, foreign=_NOT_OF_QUERY)
        if fields.get("result_code") != "SUCCESS":
            return _said(fields, REFUND_QUERY_V2.get(code_of(fields), UNLISTED))
        require_us(fields)
        require_order(fields, request.payment.order_no)
        if fields.get("out_refund_no_0") != request.refund_no:
            raise Distrusted("the answer does not name our refund")
        state = fields.get("refund_status_0", "")
        outcome = REFUND_STATES.get(state, UNLISTED)
        done = outcome.verdict is Verdict.SUCCEEDED
        amount_fen = fen_of(fields, "refund_fee_0") if done else None
    except Distrusted as fault:
        return _unknown(fault)
    return RefundAnswer(
        verdict=outcome.verdict,
        amount_fen=amount_fen,
        refund_no=request.refund_no,
        reason=outcome.reason,
        advice=outcome.advice,
        channel_code=code_word(state),
        unlisted=outcome.unlisted,
        answered=True,
    )


def _accepted(fields: Fields, request: RefundRequest) -> RefundAnswer:
    require_us(fields)
    require_order(fields, request.payment.order_no)
    if fields.get("out_refund_no") != request.refund_no:
        raise Distrusted("the answer does not name our refund")
    if fen_of(fields, "refund_fee") != request.amount_fen:
        raise Distrusted("another amount was accepted than ours")
    return RefundAnswer(
        verdict=Verdict.PENDING,
        refund_no=request.refund_no,
        channel_code="SUCCESS",
        answered=True,
    )


def _said(fields: Fields, outcome: Outcome) -> RefundAnswer:
    code = code_of(fields)
    return RefundAnswer(
        verdict=outcome.verdict,
        reason=outcome.reason,
        advice=outcome.advice,
        channel_code=code,
        channel_message=message_of(fields),
        not_found=outcome.not_found,
        unlisted=outcome.unlisted,
        answered=is_answer(code),
    )


def _unknown(fault: Distrusted) -> RefundAnswer:
    return RefundAnswer(
        verdict=Verdict.UNKNOWN,
        channel_code=fault.code,
        channel_message=fault.why,
        advice=fault.advice,
    )
