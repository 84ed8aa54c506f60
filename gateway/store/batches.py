"""Terminals' batches: settled, uploaded, compared, read.

Rules:

* A batch moves by compare-and-set on ``version``, its differences in the same commit.
* A line that comes again is the line that is there; lines and differences never change.
* A settlement with other totals begins a new count of differences; readers show those
  of the batch's latest settlement, the others stay as history.
* What a batch holds is found by the order keys of its messages (terminal, batch, trace),
  a range of a unique index; no index is kept for it.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

import orjson

from domain.payment import ADDITION_METHODS, Status
from domain.refund import RefundStatus
from gateway.store.batch_records import (
    Batch,
    BatchDifference,
    BatchEntry,
    BatchKey,
    BatchLine,
    BatchState,
    BatchTotals,
    DifferenceKind,
    Sums,
)
from gateway.store.database import Database, Step
from gateway.store.records import pos_refund_number
from gateway.store.rows import Row
from gateway.store.statements import assignments, insert

_KEY: Final = ("merchant_no", "terminal_id", "batch_no")
_SUMS: Final = ("debit_fen", "debit_count", "credit_fen", "credit_count")
_TOTALS: Final = tuple(
    f"{side}_{card_class}_{number}"
    for side in ("terminal", "host")
    for card_class in ("domestic", "foreign")
    for number in _SUMS
)
_MOVING: Final = (
    "version",
    "state",
    "settlement_no",
    "settled_at_ms",
    *_TOTALS,
    "upload_expected",
    "uploaded",
    "closed_at_ms",
)
_BATCH: Final = f"SELECT {', '.join(_KEY + _MOVING)} FROM batches "
_OF_KEY: Final = " AND ".join(f"{column} = ?" for column in _KEY)
_FIRST: Final = (
    insert("batches", _KEY + _MOVING)
    + " ON CONFLICT (merchant_no, terminal_id, batch_no) DO NOTHING"
)
_NEXT: Final = f"UPDATE batches SET {assignments(_MOVING)} WHERE {_OF_KEY} AND version = ?"
_BY_KEY: Final = f"{_BATCH}WHERE {_OF_KEY}"
_ALL: Final = (
    f"{_BATCH}WHERE (merchant_no, terminal_id, batch_no) > (?, ?, ?) "
    "ORDER BY merchant_no, terminal_id, batch_no LIMIT ?"
)
_OF_TERMINAL: Final = (
    f"{_BATCH}WHERE terminal_id = ? AND (merchant_no, terminal_id, batch_no) > (?, ?, ?) "
    "ORDER BY merchant_no, terminal_id, batch_no LIMIT ?"
)
_SETTLED: Final = (
    f"{_BATCH}WHERE settled_at_ms < ? "
    "AND (settled_at_ms, merchant_no, terminal_id, batch_no) > (?, ?, ?, ?) "
    "ORDER BY settled_at_ms, merchant_no, terminal_id, batch_no LIMIT ?"
)

_LINE_COLUMNS: Final = (
    "trace",
    "management",
    "amount_fen",
    "is_foreign",
    "has_failed",
    "pan_token",
    "at_ms",
)
_LINE: Final = (
    insert("batch_lines", _KEY + _LINE_COLUMNS)
    + " ON CONFLICT (merchant_no, terminal_id, batch_no, trace) DO NOTHING"
)
_LINES: Final = (
    f"SELECT {', '.join(_LINE_COLUMNS)} FROM batch_lines "
    f"WHERE {_OF_KEY} AND trace > ? ORDER BY trace LIMIT ?"
)
_LINE_COUNT: Final = f"SELECT count(*) FROM batch_lines WHERE {_OF_KEY}"

_DIFFERENCE_COLUMNS: Final = (
    "settlement_no",
    "trace",
    "kind",
    "terminal_fen",
    "host_fen",
    "payment_id",
    "at_ms",
)
_DIFFERENCE: Final = (
    insert("batch_differences", _KEY + _DIFFERENCE_COLUMNS) + " ON CONFLICT "
    "(merchant_no, terminal_id, batch_no, settlement_no, trace, kind) DO NOTHING"
)
_DIFFERENCES_OF: Final = (
    f"SELECT {', '.join(f'd.{column}' for column in _KEY + _DIFFERENCE_COLUMNS)} "
    "FROM batch_differences d JOIN batches b ON b.merchant_no = d.merchant_no "
    "AND b.terminal_id = d.terminal_id AND b.batch_no = d.batch_no "
    "AND b.settlement_no = d.settlement_no "
    "WHERE d.merchant_no = ? AND d.terminal_id = ? AND d.batch_no = ? "
    "AND (d.trace, d.kind) > (?, ?) ORDER BY d.trace, d.kind LIMIT ?"
)

_PAYMENTS: Final = (
    "SELECT order_key, id, '', status, amount_fen, captured_fen, returned_fen, "
    "method, pan_token, details_json, card_organisation FROM payments WHERE merchant_no = ? AND door = 'pos' "
    "AND order_key > ? AND order_key <= ? AND substr(order_key, 1, ?) = ? "
    "ORDER BY order_key LIMIT ?"
)
_REFUNDS: Final = (
    "SELECT r.merchant_refund_no, r.payment_id, r.id, r.status, r.amount_fen, p.captured_fen, "
    "p.returned_fen, p.method, p.pan_token, '', "
    "p.card_organisation FROM refunds r JOIN payments p ON p.id = r.payment_id "
    "WHERE r.merchant_no = ? AND r.merchant_refund_no > ? AND r.merchant_refund_no <= ? "
    "AND substr(r.merchant_refund_no, 1, ?) = ? ORDER BY r.merchant_refund_no LIMIT ?"
)
DOMESTIC_ORGANISATIONS: Final = frozenset({"", "CUP", "000"})
"""63.1 of cards that count as domestic; a code has none, and some hosts say none."""
_FIRST_TRACE, _LAST_TRACE = "000000", "999999"
_TRACE_DIGITS: Final = 6
_CARD_PREFIX: Final = "card"
"""What the method of every payment by card begins with; other tokens are of codes."""

_line_row = attrgetter(*_LINE_COLUMNS)
_sums_row = attrgetter(*_SUMS)


class Batches:
    """The store's ``BatchStore`` half."""

    _database: Database

    async def save_batch(self, batch: Batch, differences: Sequence[BatchDifference] = ()) -> bool:
        """Insert version 1 or move version n-1 to n, its differences with it.

        ``False`` when it moved meanwhile: nothing is written. A difference that is there
        stays as it is.
        """
        guard: Step
        if batch.version == 1:
            guard = (_FIRST, (*batch.key, *_batch_row(batch)))
        else:
            guard = (_NEXT, (*_batch_row(batch), *batch.key, batch.version - 1))
        steps = [guard, *((_DIFFERENCE, _difference_row(found)) for found in differences)]
        return await self._database.write(steps, guards=1) is None

    async def batch(self, key: BatchKey) -> Batch | None:
        """A settled batch."""
        rows = await self._database.rows(_BY_KEY, *key)
        return _read_batch(rows[0]) if rows else None

    async def batches(
        self, *, terminal_id: str, after: BatchKey | None, limit: int
    ) -> Sequence[Batch]:
        """Settled batches by key; an empty ``terminal_id`` does not filter."""
        first = after or BatchKey("", "", 0)
        if terminal_id:
            rows = await self._database.rows(_OF_TERMINAL, terminal_id, *first, limit)
        else:
            rows = await self._database.rows(_ALL, *first, limit)
        return [_read_batch(row) for row in rows]

    async def settled_batches(
        self, from_ms: int, until_ms: int, after: Batch | None, limit: int
    ) -> Sequence[Batch]:
        """Batches settled in [from, until), by that time and key."""
        first = (from_ms, "", "", 0) if after is None else (after.settled_at_ms, *after.key)
        rows = await self._database.rows(_SETTLED, until_ms, *first, limit)
        return [_read_batch(row) for row in rows]

    async def add_batch_lines(self, lines: Sequence[BatchLine]) -> None:
        """Keep uploaded lines, all or none; a trace that is there stays as it is."""
        steps = [(_LINE, (*line.key, *_line_row(line))) for line in lines]
        await self._database.write(steps, guards=0)

    async def batch_line_count(self, key: BatchKey) -> int:
        """How many lines of a batch there are."""
        rows = await self._database.rows(_LINE_COUNT, *key)
        count: int = rows[0][0]
        return count

    async def batch_lines(self, key: BatchKey, after: str, limit: int) -> Sequence[BatchLine]:
        """The lines of a batch by trace, from the first after ``after``."""
        rows = await self._database.rows(_LINES, *key, after, limit)
        return [_read_line(key, row) for row in rows]

    async def differences_of_batch(
        self, key: BatchKey, after: BatchDifference | None, limit: int
    ) -> Sequence[BatchDifference]:
        """The differences of a batch's latest settlement by trace and kind, in pages."""
        first = ("", "") if after is None else (after.trace, after.kind.value)
        rows = await self._database.rows(_DIFFERENCES_OF, *key, *first, limit)
        return [_read_difference(row) for row in rows]

    async def batch_payments(self, key: BatchKey, after: str, limit: int) -> Sequence[BatchEntry]:
        """The payments that a batch's messages made, by trace, whatever their status."""
        bounds = _bounds(_prefix(key), after)
        rows = await self._database.rows(_PAYMENTS, key.merchant_no, *bounds, limit)
        return [_read_entry(row) for row in rows]

    async def batch_refunds(self, key: BatchKey, after: str, limit: int) -> Sequence[BatchEntry]:
        """The refunds (voids too) that a batch's messages made, by trace."""
        bounds = _bounds(pos_refund_number(_prefix(key)), after)
        rows = await self._database.rows(_REFUNDS, key.merchant_no, *bounds, limit)
        return [_read_entry(row) for row in rows]


