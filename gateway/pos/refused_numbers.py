"""Numbers that are taken so that nothing can come under them any more.

Rule: a number is taken as a payment that is closed from the start, by the same unique key
that a sale claims; whoever is first has it.
"""

from typing import Final

from domain.ids import IdSource
from domain.payment import Order
from gateway.pos.exchange import Exchange

RETURN_METHOD: Final = "return"
"""The method of a void's or refund's own number: its money is a refund's."""
REFUSED_METHOD: Final = "reversal"
"""The method of a number that may never become a payment.

Its sale was reversed before it came, an inquiry was told "never seen", or it was refused for
good: by a limit, or while we could not sell.
"""


def refused_order(
    exchange: Exchange, order_key: str, ids: IdSource, now_ms: int, amount_fen: int = 0
) -> Order:
    """A number taken for ever: the order of a payment that must not come any more."""
    return Order(
        id=ids.new("pay_"),
        merchant_no=exchange.known.merchant.merchant_no,
        door="pos",
        order_key=order_key,
        fingerprint=b"reversed before it came",
        amount_fen=amount_fen,
        currency="CNY",
        subject="",
        method=REFUSED_METHOD,
        channel="",
        account_id="",
        channel_order_no=ids.new(),
        terminal_id=exchange.known.terminal.terminal_id,
        store_id="",
        notify_url="",
        pan_sealed=b"",
        pan_token=b"",
        metadata_json="",
        details_json="",
        created_at_ms=now_ms,
        till_deadline_ms=now_ms,
    )
