"""Orders that the payer completes, on Alipay's wire: requests built, answers read. Pure.

Rules: see ``wire.py``. ``precreate`` gives a code and no trade: the trade exists once it is
scanned. ``create`` needs the payer, whom ``oauth.token`` names; its answer's token is not kept.
A face is an ability of the adapter; no door offers it yet.
Reference ``channels.md`` A3, D.
"""

import re
from typing import Final
from urllib.parse import quote

from channels.alipay.account import AlipayAccount, Transport
from channels.alipay.codes import SUCCESS, is_answer, outcome_of
from channels.alipay.distrust import Distrusted
from channels.alipay.envelope import (
    Fields,
    beijing_time,
    form_of,
    message_of,
    request_of,
    require_order,
    text_of,
    verified,
)
from channels.alipay.outcome import ASK, SET_UP
from channels.alipay.pay_codes import ORDER_SUB_CODES
from channels.alipay.payer_codes import FACE_SUB_CODES, PAYER_SUB_CODES
from channels.alipay.wire import extended, subject_text
from channels.one_call import Unwritable
from channels.payer_orders import (
    FaceAnswer,
    FaceRequest,
    OrderAnswer,
    OrderRequest,
    PayerAnswer,
)
from channels.port import Advice, HttpRequest, HttpResponse, Verdict
from domain.money import format_yuan

_USER_ID: Final = re.compile(r"2088[0-9]{12}")
_WHO: Final = "alipay.system.oauth.token"
_FACE: Final = "zoloz.authentication.customer.smilepay.initialize"
_FACE_LIFE_S: Final = 60
_MOST_CHARACTERS: Final = 4096


def _order(request: OrderRequest, account: AlipayAccount) -> dict[str, object]:
    content: dict[str, object] = {
        "out_trade_no": request.order_no,
        "total_amount": format_yuan(request.amount_fen),
        "subject": subject_text(request.subject),
        "time_expire": beijing_time(request.expires_at_ms),
    }
    if request.store_id:
        content["store_id"] = request.store_id
    if request.terminal_id:
        content["terminal_id"] = request.terminal_id
    return content | extended(account)


def build_precreate(
    request: OrderRequest, account: AlipayAccount, now_ms: int, nonce: str = ""
) -> HttpRequest:
    """``alipay.trade.precreate``: a code for one order."""
    content = _order(request, account)
    url = request.notify_url or account.notify_url
    return request_of("alipay.trade.precreate", content, account, now_ms, nonce, url)


def build_create(
    request: OrderRequest, account: AlipayAccount, now_ms: int, nonce: str = ""
) -> HttpRequest:
    """``alipay.trade.create``: a trade that a page in the wallet pays.

    Raises:
        Unwritable: who pays is not known.
    """
    if not request.payer_id:
        raise Unwritable("no payer")
    payer = "buyer_id" if _USER_ID.fullmatch(request.payer_id) else "buyer_open_id"
    content = _order(request, account) | {
        payer: request.payer_id,
        "product_code": "JSAPI_PAY",
        "op_app_id": account.app_id,
    }
    url = request.notify_url or account.notify_url
    return request_of("alipay.trade.create", content, account, now_ms, nonce, url)


def read_precreate(response: HttpResponse, account: AlipayAccount, order_no: str) -> OrderAnswer:
    """The code to show, or why there is none."""
    return _read_order(response, account, order_no, "precreate")


def read_create(response: HttpResponse, account: AlipayAccount, order_no: str) -> OrderAnswer:
    """What the wallet's JS bridge is given, or why there is nothing."""
    return _read_order(response, account, order_no, "create")


def _read_order(
    response: HttpResponse, account: AlipayAccount, order_no: str, method: str
) -> OrderAnswer:
    try:
        fields = verified(response, f"alipay_trade_{method}_response", account, order_no)
        code, sub_code = text_of(fields, "code"), text_of(fields, "sub_code")
        if code == SUCCESS:
            require_order(fields, order_no)
            return _made(fields, method)
    except Distrusted as fault:
        return OrderAnswer(
            verdict=Verdict.UNKNOWN,
            channel_code=fault.code,
            channel_message=fault.why,
            advice=Advice.CONFIGURATION if fault.misconfigured else None,
        )
    found = outcome_of(ORDER_SUB_CODES, code, sub_code, SET_UP)
    outcome = found or ASK
    return OrderAnswer(
        unlisted=found is None,
        verdict=outcome.verdict,
        reason=outcome.reason,
        advice=outcome.advice,
        answered=is_answer(code, sub_code),
        channel_code=sub_code or code,
        channel_message=message_of(fields),
    )


