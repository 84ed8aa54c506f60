"""What our books hold of a link's batch: the numbers that its channel knows, by their beginning.

Rules: a debit is a payment whose money was captured and stands, a credit a void or refund
that was made; an adjustment or tip adds to its amount and counts nothing. A range of the
unique index over channel numbers finds them; no index is kept for it.
"""

from typing import Final

from domain.payment import ADDITION_METHODS, UNSETTLED, Status
from domain.refund import REFUND_FINAL, RefundStatus
from gateway.store.batch_records import Sums
from gateway.store.database import Database
from gateway.store.sql_text import literals

_LAST: Final = "~"
"""After every letter and digit."""
_PAID: Final = f"p.status = '{Status.SUCCEEDED.value}' AND p.captured_fen > 0"
_UNSETTLED: Final = literals(sorted(status.value for status in UNSETTLED))
_ADDITIONS: Final = literals(sorted(ADDITION_METHODS))
_FINAL: Final = literals(sorted(status.value for status in REFUND_FINAL))
_DEBITS: Final = (
    f"SELECT coalesce(sum(CASE WHEN {_PAID} THEN p.captured_fen ELSE 0 END), 0), "
    f"coalesce(sum(CASE WHEN {_PAID} AND p.method NOT IN ({_ADDITIONS}) THEN 1 ELSE 0 END), 0), "
    f"coalesce(sum(CASE WHEN p.status IN ({_UNSETTLED}) THEN 1 ELSE 0 END), 0) "
    "FROM attempts a JOIN payments p ON p.id = a.payment_id "
    "WHERE a.channel_order_no >= ? AND a.channel_order_no < ? AND a.account_id = ?"
)
_RETURNED: Final = f"status = '{RefundStatus.SUCCEEDED.value}'"
_CREDITS: Final = (
    f"SELECT coalesce(sum(CASE WHEN {_RETURNED} THEN amount_fen ELSE 0 END), 0), "
    f"coalesce(sum(CASE WHEN {_RETURNED} THEN 1 ELSE 0 END), 0), "
    f"coalesce(sum(CASE WHEN status NOT IN ({_FINAL}) THEN 1 ELSE 0 END), 0) "
    "FROM refunds WHERE channel_refund_no >= ? AND channel_refund_no < ? AND account_id = ?"
)


class LinkBatchReads:
    """The store's part for batches of links."""

    _database: Database

    async def link_totals(self, account_id: str, prefix: str) -> tuple[Sums, int]:
        """As :meth:`gateway.store.batch_port.BatchStore.link_totals`."""
        bounds = (prefix, prefix + _LAST, account_id)
        [debits] = await self._database.rows(_DEBITS, *bounds)
        [credits] = await self._database.rows(_CREDITS, *bounds)
        sums = Sums(
            debit_fen=int(debits[0]),
            debit_count=int(debits[1]),
            credit_fen=int(credits[0]),
            credit_count=int(credits[1]),
        )
        return sums, int(debits[2]) + int(credits[2])
