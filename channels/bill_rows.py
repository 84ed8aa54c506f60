"""The rows of a channel's bill: one Arrow schema for every channel.

Rules: see ``channels/bills.py``. Arrow is imported by what reads or matches bills, never
by what takes payments: it costs a start-up time and memory that a till has no use for.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa

from channels.bills import BillTotals

BATCH_ROWS: Final = 65_536

_FIELDS: "Final[list[pa.Field[Any]]]" = [
    pa.field("kind", pa.string(), nullable=False),  # a value of BillKind
    pa.field("order_no", pa.string(), nullable=False),  # our channel order number
    pa.field("refund_no", pa.string(), nullable=False),  # ours; "" for a payment
    pa.field("trade_no", pa.string(), nullable=False),  # the channel's number
    pa.field("status", pa.string(), nullable=False),  # the channel's word, "" for none
    pa.field("amount_fen", pa.int64(), nullable=False),
    pa.field("fee_mfen", pa.int64(), nullable=False),
    pa.field("currency", pa.string(), nullable=False),  # ISO 4217 letters
    pa.field("at_ms", pa.int64(), nullable=False),  # UTC ms; 0 where the file tells none
    pa.field("line", pa.int64(), nullable=False),  # in the file, from 1
]
BILL_SCHEMA: Final = pa.schema(_FIELDS)
"""One row for each payment and each refund; what a file tells beside it stays there."""


class BillReader(Protocol):
    """A bill that is being read: iterate it to its end, then ask for its totals."""

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Batches of :data:`BILL_SCHEMA`; raises ``channels.bills.BillRefused``."""
        ...

    def totals(self) -> BillTotals:
        """The sums of every row; only after the last batch."""
        ...


class BillFormat(Protocol):
    """What an entry point of the group ``posgate.bills`` names: how to read one channel's files."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds it reads; the first is the default."""
        ...

    def kind_of(self, path: Path) -> str:
        """Which kind the file is by its own words or its name; the first where it tells none.

        Raises:
            BillRefused: it is none of these.
        """
        ...

    def open(self, kind: str, path: Path, day: date | None = None) -> BillReader:
        """Read the file at ``path``; ``day`` where a kind's rows lack the year.

        Raises:
            BillRefused: here, or while it is read.
        """
        ...
