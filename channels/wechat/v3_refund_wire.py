"""Refunds over APIv3: requests built, answers read. Pure.

Rules: one ``out_refund_no`` is one refund, however often it is sent; the answer tells its
state. SUCCESS alone is money that came back, PROCESSING is on its way, ABNORMAL waits for a
person. A listed refusal is the adapter's to confirm: it asks whether such a refund exists.
Reference ``channels.md`` B2.
"""

from typing import Final
from urllib.parse import quote

from channels.port import (
    Advice,
    HttpRequest,
    HttpResponse,
    RefundAnswer,
    RefundRequest,
    Verdict,
)
from channels.wechat.account import PlatformKeys, WechatAccount
from channels.wechat.codes import (
    REFUND_QUERY_V3,
    REFUND_STATES,
    REFUND_V3,
    UNLISTED,
    V3Codes,
    v3_outcome,
)
from channels.wechat.texts import code_word, cut_bytes
from channels.wechat.v3 import (
    REFUND,
    REFUND_QUERY,
    Distrusted,
    Fields,
    Stamped,
    amount_of,
    request_of,
    require_order,
    text_of,
    verified,
)
from domain.money import payable_fen

_REASON_BYTES: Final = 80


def build_refund(
    request: RefundRequest,
    account: WechatAccount,
    keys: PlatformKeys,
    stamped: Stamped,
    notify_url: str,
) -> HttpRequest:
    """A refund of a part or all of a payment, however it was paid.

    Raises:
        domain.money.MoneyError: an amount is not one.
    """
    content: dict[str, object] = {
        "out_trade_no": request.payment.order_no,
        "out_refund_no": request.refund_no,
        "amount": {
            "refund": payable_fen(request.amount_fen),
            "total": payable_fen(request.payment.amount_fen),
            "currency": request.currency,
        },
    }
    if account.is_partner:
        content["sub_mchid"] = account.sub_mchid
    if request.reason:
        content["reason"] = cut_bytes(request.reason, _REASON_BYTES)
    if notify_url:
        content["notify_url"] = notify_url
    return request_of(REFUND, content, account, keys, stamped)


def build_refund_query(
    request: RefundRequest, account: WechatAccount, keys: PlatformKeys, stamped: Stamped
) -> HttpRequest:
    """By our refund's number."""
    return request_of(
        REFUND_QUERY,
        {},
        account,
        keys,
        stamped,
        number=quote(request.refund_no, safe=""),
        query=f"sub_mchid={quote(account.sub_mchid)}" if account.is_partner else "",
    )


def read_refund(
    response: HttpResponse, keys: PlatformKeys, request: RefundRequest, now_ms: int
) -> RefundAnswer:
    """What a refund that was just sent came to."""
    return _read(response, keys, request, now_ms, REFUND_V3)


def read_refund_query(
    response: HttpResponse, keys: PlatformKeys, request: RefundRequest, now_ms: int
) -> RefundAnswer:
    """What became of a refund."""
    return _read(response, keys, request, now_ms, REFUND_QUERY_V3)


def refund_answer(fields: Fields, order_no: str, refund_no: str, state: str) -> RefundAnswer:
    """What a refund's members say, in an answer or in a notification.

    Raises:
        Distrusted: it is about another refund, or says yes without an amount.
    """
    require_order(fields, order_no)
    if fields.get("out_refund_no") != refund_no:
        raise Distrusted("the answer does not name our refund")
    outcome = REFUND_STATES.get(state, UNLISTED)
    done = outcome.verdict is Verdict.SUCCEEDED
    return RefundAnswer(
        verdict=outcome.verdict,
        amount_fen=amount_of(fields, "refund") if done else None,
        refund_no=refund_no,
        reason=outcome.reason,
        advice=outcome.advice,
        channel_code=code_word(state),
        unlisted=outcome.unlisted,
        answered=True,
    )


def _read(
    response: HttpResponse,
    keys: PlatformKeys,
    request: RefundRequest,
    now_ms: int,
    codes: V3Codes,
) -> RefundAnswer:
    try:
        said = verified(response, keys, now_ms)
        if said.status == 200:
            state = text_of(said.fields, "status")
            return refund_answer(said.fields, request.payment.order_no, request.refund_no, state)
    except Distrusted as fault:
        return RefundAnswer(
            verdict=Verdict.UNKNOWN,
            channel_code=fault.code,
            channel_message=fault.why,
            advice=fault.advice,
        )
    outcome = v3_outcome(codes, said.status, said.code)
    return RefundAnswer(
        verdict=outcome.verdict,
        reason=outcome.reason,
        advice=outcome.advice,
        channel_code=said.code or f"HTTP {said.status}",
        channel_message=said.message,
        not_found=outcome.not_found,
        unlisted=outcome.unlisted,
        answered=said.is_answer and outcome.advice is not Advice.CONFIGURATION,
    )
