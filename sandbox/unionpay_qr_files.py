"""The simulated UnionPay's file of a clearing day, from its own charges (``channels.md`` C2).

Rule: what was done and not reversed is in it, in the order it was made.
"""

from collections.abc import Iterator
from datetime import date

from sandbox.bill_faults import NO_FAULTS, BillFaults, fault_of, printed_on
from sandbox.merchant_file import MerchantRow, day_zip, fee_fen
from sandbox.unionpay_qr_books import Order, UnionPayBooks, clearing_day

__all__ = ["day_file", "fee_fen"]


def day_file(
    books: UnionPayBooks,
    mer_id: str,
    settle_date: str,
    now_ms: int,
    faults: BillFaults = NO_FAULTS,
) -> tuple[str, bytes] | None:
    """Name and zip of the latest clearing day of that date; ``None`` if nothing was cleared."""
    books.tick(now_ms)
    printed = [one for one in _printed(books, faults) if f"{one[0]:%m%d}" == settle_date]
    if not printed:
        return None
    day = printed[-1][0]
    content = day_zip([row for _, row in printed], (), mer_id, day)
    return f"{mer_id}_{day:%Y%m%d}.zip", content


def _printed(books: UnionPayBooks, faults: BillFaults) -> Iterator[tuple[date, MerchantRow]]:
    """Every record of every clearing day, with its day."""
    for order in books:
        if not order.done or order.reversed or order.kind not in ("01", "03", "04", "31", "33"):
            continue
        returned = order.original if order.kind in ("04", "31", "33") else None
        event = (order.order_id, "") if returned is None else (returned.order_id, order.order_id)
        fault = fault_of(faults, event)
        for day in printed_on(fault, clearing_day(order.created_at_ms)):
            yield day, _row(order, fault.fee_fen)


def _row(order: Order, fee_beside_fen: int) -> MerchantRow:
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
        fee_beside_fen=fee_beside_fen,
    )
