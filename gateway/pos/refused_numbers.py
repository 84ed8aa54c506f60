"""Numbers that are taken so that nothing can come under them any more.

Rule: a number is taken as a payment that is closed from the start, by the same unique key
that a sale claims; whoever is first has it. It never was at a channel, and has no number there.
"""

from typing import Final

from domain.doors import POS_DOOR
from domain.ids import IdSource
from domain.payment import Order
from gateway.pos.exchange import Exchange

RETURN_METHOD: Final = "return"
"""The method of a void's or refund's own number: its money is a refund's."""
HOLD_VOID_METHOD: Final = "card_authorisation_void"
"""The method of the own number of a hold's void: it began a release, and cannot be taken back."""
REFUSED_METHOD: Final = "reversal"
"""The method of a number that may never become a payment.

Its sale was reversed before it came, an inquiry was told "never seen", or it was refused for
good: by a limit, or while we could not sell.
"""
_NOBODYS: Final = b"reversed before it came"
"""No message has this fingerprint."""


def refused_order(
    exchange: Exchange,
    order_key: str,
    ids: IdSource,
    now_ms: int,
    *,
    amount_fen: int = 0,
    method: str = REFUSED_METHOD,
    fingerprint: bytes = _NOBODYS,
    details_json: str = "",
) -> Order:
    """A number taken for ever: the order of a payment that must not come any more.

    ``fingerprint`` is that of the message which has the number, where its repeat is told.
    """
    return Order(
        id=ids.new("pay_"),
        merchant_no=exchange.known.merchant.merchant_no,
        door=POS_DOOR,
        order_key=order_key,
        fingerprint=fingerprint,
        amount_fen=amount_fen,
        currency="CNY",
        subject="",
        method=method,
        channel="",
        account_id="",
        channel_order_no="",
        terminal_id=exchange.known.terminal.terminal_id,
        store_id="",
        notify_url="",
        pan_sealed=b"",
        pan_token=b"",
        metadata_json="",
        details_json=details_json,
        created_at_ms=now_ms,
        till_deadline_ms=now_ms,
    )
