"""Invented settled batches, with lines and differences, for tests of the store and above."""

from dataclasses import replace

from gateway.store.batch_records import (
    Batch,
    BatchDifference,
    BatchKey,
    BatchLine,
    BatchState,
    BatchTotals,
    DifferenceKind,
    Sums,
)
from tests.support.payments import MERCHANT

BATCH_KEY = BatchKey(MERCHANT, "T0000001", 7)
SOLD = Sums(debit_fen=1990, debit_count=1, credit_fen=500, credit_count=2)
OTHERWISE = BatchTotals(SOLD, Sums(debit_fen=3, debit_count=4, credit_fen=5, credit_count=6))


def sample_batch(**changes: object) -> Batch:
    """A batch whose totals differ."""
    batch = Batch(
        key=BATCH_KEY,
        version=1,
        state=BatchState.UPLOADING,
        settlement_no=1,
        settled_at_ms=9_000,
        terminal=BatchTotals(SOLD),
        host=OTHERWISE,
    )
    return replace(batch, **changes)  # type: ignore[arg-type]


def sample_batch_line(trace: int, **changes: object) -> BatchLine:
    """What the terminal uploaded of ``trace``."""
    line = BatchLine(
        key=BATCH_KEY,
        trace=f"{trace:06d}",
        management="201",
        amount_fen=1990,
        is_foreign=False,
        has_failed=False,
        pan_token=b"\x00token",
        at_ms=9_100,
    )
    return replace(line, **changes)  # type: ignore[arg-type]


def sample_difference(trace: str, **changes: object) -> BatchDifference:
    """The host knows nothing of ``trace``."""
    found = BatchDifference(
        key=BATCH_KEY,
        settlement_no=1,
        trace=trace,
        kind=DifferenceKind.ONLY_TERMINAL,
        terminal_fen=1990,
        host_fen=0,
        payment_id="",
        at_ms=9_500,
    )
    return replace(found, **changes)  # type: ignore[arg-type]
