"""What a channel is asked about a payment whose request is gone, and what an order keeps for it.

Rules: nothing of it is sensitive, and all that an undo needs after a restart is in it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import orjson

from channels.card import CardAction
from channels.port import PaymentRef, PayRequest
from domain.payment import (
    ADJUSTMENT_METHOD,
    COMPLETION_METHOD,
    HOLD_METHOD,
    OFFLINE_METHOD,
    TIP_METHOD,
    Order,
    Payment,
)

ADVICE_ACTIONS: Final[Mapping[str, CardAction]] = MappingProxyType(
    {
        OFFLINE_METHOD: CardAction.OFFLINE,
        ADJUSTMENT_METHOD: CardAction.ADJUST,
        TIP_METHOD: CardAction.TIP,
    }
)
_ACTIONS: Final[Mapping[str, CardAction]] = MappingProxyType(
    {
        HOLD_METHOD: CardAction.AUTHORISE,
        COMPLETION_METHOD: CardAction.COMPLETE,
        **ADVICE_ACTIONS,
    }
)
"""What a payment did with a card; every other method sold."""
_MOTO: Final[Mapping[str, CardAction]] = MappingProxyType(
    {"card": CardAction.MOTO_SALE, HOLD_METHOD: CardAction.MOTO_AUTHORISE}
)
"""The same without a card, by mail or telephone."""


def details(entry_mode: str, original_no: str = "", *, is_moto: bool = False) -> str:
    """What an undo needs after a restart, as the text that an order keeps.

    F22 and a number of ours have nothing in them that JSON would escape.
    """
    if is_moto:
        return f'{{"entry_mode":"{entry_mode}","is_moto":true}}'
    if original_no:
        return f'{{"entry_mode":"{entry_mode}","original_no":"{original_no}"}}'
    return f'{{"entry_mode":"{entry_mode}"}}' if entry_mode else ""


def reference(payment: Payment) -> PaymentRef:
    """The payment as its channel knows it."""
    order, standing = payment.order, payment.standing
    kept = orjson.loads(order.details_json) if order.details_json else {}
    return PaymentRef(
        order_no=order.channel_order_no,
        amount_fen=order.amount_fen,
        currency=order.currency,
        created_at_ms=order.created_at_ms,
        trade_no=standing.channel_trade_no,
        entry_mode=str(kept.get("entry_mode", "")),
        reference=standing.channel_reference,
        paid_at_ms=standing.paid_at_ms,
        action=(_MOTO if kept.get("is_moto") else _ACTIONS).get(order.method, CardAction.SALE),
        original_no=str(kept.get("original_no", "")),
        method=order.method,
    )


def bare_request(order: Order) -> PayRequest:
    """What is known of a payment when it is not to be made: no code, no card."""
    return PayRequest(
        order_no=order.channel_order_no,
        amount_fen=order.amount_fen,
        currency=order.currency,
        subject=order.subject,
        created_at_ms=order.created_at_ms,
    )
