"""What a link batch came to, by the simulated card host's own books.

Rules (reference ``pos_protocol.md`` §6): what was charged and stands is a debit, a void or
refund that was made and stands is a credit; what was reversed is neither. An addition to a
sale (tip, adjustment) adds to its amount and counts nothing. Counts end at 999.
"""

from dataclasses import replace
from typing import Final

from pos_protocol.fields.totals import ClassTotals, SettlementTotals
from sandbox.card_books import CardBooks, OrderKind

_MOST: Final = 999


def totals_of(books: CardBooks, prefix: str) -> SettlementTotals:
    """The totals of the numbers that begin with ``prefix``: terminal and batch."""
    sums = ClassTotals()
    for order in books:
        if order.order_no.startswith(prefix) and order.charged_fen and not order.undone:
            counts = order.kind is not OrderKind.ADDITION
            sums = replace(
                sums,
                debit_fen=sums.debit_fen + order.charged_fen,
                debit_count=sums.debit_count + counts,
            )
    for one in books.returns():
        stands = one.response_code == "00" and not one.undone
        if stands and one.return_no.startswith(prefix):
            sums = sums.plus(credit_fen=one.amount_fen)
    return SettlementTotals(
        replace(
            sums,
            debit_count=min(sums.debit_count, _MOST),
            credit_count=min(sums.credit_count, _MOST),
        )
    )
