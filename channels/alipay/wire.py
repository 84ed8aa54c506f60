"""Alipay's payments on the wire: requests built, answers read. Pure.

Rules:

* Answers are believed as ``envelope.py`` says. Each reader also demands what only its
  own call answers, since a signature does not cover which call was answered.
* Every answer that names another order, seller or shape is ``UNKNOWN``.
* Amounts cross as text in yuan by integer arithmetic; times are Beijing's.

Reference ``channels.md`` A1, A3, A4.
"""

import re
from typing import Final

from channels.alipay.account import AlipayAccount, Transport
from channels.alipay.codes import (
    BUSINESS_FAILED,
    SUCCESS,
    TRADE_NOT_EXIST,
    USER_PAYING,
    bare,
    is_answer,
    outcome_of,
    pay_outcome,
)
from channels.alipay.distrust import Distrusted
from channels.alipay.envelope import (
    Fields,
    message_of,
    request_of,
    require_order,
    text_of,
    time_ms,
    verified,
)
from channels.alipay.later_codes import (
    CANCEL_IMPOSSIBLE,
    CANCEL_SUB_CODES,
    CLOSE_SUB_CODES,
    QUERY_SUB_CODES,
)
from channels.alipay.outcome import ASK
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
from domain.money import MoneyError, format_yuan, parse_yuan

PAID_STATES: Final = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED"})
WAIT_BUYER_PAY: Final = "WAIT_BUYER_PAY"
TRADE_CLOSED: Final = "TRADE_CLOSED"
_SUBJECT_LENGTH: Final = 256
_NOT_IN_A_SUBJECT: Final = re.compile(r"[/=&\x00-\x1f\x7f]")


def build_pay(
    request: PayRequest, account: AlipayAccount, now_ms: int, nonce: str = ""
) -> HttpRequest:
    """``alipay.trade.pay`` with a scanned code, or with a face token (``fp…``).

    Raises:
        domain.money.MoneyError: the amount is not an integer.
        Unwritable: there is no code.
    """
    if not request.auth_code:
        raise Unwritable("no payment code")
    content: dict[str, object] = {
        "out_trade_no": request.order_no,
        "scene": "security_code" if request.auth_code.startswith("fp") else "bar_code",
        "auth_code": request.auth_code,
        "subject": subject_text(request.subject),
        "total_amount": format_yuan(request.amount_fen),
        "product_code": "FACE_TO_FACE_PAYMENT",
    }
    if request.store_id:
        content["store_id"] = request.store_id
    if request.terminal_id:
        content["terminal_id"] = request.terminal_id
    content |= extended(account)
    return request_of("alipay.trade.pay", content, account, now_ms, nonce, account.notify_url)


def extended(account: AlipayAccount) -> dict[str, object]:
    """What a service provider, and who shares it later, adds to every order."""
    extra: dict[str, object] = {}
    if account.service_provider_id:
        extra["sys_service_provider_id"] = account.service_provider_id
    if account.royalty_freeze:
        extra["royalty_freeze"] = "true"
    return {"extend_params": extra} if extra else {}


def build_query(
    ref: PaymentRef, account: AlipayAccount, now_ms: int, nonce: str = ""
) -> HttpRequest:
    """``alipay.trade.query`` by our number."""
    content = {"out_trade_no": ref.order_no}
    return request_of("alipay.trade.query", content, account, now_ms, nonce)


def build_cancel(
    ref: PaymentRef, account: AlipayAccount, now_ms: int, nonce: str = ""
) -> HttpRequest:
    """``alipay.trade.cancel`` by our number."""
    content = {"out_trade_no": ref.order_no}
    return request_of("alipay.trade.cancel", content, account, now_ms, nonce)


def subject_text(subject: str) -> str:
    """``subject`` without ``/ = &`` and controls, at most 256 characters, not empty."""
    return _NOT_IN_A_SUBJECT.sub(" ", subject).strip()[:_SUBJECT_LENGTH] or "Payment"


def read_pay(response: HttpResponse, account: AlipayAccount, order_no: str) -> Answer:
    """What Alipay says about a payment that was just tried."""
    try:
        fields = verified(response, "alipay_trade_pay_response", account, order_no)
        code, sub_code = text_of(fields, "code"), text_of(fields, "sub_code")
        if code == SUCCESS:
            # A signed query answer put under pay's name would carry its state.
            if text_of(fields, "trade_status") not in ("", *PAID_STATES):
                raise Distrusted("not an answer to pay", code)
            if account.transport is Transport.V3 and not text_of(fields, "gmt_payment"):
                # there the same status answers who has paid and who is still typing
                raise Distrusted("no time of payment", code)
            return _paid(fields, order_no, text_of(fields, "gmt_payment"))
        if code == USER_PAYING:
            return Answer(verdict=Verdict.PENDING, channel_code=code)
    except Distrusted as fault:
        return _unknown(fault)
    found = pay_outcome(code, sub_code)
    outcome = found or ASK
    return Answer(
        answered=is_answer(code, sub_code),
        unlisted=found is None,
        verdict=outcome.verdict,
        reason=outcome.reason,
        advice=outcome.advice,
        channel_code=sub_code or code,
        channel_message=message_of(fields),
    )