def _prefix(key: BatchKey) -> str:
    return f"{key.terminal_id}-{key.batch_no:06d}-"


def _bounds(prefix: str, after: str) -> tuple[str, str, int, str]:
    """Between which numbers those of a batch are, and how they begin.

    Numbers that begin alike differ in digits only, which every collation sorts alike; what
    one that knows no case puts between them does not begin alike.
    """
    return prefix + (after or _FIRST_TRACE), prefix + _LAST_TRACE, len(prefix), prefix


def _batch_row(batch: Batch) -> tuple[Any, ...]:
    """A batch as a row of ``_MOVING``."""
    totals = (
        half for side in (batch.terminal, batch.host) for half in (side.domestic, side.foreign)
    )
    return (
        batch.version,
        batch.state.value,
        batch.settlement_no,
        batch.settled_at_ms,
        *(number for half in totals for number in _sums_row(half)),
        batch.upload_expected,
        batch.uploaded,
        batch.closed_at_ms,
    )


def _read_batch(row: Row) -> Batch:
    """A row of ``_KEY`` and ``_MOVING``."""
    merchant_no, terminal_id, batch_no, version, state, settlement_no, settled_at_ms, *rest = row
    totals, (expected, uploaded, closed_at_ms) = rest[: len(_TOTALS)], rest[len(_TOTALS) :]
    halves = [
        Sums(**dict(zip(_SUMS, totals[start : start + len(_SUMS)], strict=True)))
        for start in range(0, len(_TOTALS), len(_SUMS))
    ]
    return Batch(
        key=BatchKey(merchant_no, terminal_id, batch_no),
        version=version,
        state=BatchState(state),
        settlement_no=settlement_no,
        settled_at_ms=settled_at_ms,
        terminal=BatchTotals(halves[0], halves[1]),
        host=BatchTotals(halves[2], halves[3]),
        upload_expected=expected,
        uploaded=uploaded,
        closed_at_ms=closed_at_ms,
    )


