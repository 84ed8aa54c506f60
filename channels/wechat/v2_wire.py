"""Payments over APIv2: requests built, answers read. Pure.

Rules: answers are believed as ``v2.py`` says, codes mean what ``codes.py`` says. A yes names
our order, its amount and WeChat's own number. A reversal is done when it says SUCCESS *and*
``recall=N``; while the payer is paying it fails, and is repeated.

Reference ``channels.md`` B1.
"""

import json
from typing import Final

from channels.one_call import Unwritable
from channels.port import (
    Advice,
    Answer,
    HttpRequest,
    HttpResponse,
    PaymentRef,
    PayRequest,
    UndoAnswer,
    Verdict,
)
from channels.wechat.account import WechatAccount
from channels.wechat.codes import (
    PAY_V2,
    QUERY_V2,
    REVERSE_V2,
    TRADE_STATES,
    UNKNOWN,
    UNLISTED,
    Outcome,
    is_answer,
)
from channels.wechat.texts import code_word, cut_bytes, v2_time_ms
from channels.wechat.v2 import (
    FACE_QUERY,
    FACE_REVERSE,
    FACEPAY,
    MICROPAY,
    QUERY,
    REVERSE,
    Distrusted,
    Fields,
    believe,
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

FACE_METHOD: Final = "face"
FACE_SEPARATOR: Final = "|"
"""Between the face's token and the payer's openid in the code of a payment by face."""

_BODY_BYTES: Final = 127
_STORE_LENGTH: Final = 32
_NOT_OF_PAY: Final = frozenset({"refund_id", "refund_count", "recall", "prepay_id", "code_url"})
_NOT_OF_QUERY: Final = frozenset({"refund_id", "refund_count", "recall", "prepay_id"})
_NOT_OF_REVERSE: Final = frozenset(
    {"trade_state", "refund_id", "refund_count", "total_fee", "prepay_id"}
)


def is_face(auth_code: str) -> bool:
    """Whether a payment's code is a face's token with its openid."""
    return FACE_SEPARATOR in auth_code


def build_pay(request: PayRequest, account: WechatAccount, nonce: str) -> HttpRequest:
    """``micropay`` with a scanned code, ``facepay`` with a face.

    Raises:
        domain.money.MoneyError: the amount is not one.
        Unwritable: something cannot be sent.
    """
    if not request.auth_code:
        raise Unwritable("no payment code")
    content = {
        "body": cut_bytes(request.subject, _BODY_BYTES),
        "out_trade_no": request.order_no,
        "total_fee": str(payable_fen(request.amount_fen)),
        "fee_type": request.currency,
        "spbill_create_ip": account.till_ip,
        "device_info": request.terminal_id[:_STORE_LENGTH],
    }
    if request.store_id:
        store = {"id": request.store_id[:_STORE_LENGTH]}
        content["scene_info"] = json.dumps({"store_info": store})
    if is_face(request.auth_code):
        face_code, _, openid = request.auth_code.partition(FACE_SEPARATOR)
        content |= {"face_code": face_code, "openid": openid}
        return request_of(FACEPAY, content, account, nonce)
    content["auth_code"] = request.auth_code
    return request_of(MICROPAY, content, account, nonce)


def build_query(ref: PaymentRef, account: WechatAccount, nonce: str) -> HttpRequest:
    """``orderquery`` (``facepayquery``) by our number, or by WeChat Pay's without it."""
    api = FACE_QUERY if ref.method == FACE_METHOD else QUERY
    theirs = "" if ref.order_no else ref.trade_no
    content = {"out_trade_no": ref.order_no, "transaction_id": theirs}
    return request_of(api, content, account, nonce)


def build_reverse(ref: PaymentRef, account: WechatAccount, nonce: str) -> HttpRequest:
    """``reverse`` (``facepayreverse``) by our number, with the merchant's certificate."""
    api = FACE_REVERSE if ref.method == FACE_METHOD else REVERSE
    return request_of(api, {"out_trade_no": ref.order_no}, account, nonce)


def read_pay(response: HttpResponse, account: WechatAccount, order_no: str) -> Answer:
    """What WeChat Pay says about a payment that was just tried."""
    try:
        fields = verified(response, account, order_no)
        require_own(fields, foreign=_NOT_OF_PAY)
        if fields.get("result_code") == "SUCCESS":
            if fields.get("trade_state", "SUCCESS") != "SUCCESS":
                raise Distrusted("not an answer to a payment")
            return _paid(fields, order_no)
    except Distrusted as fault:
        return _unknown(fault)
    return _said(fields, PAY_V2.get(code_of(fields), UNLISTED))


def read_query(
    response: HttpResponse, account: WechatAccount, order_no: str, trade_no: str = ""
) -> Answer:
    """What became of a payment; an answer about its state, yes or no, names our order.

    Without ``order_no`` it was asked about by ``trade_no``, and must name that.
    """
    try:
        fields = verified(response, account, order_no)
        require_own(fields, foreign=_NOT_OF_QUERY)
        if fields.get("result_code") != "SUCCESS":
            return _said(fields, QUERY_V2.get(code_of(fields), UNLISTED))
        if not order_no and trade_no and fields.get("transaction_id") == trade_no:
            order_no = fields.get("out_trade_no", "")
        require_order(fields, order_no)
        state = fields.get("trade_state", "")
        outcome = TRADE_STATES.get(state, UNLISTED)
        if outcome.verdict is Verdict.SUCCEEDED:
            return _paid(fields, order_no)
    except Distrusted as fault:
        return _unknown(fault)
    return Answer(
        verdict=outcome.verdict,
        reason=outcome.reason,
        order_no=order_no,
        channel_code=code_word(state),
        hopeless=outcome.hopeless,
        unlisted=outcome.unlisted,
        answered=True,
    )


def read_notified(fields: Fields, account: WechatAccount, order_no: str) -> Answer:
    """What a notification of a payment says; it is signed like an answer.

    Raises:
        Distrusted: it cannot be believed.
    """
    believe(fields, account, order_no)
    require_own(fields, foreign=_NOT_OF_PAY)
    if fields.get("result_code") == "SUCCESS":
        return _paid(fields, order_no)
    return Answer(verdict=Verdict.UNKNOWN, channel_code=code_of(fields), answered=True)


def read_reverse(response: HttpResponse, account: WechatAccount, order_no: str) -> UndoAnswer:
    """What a reversal came to; it does not tell whether money had been taken."""
    try:
        fields = verified(response, account, order_no)
        require_own(fields, foreign=_NOT_OF_REVERSE)
        if fields.get("result_code") == "SUCCESS":
            require_us(fields)
    except Distrusted as fault:
        return UndoAnswer(
            verdict=Verdict.UNKNOWN, channel_code=fault.code, channel_message=fault.why
        )
    code, recall = code_of(fields), fields.get("recall", "")
    if code == "SUCCESS" and recall == "N":
        return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=None, channel_code="reverse")
    outcome = UNKNOWN if code == "SUCCESS" else REVERSE_V2.get(code, UNLISTED)
    return UndoAnswer(
        verdict=Verdict.UNKNOWN if recall == "Y" else outcome.verdict,
        channel_code="recall=Y" if recall == "Y" and not outcome.unlisted else code,
        channel_message=message_of(fields),
        answered=is_answer(code),
        unlisted=outcome.unlisted,
    )


def _paid(fields: Fields, order_no: str) -> Answer:
    require_us(fields)
    require_order(fields, order_no)
    if not fields.get("transaction_id"):
        raise Distrusted("paid, and no number of WeChat Pay's")
    return Answer(
        verdict=Verdict.SUCCEEDED,
        amount_fen=fen_of(fields, "total_fee"),
        currency=fields.get("fee_type", ""),
        order_no=order_no,
        trade_no=fields["transaction_id"],
        channel_code="SUCCESS",
        paid_at_ms=v2_time_ms(fields.get("time_end", "")),
    )


def _said(fields: Fields, outcome: Outcome) -> Answer:
    code = code_of(fields)
    return Answer(
        verdict=outcome.verdict,
        reason=outcome.reason,
        advice=outcome.advice,
        channel_code=code,
        channel_message=message_of(fields),
        not_found=outcome.not_found,
        unlisted=outcome.unlisted,
        answered=is_answer(code) and outcome.advice is not Advice.CONFIGURATION,
    )


def _unknown(fault: Distrusted) -> Answer:
    return Answer(
        verdict=Verdict.UNKNOWN,
        channel_code=fault.code,
        channel_message=fault.why,
        advice=fault.advice,
    )