def read_query(response: HttpResponse, account: AlipayAccount, order_no: str) -> Answer:
    """What became of a payment.

    ``TRADE_CLOSED`` is ``UNKNOWN``: a trade that timed out unpaid and one that was paid
    and refunded in full both end there, so the cancel that follows decides. Its
    ``order_no`` is set when it names our order, its ``paid_at_ms`` when it was paid once.
    """
    try:
        fields = verified(response, "alipay_trade_query_response", account, order_no)
        code, sub_code = text_of(fields, "code"), text_of(fields, "sub_code")
        state = text_of(fields, "trade_status") if code == SUCCESS else ""
        if state in PAID_STATES:
            return _paid(fields, order_no, text_of(fields, "send_pay_date"))
        if state == WAIT_BUYER_PAY:
            require_order(fields, order_no)
            return Answer(verdict=Verdict.PENDING, channel_code=state)
    except Distrusted as fault:
        return _unknown(fault)
    is_closed = state == TRADE_CLOSED
    outcome = None if code == SUCCESS else outcome_of(QUERY_SUB_CODES, code, sub_code)
    return Answer(
        verdict=Verdict.UNKNOWN,
        order_no=text_of(fields, "out_trade_no") if is_closed else "",
        paid_at_ms=time_ms(text_of(fields, "send_pay_date")) if is_closed else 0,
        channel_code=state or sub_code or code,
        channel_message=message_of(fields),
        advice=None if outcome is None else outcome.advice,
        not_found=code == BUSINESS_FAILED and bare(sub_code) == TRADE_NOT_EXIST,
        answered=is_answer(code, sub_code),
        unlisted=outcome is None and not is_closed,
    )


def read_cancel(response: HttpResponse, account: AlipayAccount, order_no: str) -> UndoAnswer:
    """What a cancel came to.

    ``SUCCEEDED`` with ``was_paid`` ``None`` means that Alipay named no action, as it
    does for a number it never saw: the caller must query once more before it believes
    that.
    """
    try:
        fields = verified(response, "alipay_trade_cancel_response", account, order_no)
        code, sub_code = text_of(fields, "code"), text_of(fields, "sub_code")
        if code == SUCCESS:
            require_order(fields, order_no)
            return _cancelled(text_of(fields, "action"), text_of(fields, "retry_flag"))
    except Distrusted as fault:
        return UndoAnswer(
            verdict=Verdict.UNKNOWN, channel_code=fault.code, channel_message=fault.why
        )
    impossible = code == BUSINESS_FAILED and bare(sub_code) in CANCEL_IMPOSSIBLE
    return UndoAnswer(
        verdict=Verdict.DECLINED if impossible else Verdict.UNKNOWN,
        answered=is_answer(code, sub_code),
        unlisted=outcome_of(CANCEL_SUB_CODES, code, sub_code) is None,
        channel_code=sub_code or code,
        channel_message=message_of(fields),
    )


def build_close(
    ref: PaymentRef, account: AlipayAccount, now_ms: int, nonce: str = ""
) -> HttpRequest:
    """``alipay.trade.close`` by our number: ends a trade that nobody has paid."""
    content = {"out_trade_no": ref.order_no}
    return request_of("alipay.trade.close", content, account, now_ms, nonce)


def read_close(response: HttpResponse, account: AlipayAccount, order_no: str) -> UndoAnswer:
    """What a close came to; whatever is not a clear yes is ``UNKNOWN``."""
    try:
        fields = verified(response, "alipay_trade_close_response", account, order_no)
        code, sub_code = text_of(fields, "code"), text_of(fields, "sub_code")
        if code == SUCCESS:
            require_order(fields, order_no)
            if text_of(fields, "trade_status") or text_of(fields, "action"):
                raise Distrusted("not an answer to close", code)
            return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=False, channel_code="close")
    except Distrusted as fault:
        return UndoAnswer(
            verdict=Verdict.UNKNOWN, channel_code=fault.code, channel_message=fault.why
        )
    return UndoAnswer(
        verdict=Verdict.UNKNOWN,
        answered=is_answer(code, sub_code),
        unlisted=outcome_of(CLOSE_SUB_CODES, code, sub_code) is None,
        channel_code=sub_code or code,
        channel_message=message_of(fields),
    )


def _cancelled(action: str, retry_flag: str) -> UndoAnswer:
    if retry_flag == "Y":
        return UndoAnswer(verdict=Verdict.UNKNOWN, channel_code="retry_flag=Y", answered=True)
    match action:
        case "close":
            return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=False, channel_code=action)
        case "refund":
            return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=True, channel_code=action)
        case "":
            return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=None, channel_code=SUCCESS)
        case _:
            return UndoAnswer(
                verdict=Verdict.UNKNOWN, channel_code="unlisted action", answered=True
            )


def _paid(fields: Fields, order_no: str, paid_at: str) -> Answer:
    require_order(fields, order_no)
    try:
        amount_fen = parse_yuan(text_of(fields, "total_amount"))
    except MoneyError:
        raise Distrusted("paid, and no amount that can be read", SUCCESS) from None
    return Answer(
        verdict=Verdict.SUCCEEDED,
        amount_fen=amount_fen,
        currency=text_of(fields, "trans_currency"),
        order_no=order_no,
        trade_no=text_of(fields, "trade_no"),
        channel_code=SUCCESS,
        paid_at_ms=time_ms(paid_at),
    )


def _unknown(fault: Distrusted) -> Answer:
    return Answer(
        verdict=Verdict.UNKNOWN,
        channel_code=fault.code,
        channel_message=fault.why,
        advice=Advice.CONFIGURATION if fault.misconfigured else None,
    )