def _made(fields: Fields, method: str) -> OrderAnswer:
    if method == "precreate":
        shown = text_of(fields, "qr_code")
        if not 0 < len(shown) <= _MOST_CHARACTERS:
            raise Distrusted("no code to show", SUCCESS)
        return OrderAnswer(verdict=Verdict.SUCCEEDED, code=shown, channel_code=SUCCESS)
    trade_no = text_of(fields, "trade_no")
    if not trade_no:
        raise Distrusted("no trade to pay", SUCCESS)
    return OrderAnswer(
        verdict=Verdict.SUCCEEDED,
        parameters={"tradeNO": trade_no},
        trade_no=trade_no,
        channel_code=SUCCESS,
    )


def authorise_url(account: AlipayAccount, return_url: str, state: str) -> str:
    """Where the wallet's browser is sent; it asks the payer nothing (``auth_base``)."""
    back, kept = quote(return_url, safe=""), quote(state, safe="")
    return (
        f"{account.authorise_url}?app_id={account.app_id}&scope=auth_base"
        f"&redirect_uri={back}&state={kept}"
    )


def build_token(code: str, account: AlipayAccount, now_ms: int, nonce: str = "") -> HttpRequest:
    """``alipay.system.oauth.token``; in version 2 it has no ``biz_content``."""
    said = {"grant_type": "authorization_code", "code": code}
    if account.transport is Transport.V3:
        return request_of(_WHO, said, account, now_ms, nonce)
    return form_of(_WHO, said, account, now_ms)


def read_token(response: HttpResponse, account: AlipayAccount) -> PayerAnswer:
    """Who the payer is; a success of version 2 carries no code."""
    try:
        fields = verified(response, "alipay_system_oauth_token_response", account, "")
    except Distrusted as fault:
        return PayerAnswer(
            verdict=Verdict.UNKNOWN, channel_code=fault.code, channel_message=fault.why
        )
    code, sub_code = text_of(fields, "code"), text_of(fields, "sub_code")
    payer_id = text_of(fields, "user_id") or text_of(fields, "open_id")
    if code in ("", SUCCESS) and payer_id:
        return PayerAnswer(verdict=Verdict.SUCCEEDED, payer_id=payer_id, channel_code=SUCCESS)
    listed = PAYER_SUB_CODES.get(sub_code)
    found = listed.outcome if listed else outcome_of(PAYER_SUB_CODES, code, sub_code, SET_UP)
    return PayerAnswer(
        verdict=(found or ASK).verdict,
        unlisted=found is None,
        channel_code=sub_code or code,
        channel_message=message_of(fields),
    )


def build_face(
    request: FaceRequest, account: AlipayAccount, now_ms: int, nonce: str = ""
) -> HttpRequest:
    """``zoloz.authentication.customer.smilepay.initialize`` with what the device said."""
    return request_of(_FACE, {"zimmetainfo": request.device_data}, account, now_ms, nonce)


def read_face(response: HttpResponse, account: AlipayAccount) -> FaceAnswer:
    """What the device goes on with."""
    try:
        fields = verified(response, f"{_FACE.replace('.', '_')}_response", account, "")
    except Distrusted as fault:
        return FaceAnswer(
            verdict=Verdict.UNKNOWN, channel_code=fault.code, channel_message=fault.why
        )
    code, sub_code, given = (text_of(fields, name) for name in ("code", "sub_code", "result"))
    if code == SUCCESS and given:
        return FaceAnswer(
            verdict=Verdict.SUCCEEDED,
            device_data=given,
            expires_in_s=_FACE_LIFE_S,
            channel_code=SUCCESS,
        )
    found = outcome_of(FACE_SUB_CODES, code, sub_code, SET_UP)
    return FaceAnswer(
        verdict=(found or ASK).verdict,
        unlisted=found is None and code != SUCCESS,
        channel_code=sub_code or code,
        channel_message=message_of(fields),
    )
