"""What Alipay tells unasked: a form, verified, compared, and turned into a word. Pure.

Rules (reference ``channels.md`` A5):

* The form is decoded once, as UTF-8; a name that comes twice, or text that is no UTF-8,
  is refused. A trade's notification is signed without ``sign`` and ``sign_type`` (V1), an
  application's message without ``sign`` alone (V2); ``sign_type`` must be RSA2 in both.
* ``app_id``, and ``seller_id`` where the account has one, must be ours; the gateway
  compares order, amount and currency.
* ``TRADE_SUCCESS`` beside a refund's mark (``out_biz_no``, ``gmt_refund``, a ``refund_fee``
  that is not zero) tells of the refund ``out_biz_no``, never of a payment. Its ``refund_fee`` is
  the sum of all refunds, so that the amount of this one is asked for first.
* Paid without an amount that can be read is asked about first. ``TRADE_CLOSED`` proves
  nothing by itself, here as in a query.
* A refund under the order's own number is how an undo was made good (``adapter.py``), and one
  without a number was made elsewhere: neither is a refund of our books.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from channels.alipay.account import AlipayAccount
from channels.alipay.codes import SUCCESS
from channels.alipay.envelope import time_ms
from channels.alipay.wire import PAID_STATES, TRADE_CLOSED, WAIT_BUYER_PAY
from channels.inbound import (
    InboundReply,
    InboundRequest,
    NoticeRefused,
    OtherNotice,
    PaymentWord,
    RefundWord,
    Word,
)
from channels.port import Answer, RefundAnswer, Verdict
from domain.money import MoneyError, parse_yuan
from signing.alipay import verify_notification

TAKEN: Final = InboundReply(status=200, body=b"success")
NOT_TAKEN: Final = InboundReply(status=500, body=b"failure")
_REFUSED: Final = InboundReply(status=400, body=b"failure")
_TRADE: Final = "trade_status_sync"
_MOST_FIELDS: Final = 200
_UNCLEAR: Final = Answer(verdict=Verdict.UNKNOWN)

Params = Mapping[str, str]


def read_notice(request: InboundRequest, account: AlipayAccount) -> Word:
    """The verified word; raises :class:`NoticeRefused`, and nothing else."""
    params = _decoded(request.body)
    is_trade = params.get("notify_type") == _TRADE
    if not any(verify_notification(params, key, is_trade) for key in _keys_for(params, account)):
        raise NoticeRefused("the signature does not verify", _REFUSED)
    if params.get("app_id") != account.app_id:
        raise NoticeRefused("for another application", _REFUSED)
    if not is_trade:
        return OtherNotice(about=_kind_of(params))
    if account.seller_id and params.get("seller_id", "") not in ("", account.seller_id):
        raise NoticeRefused("for another seller", _REFUSED)
    order_no = params.get("out_trade_no", "")
    if not order_no:
        return OtherNotice(about="a trade without a number of ours")
    if _is_of_a_refund(params):
        return _refund_word(params, order_no)
    return _payment_word(params, order_no)


def _payment_word(params: Params, order_no: str) -> Word:
    state = params.get("trade_status", "")
    if state in PAID_STATES:
        return _paid_word(params, order_no)
    if state == WAIT_BUYER_PAY:
        answer = Answer(verdict=Verdict.PENDING, channel_code=state)
        return PaymentWord(order_no=order_no, answer=answer)
    if state == TRADE_CLOSED:
        answer = Answer(verdict=Verdict.UNKNOWN, channel_code=state, answered=True)
        return PaymentWord(order_no=order_no, answer=answer)
    return OtherNotice(about="a state of a trade that no table knows")


def _paid_word(params: Params, order_no: str) -> PaymentWord:
    try:
        amount_fen = parse_yuan(params.get("total_amount", ""))
    except MoneyError:
        return PaymentWord(order_no=order_no, answer=_UNCLEAR, ask_first=True)
    answer = Answer(
        verdict=Verdict.SUCCEEDED,
        amount_fen=amount_fen,
        currency=params.get("trans_currency", ""),
        order_no=order_no,
        trade_no=params.get("trade_no", ""),
        channel_code=SUCCESS,
        paid_at_ms=time_ms(params.get("gmt_payment", "")),
    )
    return PaymentWord(order_no=order_no, answer=answer)


def _is_of_a_refund(params: Params) -> bool:
    if params.get("out_biz_no") or params.get("gmt_refund"):
        return True
    try:
        return parse_yuan(params.get("refund_fee") or "0") != 0
    except MoneyError:
        return True  # whatever it is, it is no plain payment


def _refund_word(params: Params, order_no: str) -> Word:
    refund_no = params.get("out_biz_no", "")
    if not refund_no:
        return OtherNotice(about="a refund without a number of ours")
    if refund_no == order_no:
        return OtherNotice(about="the refund of an undo")
    answer = RefundAnswer(verdict=Verdict.UNKNOWN, refund_no=refund_no)
    return RefundWord(order_no=order_no, refund_no=refund_no, answer=answer, ask_first=True)


def _keys_for(params: Params, account: AlipayAccount) -> tuple[RSAPublicKey, ...]:
    """The key that the notification names, or all that the account trusts."""
    return account.alipay_keys.named(params.get("alipay_cert_sn", ""))


def _decoded(body: bytes) -> dict[str, str]:
    """The form, decoded once.

    Raises:
        NoticeRefused: no form, or one that could be read in two ways.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except (ValueError, UnicodeError):
        raise NoticeRefused("not a form", _REFUSED) from None
    params = dict(pairs)
    if len(params) != len(pairs):
        raise NoticeRefused("a field comes twice", _REFUSED)
    return params


def _kind_of(params: Params) -> str:
    """What a message of the application is called, if that can be shown."""
    for name in ("msg_method", "method", "notify_type"):
        value = params.get(name, "")
        if value and len(value) <= 80 and value.replace(".", "").replace("_", "").isalnum():
            return value
    return "a message of another kind"
