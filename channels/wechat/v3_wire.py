"""Payments over APIv3: codepay, query, close, reverse; requests built, answers read. Pure.

Rules: answers are believed as ``v3.py`` says, codes mean what ``codes.py`` says. Whatever is
said of a trade names our order and our numbers. A close is a 204 and nothing else.

Reference ``channels.md`` B2.
"""

from typing import Final
from urllib.parse import quote

from channels.one_call import Unwritable
from channels.port import (
    Answer,
    HttpRequest,
    HttpResponse,
    PaymentRef,
    PayRequest,
    UndoAnswer,
    Verdict,
)
from channels.wechat.account import PlatformKeys, WechatAccount
from channels.wechat.codes import (
    CLOSE_V3,
    PAY_V3,
    QUERY_V3,
    REVERSE_V3,
    TRADE_STATES,
    UNLISTED,
    V3Codes,
    v3_outcome,
)
from channels.wechat.texts import code_word, cut_bytes, v3_time_ms
from channels.wechat.v3 import (
    CLOSE,
    CODEPAY,
    QUERY_BY_OURS,
    QUERY_BY_THEIRS,
    REVERSE,
    Distrusted,
    Fields,
    Said,
    Stamped,
    amount_of,
    currency_of,
    ours,
    request_of,
    require_order,
    require_ours,
    text_of,
    verified,
)
from domain.money import payable_fen

DESCRIPTION_BYTES: Final = 127
NO_SUCH_ORDER: Final = "close: no such order"
_STORE_LENGTH: Final = 32
_NUMBERS: Final = ("mchid", "sp_mchid", "sub_mchid")
_DEFAULT_STORE: Final = "posgate"


def build_codepay(
    request: PayRequest, account: WechatAccount, keys: PlatformKeys, stamped: Stamped
) -> HttpRequest:
    """``codepay`` with a scanned code.

    Raises:
        domain.money.MoneyError: the amount is not one.
        Unwritable: there is no code.
    """
    if not request.auth_code:
        raise Unwritable("no payment code")
    scene: dict[str, object] = {
        "device_ip": account.till_ip,
        "store_info": {"out_id": request.store_id[:_STORE_LENGTH] or _DEFAULT_STORE},
    }
    if request.terminal_id:
        scene["device_id"] = request.terminal_id[:_STORE_LENGTH]
    content = ours(account) | {
        "description": cut_bytes(request.subject, DESCRIPTION_BYTES),
        "out_trade_no": request.order_no,
        "payer": {"auth_code": request.auth_code},
        "amount": {"total": payable_fen(request.amount_fen), "currency": request.currency},
        "scene_info": scene,
    }
    return request_of(CODEPAY, content, account, keys, stamped)


def build_query(
    ref: PaymentRef, account: WechatAccount, keys: PlatformKeys, stamped: Stamped
) -> HttpRequest:
    """By our number, or by WeChat Pay's where ours is not known."""
    names = ours(account)
    query = "&".join(
        f"{name}={quote(str(names[name]), safe='')}" for name in _NUMBERS if name in names
    )
    api, number = (QUERY_BY_OURS, ref.order_no)
    if not ref.order_no:
        api, number = (QUERY_BY_THEIRS, ref.trade_no)
    return request_of(api, {}, account, keys, stamped, number=quote(number, safe=""), query=query)


def build_close(
    ref: PaymentRef, account: WechatAccount, keys: PlatformKeys, stamped: Stamped
) -> HttpRequest:
    """Ends an order that nobody has paid; not for a code of the till's."""
    names = ours(account)
    content: Fields = {name: names[name] for name in _NUMBERS if name in names}
    return request_of(CLOSE, content, account, keys, stamped, number=quote(ref.order_no, safe=""))


def build_reverse(
    ref: PaymentRef, account: WechatAccount, keys: PlatformKeys, stamped: Stamped
) -> HttpRequest:
    """Undoes a payment by codepay."""
    return request_of(
        REVERSE, ours(account), account, keys, stamped, number=quote(ref.order_no, safe="")
    )


def read_codepay(
    response: HttpResponse,
    account: WechatAccount,
    keys: PlatformKeys,
    order_no: str,
    now_ms: int,
) -> Answer:
    """What WeChat Pay says about a payment that was just tried."""
    return _read(response, account, keys, order_no, now_ms, PAY_V3)


def read_query(
    response: HttpResponse,
    account: WechatAccount,
    keys: PlatformKeys,
    order_no: str,
    now_ms: int,
    trade_no: str = "",
) -> Answer:
    """What became of a payment.

    Without ``order_no`` it was asked about by ``trade_no``, and must name that.
    """
    return _read(response, account, keys, order_no, now_ms, QUERY_V3, trade_no)


