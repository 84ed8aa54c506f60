"""A payment as the API shows it (``docs/contract.md``). Pure."""

import orjson

from domain.clock import iso_utc
from domain.decline import CASHIER_TEXTS
from domain.payment import Payment


def payment_body(payment: Payment) -> bytes:
    """The JSON of a payment."""
    order, standing = payment.order, payment.standing
    return orjson.dumps(
        {
            "id": order.id,
            "merchant_order_no": order.order_key,
            "status": "unknown" if standing.parked_reason else standing.status.value,
            "amount": order.amount_fen,
            "currency": order.currency,
            "subject": order.subject,
            "channel": order.channel,
            "channel_order_no": order.channel_order_no,
            "channel_trade_no": standing.channel_trade_no or None,
            "method": {"type": order.method},
            "store_id": order.store_id or None,
            "terminal_id": order.terminal_id or None,
            "metadata": orjson.loads(order.metadata_json) if order.metadata_json else {},
            "created_at": iso_utc(order.created_at_ms),
            "paid_at": iso_utc(standing.paid_at_ms) if standing.paid_at_ms else None,
            "refunded_amount": standing.returned_fen,
            "error": _error(payment),
            "case_id": f"case_{order.id[4:]}" if standing.parked_reason else None,
        }
    )


def _error(payment: Payment) -> dict[str, str | None] | None:
    standing = payment.standing
    if standing.parked_reason:
        text = "The channel's answer contradicts the order; a person is looking at it."
        return {
            "code": standing.parked_reason,
            "message": text,
            "message_zh": "渠道应答与订单不符，人工处理中",
            "channel_code": None,
        }
    if standing.decline is None:
        return None
    text_pair = CASHIER_TEXTS[standing.decline.reason]
    return {
        "code": standing.decline.reason.value,
        "message": text_pair.en,
        "message_zh": text_pair.zh,
        "channel_code": standing.decline.channel_code or None,
    }