def _read_line(key: BatchKey, row: Row) -> BatchLine:
    """A row of ``_LINE_COLUMNS``; SQLite keeps booleans as 0 and 1."""
    trace, management, amount_fen, is_foreign, has_failed, pan_token, at_ms = row
    return BatchLine(
        key=key,
        trace=trace,
        management=management,
        amount_fen=amount_fen,
        is_foreign=bool(is_foreign),
        has_failed=bool(has_failed),
        pan_token=pan_token,
        at_ms=at_ms,
    )


def _difference_row(found: BatchDifference) -> tuple[Any, ...]:
    """A difference as a row of ``_KEY`` and ``_DIFFERENCE_COLUMNS``."""
    return (
        *found.key,
        found.settlement_no,
        found.trace,
        found.kind.value,
        found.terminal_fen,
        found.host_fen,
        found.payment_id,
        found.at_ms,
    )


def _read_difference(row: Row) -> BatchDifference:
    """A row of ``_KEY`` and ``_DIFFERENCE_COLUMNS``."""
    *key, settlement_no, trace, kind, terminal_fen, host_fen, payment_id, at_ms = row
    return BatchDifference(
        key=BatchKey(*key),
        settlement_no=settlement_no,
        trace=trace,
        kind=DifferenceKind(kind),
        terminal_fen=terminal_fen,
        host_fen=host_fen,
        payment_id=payment_id,
        at_ms=at_ms,
    )


def _read_entry(row: Row) -> BatchEntry:
    """A row of a payment or a refund; its trace is what follows the batch in its key."""
    name, payment_id, refund_id, status, amount_fen, captured, returned, *more = row
    method, token, kept, organisation = more
    adds_to = ""
    if method in ADDITION_METHODS and not refund_id:
        adds_to = str(orjson.loads(kept)["adds_to"])
    return BatchEntry(
        trace=name[-_TRACE_DIGITS:],
        payment_id=payment_id,
        refund_id=refund_id,
        status=RefundStatus(status) if refund_id else Status(status),
        amount_fen=amount_fen,
        captured_fen=captured,
        returned_fen=returned,
        pan_token=token if method.startswith(_CARD_PREFIX) else b"",
        adds_to=adds_to,
        is_foreign=organisation not in DOMESTIC_ORGANISATIONS,
    )
