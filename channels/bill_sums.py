"""What the rows of a bill add up to, batch by batch."""

import pyarrow as pa
import pyarrow.compute as pc

from channels.bill_columns import literal, total
from channels.bills import BillKind, BillTotals


class BillSums:
    """Counts and sums of batches of ``channels.bill_rows.BILL_SCHEMA``."""

    def __init__(self) -> None:
        self._lines = 0
        self._counts = dict.fromkeys(BillKind, 0)
        self._fen = dict.fromkeys(BillKind, 0)
        self._fee_mfen = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take one batch in."""
        self._lines += batch.num_rows
        amounts = batch.column("amount_fen")
        for kind in BillKind:
            mask = pc.equal(batch.column("kind"), literal(kind.value))
            self._counts[kind] += total(pc.cast(mask, pa.int64()))
            self._fen[kind] += total(pc.if_else(mask, amounts, literal(0)))
        self._fee_mfen += total(batch.column("fee_mfen"))

    def totals(self, footer_agrees: bool | None) -> BillTotals:
        """The sums so far."""
        return BillTotals(
            lines=self._lines,
            payments=self._counts[BillKind.PAYMENT],
            payments_fen=self._fen[BillKind.PAYMENT],
            refunds=self._counts[BillKind.REFUND],
            refunds_fen=self._fen[BillKind.REFUND],
            fee_mfen=self._fee_mfen,
            footer_agrees=footer_agrees,
        )
