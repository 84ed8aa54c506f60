"""Our entries as Arrow rows: what the store delivers in bulk, and what reports are made of.

Rules: one row for each payment and refund; ``order_no`` and ``refund_no`` are the
channel's numbers for it, ``day`` its business day there by our clock. Money is integer
fen. Nothing of a card but what the store shows masked.
"""

from typing import Any, Final

import pyarrow as pa

_FIELDS: "Final[list[pa.Field[Any]]]" = [
    pa.field("kind", pa.string(), nullable=False),  # a value of channels.bills.BillKind
    pa.field("order_no", pa.string(), nullable=False),
    pa.field("refund_no", pa.string(), nullable=False),  # "" for a payment
    pa.field("state", pa.string(), nullable=False),  # a value of reconciliation.entries.OurState
    pa.field("amount_fen", pa.int64(), nullable=False),
    pa.field("currency", pa.string(), nullable=False),
    pa.field("day", pa.date32(), nullable=False),
    pa.field("subject", pa.string(), nullable=False),  # our payment's or refund's id
    pa.field("merchant_no", pa.string(), nullable=False),
    pa.field("store_id", pa.string(), nullable=False),
    pa.field("terminal_id", pa.string(), nullable=False),
    pa.field("method", pa.string(), nullable=False),
    pa.field("at_ms", pa.int64(), nullable=False),
    pa.field("cashier", pa.string()),  # what the cashier software calls its cashier, "" for none
]
OURS_SCHEMA: Final = pa.schema(_FIELDS)
