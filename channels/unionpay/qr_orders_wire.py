"""ACP orders that the payer completes: a code to scan, a page in the wallet. Pure.

Rules:

* 01/07 makes a code (``qrCode``) for one order; nothing is paid by it.
* In UnionPay's wallets a page is opened for who is logged in: the browser is sent to
  UnionPay with our address and comes back with ``userAuthCode``, which 00/10 turns into
  ``appUserId`` once; 01/01 with that id answers ``payUrl``, where the payer is sent.
* The user agent's mark of the wallet goes into ``appUpIdentifier``; it is a hint, and
  authorises nothing.

Reference ``channels.md`` C1, D; field names as public integrations of UnionPay's QR
product use them.
"""

from typing import Final
from urllib.parse import quote

from channels.payer_orders import OrderAnswer, OrderRequest, PayerAnswer
from channels.port import Advice, HttpRequest, HttpResponse, Verdict
from channels.unionpay.qr_codes import PAY_CODES, SUCCESS, UNKNOWN
from channels.unionpay.qr_envelope import (
    APP_PATH,
    BACK_PATH,
    AcpAccount,
    Distrusted,
    Fields,
    message_of,
    request_of,
    verified,
)
from channels.unionpay.qr_times import txn_time
from channels.unionpay.qr_wire import Kind, amount, named

CODE_ORDER: Final = Kind("01", "07")
PAGE_ORDER: Final = Kind("01", "01")
WHO_PAYS: Final = Kind("00", "10")


def authorise_url(account: AcpAccount, return_url: str, state: str) -> str:
    """Where the wallet's browser is sent; it comes back to ``return_url`` with ``state``."""
    joint = "&" if "?" in return_url else "?"
    back = f"{return_url}{joint}state={quote(state, safe='')}"
    return f"{account.authorise_url}?version=1.0.0&redirectUrl={quote(back, safe='')}"


def build_code(request: OrderRequest, account: AcpAccount) -> HttpRequest:
    """01/07; raises ``domain.money.MoneyError``."""
    params = {**CODE_ORDER.fields(), "channelType": account.channel_type}
    params |= _order(request, account)
    return request_of(account.base_url + BACK_PATH, params, account)


def build_page_order(request: OrderRequest, account: AcpAccount) -> HttpRequest:
    """01/01 for the payer of a page; raises ``domain.money.MoneyError``."""
    params = {
        **PAGE_ORDER.fields(),
        "channelType": "07",
        "tradeType": "mobileWeb",
        "appUserId": request.payer_id,
        "frontUrl": request.return_url or account.front_url,
        **_order(request, account),
    }
    return request_of(account.base_url + APP_PATH, params, account)


def _order(request: OrderRequest, account: AcpAccount) -> dict[str, str]:
    return {
        **named(request.order_no, request.created_at_ms),
        **amount(request.amount_fen, request.currency),
        "payTimeout": txn_time(request.expires_at_ms),
        "orderDesc": request.subject[:32],
        "termId": account.terminal_id,
        "backUrl": request.notify_url or account.back_url,
    }


def build_who_pays(
    code: str, number: str, account: AcpAccount, now_ms: int, app_mark: str = ""
) -> HttpRequest:
    """00/10: exchange a ``userAuthCode``; ``app_mark`` as the payer's app writes it, or none."""
    params = {
        **WHO_PAYS.fields(),
        "channelType": account.channel_type,
        **named(number, now_ms),
        "userAuthCode": code,
        "appUpIdentifier": app_mark or account.app_up_identifier,
    }
    return request_of(account.base_url + APP_PATH, params, account)


def read_code(
    response: HttpResponse, account: AcpAccount, request: OrderRequest, now_ms: int
) -> OrderAnswer:
    """The code of an order that stands now."""
    try:
        fields = _answered(response, account, CODE_ORDER, request, now_ms)
        if fields.get("respCode") == SUCCESS:
            return OrderAnswer(
                verdict=Verdict.SUCCEEDED, code=_needed(fields, "qrCode"), channel_code=SUCCESS
            )
    except Distrusted as fault:
        return _unknown(fault)
    return _refused(fields)


def read_page_order(
    response: HttpResponse, account: AcpAccount, request: OrderRequest, now_ms: int
) -> OrderAnswer:
    """Where the payer of a page is sent."""
    try:
        fields = _answered(response, account, PAGE_ORDER, request, now_ms)
        if fields.get("respCode") == SUCCESS:
            return OrderAnswer(
                verdict=Verdict.SUCCEEDED,
                page_url=_needed(fields, "payUrl"),
                trade_no=fields.get("tn", ""),
                channel_code=SUCCESS,
            )
    except Distrusted as fault:
        return _unknown(fault)
    return _refused(fields)


def read_who_pays(
    response: HttpResponse, account: AcpAccount, number: str, asked_ms: int, now_ms: int
) -> PayerAnswer:
    """The wallet's name of the payer."""
    asked = {**WHO_PAYS.answered(), **named(number, asked_ms)}
    try:
        fields = verified(response, account, asked, now_ms)
        if fields.get("respCode") == SUCCESS:
            return PayerAnswer(verdict=Verdict.SUCCEEDED, payer_id=_needed(fields, "appUserId"))
    except Distrusted as fault:
        return PayerAnswer(
            verdict=Verdict.UNKNOWN, channel_code=fault.code, channel_message=fault.why
        )
    code = fields.get("respCode", "")
    outcome = PAY_CODES.get(code, UNKNOWN)
    is_no = outcome.verdict is Verdict.DECLINED
    return PayerAnswer(
        verdict=Verdict.DECLINED if is_no else Verdict.UNKNOWN,
        channel_code=code,
        channel_message=message_of(fields),
    )


def _answered(
    response: HttpResponse, account: AcpAccount, kind: Kind, request: OrderRequest, now_ms: int
) -> Fields:
    asked = {**kind.answered(), **named(request.order_no, request.created_at_ms)}
    return verified(response, account, asked, now_ms)


def _needed(fields: Fields, name: str) -> str:
    value = fields.get(name, "")
    if not value:
        raise Distrusted(f"a yes without {name}", SUCCESS)
    return value


def _refused(fields: Fields) -> OrderAnswer:
    code = fields.get("respCode", "")
    outcome = PAY_CODES.get(code, UNKNOWN)
    is_no = outcome.verdict is Verdict.DECLINED
    return OrderAnswer(
        verdict=Verdict.DECLINED if is_no else Verdict.UNKNOWN,
        reason=outcome.reason if is_no else None,
        advice=outcome.advice,
        channel_code=code,
        channel_message=message_of(fields),
        answered=bool(code),
        unlisted=code not in PAY_CODES,
    )


def _unknown(fault: Distrusted) -> OrderAnswer:
    return OrderAnswer(
        verdict=Verdict.UNKNOWN,
        channel_code=fault.code,
        channel_message=fault.why,
        advice=Advice.CONFIGURATION if fault.misconfigured else None,
    )
