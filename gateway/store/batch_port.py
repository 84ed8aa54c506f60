"""The store's part for terminals' batches: settled, uploaded, compared.

Rules: as in ``port.py``; everything here is cold, and every list comes in pages that begin
after ``after``.
"""

from collections.abc import Sequence
from typing import Protocol

from gateway.store.batch_records import (
    Batch,
    BatchDifference,
    BatchEntry,
    BatchKey,
    BatchLine,
    Sums,
)


class BatchStore(Protocol):
    """Batches with their lines and differences, and what the host holds of them."""

    async def save_batch(self, batch: Batch, differences: Sequence[BatchDifference] = ()) -> bool:
        """Insert version 1 or move version n-1 to n, its differences in the same commit.

        ``False`` when it moved meanwhile: nothing is written. A difference that is there
        stays as it is.
        """
        ...

    async def batch(self, key: BatchKey) -> Batch | None:
        """A settled batch."""
        ...

    async def batches(
        self, *, terminal_id: str, after: BatchKey | None, limit: int
    ) -> Sequence[Batch]:
        """Settled batches by key; an empty ``terminal_id`` does not filter."""
        ...

    async def settled_batches(
        self, from_ms: int, until_ms: int, after: Batch | None, limit: int
    ) -> Sequence[Batch]:
        """Batches settled in [from, until), by that time and key."""
        ...

    async def add_batch_lines(self, lines: Sequence[BatchLine]) -> None:
        """Keep uploaded lines, all or none; a trace that is there stays as it is."""
        ...

    async def batch_line_count(self, key: BatchKey) -> int: ...
    async def batch_lines(self, key: BatchKey, after: str, limit: int) -> Sequence[BatchLine]:
        """The lines of a batch by trace."""
        ...

    async def differences_of_batch(
        self, key: BatchKey, after: BatchDifference | None, limit: int
    ) -> Sequence[BatchDifference]:
        """The differences of a batch's latest settlement, by trace and kind."""
        ...

    async def link_totals(self, account_id: str, prefix: str) -> tuple[Sums, int]:
        """What stands under an account's numbers that begin with ``prefix``; how many are open."""
        ...

    async def batch_payments(self, key: BatchKey, after: str, limit: int) -> Sequence[BatchEntry]:
        """The payments that a batch's messages made, by trace, whatever their status."""
        ...

    async def batch_refunds(self, key: BatchKey, after: str, limit: int) -> Sequence[BatchEntry]:
        """The refunds (voids too) that a batch's messages made, by trace."""
        ...
