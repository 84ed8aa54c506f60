"""What reconciliation asks of a store: our own entries, in bulk, as Arrow batches.

Rules: a source reads in one snapshot and in bounded batches, never row by row through an
ORM; it knows the tables and nothing of what a match means (``orders.py`` says that).
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import pyarrow as pa


class OrderSource(Protocol):
    """Payments and refunds of one channel account; blocking, for a thread or process of its own."""

    def made_between(
        self, account_id: str, from_ms: int, until_ms: int
    ) -> AbstractContextManager[Iterator[pa.RecordBatch]]:
        """Everything made in [from, until), as ``orders.STORED_SCHEMA``."""
        ...

    def booked_between(
        self, account_id: str, from_ms: int, until_ms: int, *, made_before_ms: int
    ) -> Iterator[pa.RecordBatch]:
        """Older payments that the ledger took, or gave back of, in [from, until), with refunds.

        Only payments that were made before ``made_before_ms``, and all of their refunds.
        """
        ...

    def named(self, account_id: str, order_nos: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The payments under these channel order numbers, and all of their refunds."""
        ...
