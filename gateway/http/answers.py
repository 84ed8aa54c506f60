"""Payments and refunds as the API and the notifications show them (``docs/contract.md``). Pure.

``texts`` are the installed channels' own words for their codes (``domain/decline.py``).
"""

from collections.abc import Iterable
from typing import Final

import orjson

from domain.checkout import shown_id
from domain.clock import iso_utc
from domain.decline import (
    NO_TEXTS,
    CashierText,
    Decline,
    DeclineReason,
    Texts,
    payment_text,
    refund_text,
)
from domain.payment import Payment
from domain.refund import Refund

Shown = dict[str, object]
_PAYMENT_PARKED: Final = CashierText(
    "The channel's answer contradicts the order; a person is looking at it.",
    "渠道应答与订单不符，人工处理中",
)
_REFUND_PARKED: Final = CashierText(
    "The channel has not settled this refund; a person is looking at it.",
    "渠道未确认退款结果，人工处理中",
)
_REFUND_REFUSED: Final = CashierText(
    "The channel refused this refund. Nothing was returned under this number.",
    "渠道拒绝退款，款项未退回",
)
_REFUND_UNFUNDED: Final = CashierText(
    "The merchant's account at the channel lacks the money. Nothing was returned.",
    "商户渠道账户余额不足，款项未退回",
)


def payment_body(payment: Payment, texts: Texts = NO_TEXTS) -> bytes:
    """The JSON of a payment."""
    return orjson.dumps(payment_dict(payment, texts))


def refund_body(refund: Refund, texts: Texts = NO_TEXTS) -> bytes:
    """The JSON of a refund."""
    return orjson.dumps(refund_dict(refund, texts))


def refunds_body(refunds: Iterable[Refund], texts: Texts = NO_TEXTS) -> bytes:
    """The JSON of a payment's refunds."""
    return orjson.dumps({"refunds": [refund_dict(refund, texts) for refund in refunds]})


def payment_dict(payment: Payment, texts: Texts = NO_TEXTS) -> Shown:
    """A payment as it is shown; a parked one is unknown, whatever it was before."""
    order, standing = payment.order, payment.standing
    return {
        "id": order.id,
        "merchant_order_no": order.order_key,
        "status": "unknown" if standing.parked_reason else standing.status._value_,
        "version": standing.version,
        "amount": order.amount_fen,
        "currency": order.currency,
        "subject": order.subject,
        "channel": order.channel or None,
        "channel_order_no": order.channel_order_no or None,
        "channel_trade_no": standing.channel_trade_no or None,
        "method": {"type": order.method},
        "store_id": order.store_id or None,
        "terminal_id": order.terminal_id or None,
        "metadata": orjson.loads(order.metadata_json) if order.metadata_json else {},
        "created_at": iso_utc(order.created_at_ms),
        "paid_at": _paid_at(payment),
        "refunded_amount": standing.returned_fen,
        "error": _payment_error(payment, texts),
        "case_id": f"case_{order.id[4:]}" if standing.parked_reason else None,
    }


def refund_dict(refund: Refund, texts: Texts = NO_TEXTS) -> Shown:
    """A refund as it is shown; a parked one is unknown, its amount still reserved."""
    order, standing = refund.order, refund.standing
    return {
        "id": order.id,
        "payment_id": shown_id(order.payment_id),
        "merchant_refund_no": order.merchant_refund_no,
        "amount": order.amount_fen,
        "currency": order.currency,
        "reason": order.reason or None,
        "status": "unknown" if standing.parked_reason else standing.status.value,
        "channel_refund_no": order.channel_refund_no,
        "created_at": iso_utc(order.created_at_ms),
        "done_at": iso_utc(standing.done_at_ms) if standing.done_at_ms else None,
        "error": _refund_error(refund, texts),
        "case_id": f"case_{order.id[4:]}" if standing.parked_reason else None,
    }


def _paid_at(payment: Payment) -> str | None:
    """When it was paid; of a parked one nobody should believe that before a person has looked."""
    paid_at_ms = 0 if payment.standing.parked_reason else payment.standing.paid_at_ms
    return iso_utc(paid_at_ms) if paid_at_ms else None


def _payment_error(payment: Payment, texts: Texts) -> Shown | None:
    standing = payment.standing
    if standing.parked_reason:
        return _error(standing.parked_reason, _PAYMENT_PARKED)
    decline = standing.decline
    if decline is None:
        return None
    text = payment_text(decline, payment.order.channel, texts)
    return _error(decline.reason.value, text, decline.channel_code)


def _refund_error(refund: Refund, texts: Texts) -> Shown | None:
    """A refund's refusal speaks to the shop: its payer has nothing to mend."""
    standing = refund.standing
    if standing.parked_reason:
        return _error(standing.parked_reason, _REFUND_PARKED)
    decline = standing.decline
    if decline is None:
        return None
    text = refund_text(decline, refund.order.channel, texts) or _refused_text(decline)
    return _error(decline.reason.value, text, decline.channel_code)


def _refused_text(decline: Decline) -> CashierText:
    unfunded = decline.reason is DeclineReason.INSUFFICIENT_FUNDS
    return _REFUND_UNFUNDED if unfunded else _REFUND_REFUSED


def _error(code: str, text: CashierText, channel_code: str = "") -> Shown:
    return {
        "code": code,
        "message": text.en,
        "message_zh": text.zh,
        "channel_code": channel_code or None,
    }