def trade_answer(fields: Fields, account: WechatAccount, order_no: str) -> Answer:
    """What a trade's members say, in an answer or in a notification.

    Raises:
        Distrusted: it is about another order or merchant, or says yes without an amount.
    """
    require_ours(fields, account)
    require_order(fields, order_no)
    state = text_of(fields, "trade_state")
    outcome = TRADE_STATES.get(state, UNLISTED)
    if outcome.verdict is Verdict.SUCCEEDED:
        return _paid(fields, order_no)
    return Answer(
        verdict=outcome.verdict,
        reason=outcome.reason,
        order_no=order_no,
        channel_code=code_word(state),
        hopeless=outcome.hopeless,
        unlisted=outcome.unlisted,
        answered=True,
    )


def read_close(response: HttpResponse, keys: PlatformKeys, now_ms: int) -> UndoAnswer:
    """What a close came to; whatever is not a clear yes is ``UNKNOWN``.

    An order that WeChat Pay does not know has :data:`NO_SUCH_ORDER`: the adapter decides.
    """
    try:
        said = verified(response, keys, now_ms)
    except Distrusted as fault:
        return _not_undone(fault)
    outcome = v3_outcome(CLOSE_V3, said.status, said.code)
    if said.status == 204 or outcome.verdict is Verdict.SUCCEEDED:
        return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=False, channel_code="close")
    return UndoAnswer(
        verdict=Verdict.UNKNOWN,
        channel_code=NO_SUCH_ORDER if outcome.not_found else said.code,
        channel_message=said.message,
        answered=said.is_answer,
        unlisted=outcome.unlisted,
    )


def read_reverse(
    response: HttpResponse,
    account: WechatAccount,
    keys: PlatformKeys,
    order_no: str,
    now_ms: int,
) -> UndoAnswer:
    """What a reversal came to; it does not tell whether money had been taken."""
    try:
        said = verified(response, keys, now_ms)
        if said.status == 200:
            require_ours(said.fields, account)
            require_order(said.fields, order_no)
            if not {"trade_state", "refund_id", "amount"}.isdisjoint(said.fields):
                raise Distrusted("not an answer to reverse")
            if said.fields.get("recall", "N") != "N":  # APIv2's word for: once more
                return UndoAnswer(verdict=Verdict.UNKNOWN, channel_code="recall=Y", answered=True)
            return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=None, channel_code="reverse")
    except Distrusted as fault:
        return _not_undone(fault)
    outcome = v3_outcome(REVERSE_V3, said.status, said.code)
    return UndoAnswer(
        verdict=outcome.verdict,
        channel_code=said.code,
        channel_message=said.message,
        answered=said.is_answer,
        unlisted=outcome.unlisted,
    )


def _read(
    response: HttpResponse,
    account: WechatAccount,
    keys: PlatformKeys,
    order_no: str,
    now_ms: int,
    codes: V3Codes,
    trade_no: str = "",
) -> Answer:
    try:
        said = verified(response, keys, now_ms)
        if said.status == 200:
            if "refund_id" in said.fields:
                raise Distrusted("not an answer about a payment")
            if not order_no and trade_no and said.fields.get("transaction_id") == trade_no:
                order_no = text_of(said.fields, "out_trade_no")
            return trade_answer(said.fields, account, order_no)
    except Distrusted as fault:
        return unknown(fault)
    return _refused(said, codes)


def _refused(said: Said, codes: V3Codes) -> Answer:
    outcome = v3_outcome(codes, said.status, said.code)
    return Answer(
        verdict=outcome.verdict,
        reason=outcome.reason,
        advice=outcome.advice,
        channel_code=said.code or f"HTTP {said.status}",
        channel_message=said.message,
        not_found=outcome.not_found,
        hopeless=outcome.hopeless,
        unlisted=outcome.unlisted,
        answered=said.is_answer and outcome.advice is None,
    )


def _paid(fields: Fields, order_no: str) -> Answer:
    trade_no = text_of(fields, "transaction_id")
    if not trade_no:
        raise Distrusted("paid, and no number of WeChat Pay's")
    return Answer(
        verdict=Verdict.SUCCEEDED,
        amount_fen=amount_of(fields, "total"),
        currency=currency_of(fields),
        order_no=order_no,
        trade_no=trade_no,
        channel_code="SUCCESS",
        paid_at_ms=v3_time_ms(text_of(fields, "success_time")),
    )


def unknown(fault: Distrusted) -> Answer:
    """An answer that is not believed."""
    return Answer(
        verdict=Verdict.UNKNOWN,
        channel_code=fault.code,
        channel_message=fault.why,
        advice=fault.advice,
    )


def _not_undone(fault: Distrusted) -> UndoAnswer:
    return UndoAnswer(verdict=Verdict.UNKNOWN, channel_code=fault.code, channel_message=fault.why)
