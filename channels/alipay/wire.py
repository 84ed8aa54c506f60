"""Alipay gateway v2 on the wire: requests built, answers read. Pure.

Rules:

* An answer is believed only after its signature verified over the raw bytes, and
  only the verified bytes are read. The signature does not cover *which call* was
  answered, so each reader also demands what only its own call answers.
* Every answer that names another order, seller or shape is ``UNKNOWN``.
* Amounts cross as text in yuan by integer arithmetic; times are Beijing's.

Reference ``channels.md`` A1, A3, A4.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote_plus

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from channels.alipay.codes import (
    BUSINESS_FAILED,
    CANCEL_IMPOSSIBLE,
    GATEWAY_REFUSALS,
    SUCCESS,
    TRADE_NOT_EXIST,
    USER_PAYING,
    pay_outcome,
)
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
from domain.clock import beijing
from domain.money import MoneyError, format_yuan, parse_yuan
from signing.alipay import AlipaySignatureError, sign, verify_response

_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"}
_PAID_STATES: Final = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED"})
WAIT_BUYER_PAY: Final = "WAIT_BUYER_PAY"
TRADE_CLOSED: Final = "TRADE_CLOSED"
_SUBJECT_LENGTH: Final = 256
_NOT_IN_A_SUBJECT: Final = {ord(character): " " for character in "/=&"} | dict.fromkeys(
    (*range(32), 127), " "
)
_LONG_NUMBER: Final = re.compile(r"[0-9]{12,}")

_ASCII: Final = "".join(map(chr, range(128)))
# the percent sign before what becomes one, the plus sign before the blank that becomes one
_QUOTED: Final = tuple(
    (character, quote_plus(character))
    for character in sorted(_ASCII, key=lambda one: (one != "%", one != "+"))
    if quote_plus(character) != character
)

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AlipayAccount:
    """An application at Alipay; ``seller_id`` is compared where an answer names one."""

    gateway_url: str
    app_id: str
    seller_id: str
    timeout_s: float
    private_key: RSAPrivateKey
    alipay_key: RSAPublicKey


class _Distrusted(Exception):
    """The answer cannot be believed; ``code`` is what it claims, for the log."""

    def __init__(self, why: str, code: str = "", *, misconfigured: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.code = code
        self.misconfigured = misconfigured


def build_pay(request: PayRequest, account: AlipayAccount, now_ms: int) -> HttpRequest:
    """``alipay.trade.pay`` with a scanned code, or with a face token (``fp…``).

    Raises:
        domain.money.MoneyError: the amount is not an integer.
    """
    content = {
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
    return _request("alipay.trade.pay", content, account, now_ms)


def build_query(ref: PaymentRef, account: AlipayAccount, now_ms: int) -> HttpRequest:
    """``alipay.trade.query`` by our number."""
    return _request("alipay.trade.query", {"out_trade_no": ref.order_no}, account, now_ms)


def build_cancel(ref: PaymentRef, account: AlipayAccount, now_ms: int) -> HttpRequest:
    """``alipay.trade.cancel`` by our number."""
    return _request("alipay.trade.cancel", {"out_trade_no": ref.order_no}, account, now_ms)


def subject_text(subject: str) -> str:
    """``subject`` without ``/ = &`` and controls, at most 256 characters, not empty."""
    return subject.translate(_NOT_IN_A_SUBJECT).strip()[:_SUBJECT_LENGTH] or "Payment"


def form_quoted(text: str) -> str:
    """``quote_plus``, at a fifth of its cost for plain ASCII (a form has 700 characters)."""
    if not text.isascii():
        return quote_plus(text)
    for character, quoted in _QUOTED:
        if character in text:
            text = text.replace(character, quoted)
    return text


def _request(
    method: str, content: Mapping[str, str], account: AlipayAccount, now_ms: int
) -> HttpRequest:
    params = {
        "app_id": account.app_id,
        "method": method,
        "format": "JSON",
        "charset": "utf-8",
        "sign_type": "RSA2",
        "timestamp": f"{beijing(now_ms):%Y-%m-%d %H:%M:%S}",
        "version": "1.0",
        "biz_content": orjson.dumps(content).decode(),
    }
    params["sign"] = sign(params, account.private_key)
    form = "&".join([f"{name}={form_quoted(value)}" for name, value in params.items()])
    return HttpRequest(
        method="POST",
        url=account.gateway_url,
        headers=_HEADERS,
        body=form.encode("ascii"),
        timeout_s=account.timeout_s,
    )


def read_pay(response: HttpResponse, account: AlipayAccount, order_no: str) -> Answer:
    """What Alipay says about a payment that was just tried."""
    try:
        fields = _verified(response, "alipay_trade_pay_response", account, order_no)
        code, sub_code = _text(fields, "code"), _text(fields, "sub_code")
        if code == SUCCESS:
            # A signed query answer put under pay's name would carry its state.
            if _text(fields, "trade_status") not in ("", *_PAID_STATES):
                raise _Distrusted("not an answer to pay", code)
            return _paid(fields, order_no, _text(fields, "gmt_payment"))
        if code == USER_PAYING:
            return Answer(verdict=Verdict.PENDING, channel_code=code)
    except _Distrusted as fault:
        return _unknown(fault)
    outcome = pay_outcome(code, sub_code)
    return Answer(
        verdict=outcome.verdict,
        reason=outcome.reason,
        advice=outcome.advice,
        channel_code=sub_code or code,
        channel_message=_message(fields),
    )


def read_query(response: HttpResponse, account: AlipayAccount, order_no: str) -> Answer:
    """What became of a payment.

    ``TRADE_CLOSED`` is ``UNKNOWN``: a trade that timed out unpaid and one that was paid
    and refunded in full both end there, so the cancel that follows decides.
    """
    try:
        fields = _verified(response, "alipay_trade_query_response", account, order_no)
        code, sub_code = _text(fields, "code"), _text(fields, "sub_code")
        state = _text(fields, "trade_status") if code == SUCCESS else ""
        if state in _PAID_STATES:
            return _paid(fields, order_no, _text(fields, "send_pay_date"))
        if state == WAIT_BUYER_PAY:
            _require_order(fields, order_no)
            return Answer(verdict=Verdict.PENDING, channel_code=state)
    except _Distrusted as fault:
        return _unknown(fault)
    return Answer(
        verdict=Verdict.UNKNOWN,
        channel_code=state or sub_code or code,
        channel_message=_message(fields),
        advice=Advice.CONFIGURATION if code in GATEWAY_REFUSALS else None,
        not_found=code == BUSINESS_FAILED and sub_code == TRADE_NOT_EXIST,
    )


def read_cancel(response: HttpResponse, account: AlipayAccount, order_no: str) -> UndoAnswer:
    """What a cancel came to.

    ``SUCCEEDED`` with ``was_paid`` ``None`` means that Alipay named no action, as it
    does for a number it never saw: the caller must query once more before it believes
    that.
    """
    try:
        fields = _verified(response, "alipay_trade_cancel_response", account, order_no)
        code, sub_code = _text(fields, "code"), _text(fields, "sub_code")
        if code == SUCCESS:
            _require_order(fields, order_no)
            return _cancelled(_text(fields, "action"), _text(fields, "retry_flag"))
    except _Distrusted as fault:
        return UndoAnswer(
            verdict=Verdict.UNKNOWN, channel_code=fault.code, channel_message=fault.why
        )
    impossible = code == BUSINESS_FAILED and sub_code in CANCEL_IMPOSSIBLE
    return UndoAnswer(
        verdict=Verdict.DECLINED if impossible else Verdict.UNKNOWN,
        channel_code=sub_code or code,
        channel_message=_message(fields),
    )


def _cancelled(action: str, retry_flag: str) -> UndoAnswer:
    if retry_flag == "Y":
        return UndoAnswer(verdict=Verdict.UNKNOWN, channel_code="retry_flag=Y")
    match action:
        case "close":
            return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=False, channel_code=action)
        case "refund":
            return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=True, channel_code=action)
        case "":
            return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=None, channel_code=SUCCESS)
        case _:
            return UndoAnswer(verdict=Verdict.UNKNOWN, channel_code="unlisted action")


def _verified(
    response: HttpResponse, response_key: str, account: AlipayAccount, order_no: str
) -> Fields:
    """The members of a believable answer."""
    if response.status != 200:
        raise _Distrusted("no answer of Alipay's gateway", f"HTTP {response.status}")
    try:
        fields = orjson.loads(verify_response(response.body, response_key, account.alipay_key))
    except AlipaySignatureError as fault:
        claimed = _claimed_code(response.body)
        raise _Distrusted(str(fault), claimed, misconfigured=claimed in GATEWAY_REFUSALS) from None
    except orjson.JSONDecodeError:
        raise _Distrusted("the answer is not JSON") from None
    if not isinstance(fields, dict):
        raise _Distrusted("the answer is not an object")
    if _text(fields, "out_trade_no") not in ("", order_no):
        raise _Distrusted("the answer names another order")
    if account.seller_id and _text(fields, "seller_id") not in ("", account.seller_id):
        raise _Distrusted("the answer names another seller")
    return fields


def _claimed_code(body: bytes) -> str:
    """The code that an answer without a good signature claims: for alarms, never believed."""
    try:
        outer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    for inner in outer.values() if isinstance(outer, dict) else ():
        code = inner.get("code") if isinstance(inner, dict) else None
        if isinstance(code, str) and len(code) == 5 and code.isascii() and code.isdigit():
            return code
    return ""


def _paid(fields: Fields, order_no: str, paid_at: str) -> Answer:
    _require_order(fields, order_no)
    try:
        amount_fen = parse_yuan(_text(fields, "total_amount"))
    except MoneyError:
        raise _Distrusted("paid, and no amount that can be read", SUCCESS) from None
    return Answer(
        verdict=Verdict.SUCCEEDED,
        amount_fen=amount_fen,
        currency=_text(fields, "trans_currency"),
        order_no=order_no,
        trade_no=_text(fields, "trade_no"),
        channel_code=SUCCESS,
        paid_at_ms=_time_ms(paid_at),
    )


def _require_order(fields: Fields, order_no: str) -> None:
    if fields.get("out_trade_no") != order_no:
        raise _Distrusted("the answer does not name our order")


def _time_ms(text: str) -> int:
    """``2017-03-21 15:07:29`` in Beijing as ms since the epoch; 0 for anything else."""
    try:
        return int(datetime.fromisoformat(f"{text}+08:00").timestamp()) * 1000
    except (ValueError, OverflowError):
        return 0


def _text(fields: Fields, name: str) -> str:
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""


def _message(fields: Fields) -> str:
    """The vendor's words; digits long enough to be a payment code are taken out."""
    return _LONG_NUMBER.sub("…", _text(fields, "sub_msg") or _text(fields, "msg"))[:200]


def _unknown(fault: _Distrusted) -> Answer:
    return Answer(
        verdict=Verdict.UNKNOWN,
        channel_code=fault.code,
        channel_message=fault.why,
        advice=Advice.CONFIGURATION if fault.misconfigured else None,
    )
