"""The simulated UnionPay's file of a clearing day, from its own charges (``channels.md`` C2).

Rule: what was done and not reversed is in it, in the order it was made.
"""

from sandbox.merchant_file import MerchantRow, day_zip, fee_fen
from sandbox.unionpay_qr_books import Order, UnionPayBooks, clearing_day

__all__ = ["day_file", "fee_fen"]


def day_file(
    books: UnionPayBooks, mer_id: str, settle_date: str, now_ms: int
) -> tuple[str, bytes] | None:
    """Name and zip of the latest clearing day of that date; ``None`` if nothing was cleared."""
    books.tick(now_ms)
    orders = [
        order
        for order in books
        if order.done
        and not order.reversed
        and order.kind in ("01", "03", "04", "31", "33")
        and f"{clearing_day(order.created_at_ms):%m%d}" == settle_date
    ]
    if not orders:
        return None
    day = clearing_day(orders[-1].created_at_ms)
    content = day_zip([_row(order) for order in orders], (), mer_id, day)
    return f"{mer_id}_{day:%Y%m%d}.zip", content


def _row(order: Order) -> MerchantRow:
    original = order.original
    return MerchantRow(
        code="S56",
        trace=order.query_id[14:20],
        at_ms=order.created_at_ms,
        pan="622609******0048",
        amount_fen=order.amount_fen,
        trade_no=order.query_id,
        order_id=order.order_id,
        txn_type=order.kind,
        sub_type=order.sub_type,
        original_trade_no=original.query_id if original is not None else "",
        original_order_id=original.order_id if original is not None else "",
        reserved=order.reserved,
    )
