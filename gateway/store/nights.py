"""Nights and their differences: written, moved by compare-and-set, read.

Rules: a night is *matched* in the last write of its match; what comes before it is
invisible to readers who ask for matched nights, and is replaced by the next try. Whoever
is late (the version moved) writes nothing that counts.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import chain, islice
from typing import Any, Final

from channels.bills import BillKind
from gateway.store.database import Database, Step
from gateway.store.records import JobKind
from gateway.store.rows import JOB_COLUMNS, NO_LANE, Row, job_id
from gateway.store.statements import assignments, insert
from reconciliation.differences import Difference, DifferenceKind, Repair
from reconciliation.entries import Key, Pool, Side, Theirs, Waiting
from reconciliation.night_records import (
    Deed,
    DifferenceDecision,
    DifferenceState,
    Night,
    NightState,
    StoredDifference,
)

NIGHTS: Final = "all"
"""The subject of the one job of the nights."""
_OPEN_JOB: Final = insert("jobs", JOB_COLUMNS) + " ON CONFLICT (id) DO NOTHING"
_ROWS_AT_ONCE: Final = 2000
_THEIRS: Final = "theirs"
_MOVING: Final = ("version", "state", "bill_sha256", "error", "totals_json", "updated_at_ms")
_NIGHT_COLUMNS: Final = ("account_id", "day", *_MOVING)
_NIGHT: Final = f"SELECT {', '.join(_NIGHT_COLUMNS)} FROM nights "
_FIRST: Final = insert("nights", _NIGHT_COLUMNS) + " ON CONFLICT (account_id, day) DO NOTHING"
_NEXT: Final = (
    f"UPDATE nights SET {assignments(_MOVING)} WHERE account_id = ? AND day = ? AND version = ?"
)
_BY_KEY: Final = _NIGHT + "WHERE account_id = ? AND day = ?"
_BETWEEN: Final = _NIGHT + "WHERE day BETWEEN ? AND ? ORDER BY day, account_id"
_FIRST_MATCHED: Final = (
    "SELECT min(day) FROM nights WHERE account_id = ? AND state NOT IN ('waiting', 'refused')"
)

_WAITING_COLUMNS: Final = (
    "account_id", "day", "side", "kind", "order_no", "refund_no", "first_day", "line",
    "amount_fen", "fee_mfen", "currency", "trade_no",
)  # fmt: skip
_WAITING: Final = insert("night_waiting", _WAITING_COLUMNS)
_FORGET_WAITING: Final = "DELETE FROM night_waiting WHERE account_id = ? AND day = ?"
_PLACE: Final = "side, kind, order_no, refund_no, first_day, line"
_POOL: Final = (
    f"SELECT {', '.join(_WAITING_COLUMNS[2:])} FROM night_waiting WHERE account_id = ? AND day = ? "
    f"AND ({_PLACE}) > (?, ?, ?, ?, ?, ?) ORDER BY {_PLACE} LIMIT ?"
)
_BEFORE_ALL: Final = ("", "", "", "", "", 0)

_DIFFERENCE_COLUMNS: Final = (
    "id", "account_id", "channel", "day", "kind", "order_no", "refund_no", "number", "ours_fen",
    "theirs_fen", "currency", "subject", "trade_no", "opened_at_ms", "version", "state", "repair",
)  # fmt: skip
_DIFFERENCE: Final = (
    insert("night_differences", _DIFFERENCE_COLUMNS) + " ON CONFLICT "
    "(account_id, day, kind, order_no, refund_no, number) DO NOTHING"
)
"""What somebody has decided about stays as it is when its night is matched again."""
_FORGET_DIFFERENCES: Final = (
    "DELETE FROM night_differences WHERE account_id = ? AND day = ? AND version = 1"
)
_SELECT: Final = f"SELECT {', '.join(_DIFFERENCE_COLUMNS)} FROM night_differences "
_ONE: Final = _SELECT + "WHERE id = ?"
_OF_NIGHT: Final = _SELECT + "WHERE account_id = ? AND day = ? AND id > ? ORDER BY id LIMIT ?"
_OF_STATE: Final = _SELECT + "WHERE state = ? AND id > ? ORDER BY id LIMIT ?"
_MOVE_DIFFERENCE: Final = (
    "UPDATE night_differences SET version = ?, state = ?, repair = ?, ours_fen = ?, "
    "theirs_fen = ?, subject = ?, trade_no = ? WHERE id = ? AND version = ?"
)
_DECISION_COLUMNS: Final = ("difference_id", "number", "deed", "repair", "person", "why", "at_ms")
_DECISION: Final = insert("difference_decisions", _DECISION_COLUMNS)
_DECISIONS: Final = (
    f"SELECT {', '.join(_DECISION_COLUMNS)} FROM difference_decisions "
    "WHERE difference_id = ? ORDER BY number"
)


class Nights:
    """The nights and differences of ``NightStore``."""

    _database: Database

    async def open_nights(self, at_ms: int) -> None:
        """See that the one job of the nights exists; where it does, it stays as it is."""
        job = (
            job_id(JobKind.NIGHT, NIGHTS),
            JobKind.NIGHT.value,
            NO_LANE,
            NIGHTS,
            at_ms,
            0,
            0,
            False,
        )
        await self._database.write([(_OPEN_JOB, job)], guards=0)

    async def night(self, account_id: str, day: date) -> Night | None:
        """How far an account's day is."""
        rows = await self._database.rows(_BY_KEY, account_id, day.isoformat())
        return _read_night(rows[0]) if rows else None

    async def nights(self, first: date, last: date) -> Sequence[Night]:
        """Every account's nights from ``first`` to ``last``, by day and account."""
        rows = await self._database.rows(_BETWEEN, first.isoformat(), last.isoformat())
        return [_read_night(row) for row in rows]

    async def first_matched_day(self, account_id: str) -> date | None:
        """The first day that the account was ever matched on."""
        rows = await self._database.rows(_FIRST_MATCHED, account_id)
        text = rows[0][0] if rows else None
        return None if text is None else date.fromisoformat(text)

    async def save_night(self, night: Night) -> bool:
        """Insert version 1 or move version n-1 to n; ``False`` when it moved meanwhile."""
        return await self._database.write([_night_guard(night)], guards=1) is None

    async def save_match(
        self, night: Night, differences: Iterable[StoredDifference], pool: Iterable[Pool]
    ) -> bool:
        """Move a night to matched with all that it found; ``False`` when it moved meanwhile."""
        key = (night.account_id, night.day.isoformat())
        forget: list[Step] = [(_FORGET_WAITING, key), (_FORGET_DIFFERENCES, key)]
        await self._database.write(forget, guards=0)
        steps: Iterator[Step] = chain(
            ((_DIFFERENCE, _difference_row(one)) for one in differences),
            ((_WAITING, row) for page in pool for row in _pool_rows(night, page)),
        )
        while part := list(islice(steps, _ROWS_AT_ONCE)):
            await self._database.write(part, guards=0)
        return await self.save_night(night)

    async def pool_page(
        self, account_id: str, day: date, after: Waiting | Theirs | None, limit: int
    ) -> Sequence[Waiting | Theirs]:
        """What the night of ``day`` left for the next one, in pages."""
        place = _BEFORE_ALL if after is None else _place(after)
        rows = await self._database.rows(_POOL, account_id, day.isoformat(), *place, limit)
        return [_read_theirs(row) if row[0] == _THEIRS else _read_waiting(row) for row in rows]

    async def difference(
        self, difference_id: str
    ) -> tuple[StoredDifference, Sequence[DifferenceDecision]] | None:
        """A difference and every decision about it, oldest first."""
        rows = await self._database.rows(_ONE, difference_id)
        if not rows:
            return None
        decisions = await self._database.rows(_DECISIONS, difference_id)
        return _read_difference(rows[0]), [_read_decision(row) for row in decisions]

    async def night_differences(
        self, account_id: str, day: date, after: str, limit: int
    ) -> Sequence[StoredDifference]:
        """A night's differences by id, in pages."""
        rows = await self._database.rows(_OF_NIGHT, account_id, day.isoformat(), after, limit)
        return [_read_difference(row) for row in rows]

    async def differences(
        self, state: DifferenceState, after: str, limit: int
    ) -> Sequence[StoredDifference]:
        """Differences of every night in one state by id, in pages."""
        rows = await self._database.rows(_OF_STATE, state.value, after, limit)
        return [_read_difference(row) for row in rows]

    async def decide_difference(
        self, decision: DifferenceDecision, difference: StoredDifference
    ) -> bool:
        """Record a decision and move its difference; ``False`` when it moved meanwhile."""
        now = difference
        figures = (now.found.ours_fen, now.found.theirs_fen, now.found.subject, now.found.trade_no)
        state = (now.version, now.state.value, now.repair.value)
        move = (*state, *figures, now.id, now.version - 1)
        row = (
            decision.difference_id,
            decision.number,
            decision.deed.value,
            decision.repair.value,
            decision.by,
            decision.why,
            decision.at_ms,
        )
        steps: list[Step] = [(_MOVE_DIFFERENCE, move), (_DECISION, row)]
        return await self._database.write(steps, guards=1) is None


def _night_guard(night: Night) -> Step:
    moving = (
        night.version,
        night.state.value,
        night.bill_sha256,
        night.error,
        night.totals_json,
        night.updated_at_ms,
    )
    key = (night.account_id, night.day.isoformat())
    if night.version == 1:
        return _FIRST, (*key, *moving)
    return _NEXT, (*moving, *key, night.version - 1)


def _read_night(row: Row) -> Night:
    account_id, day, version, state, bill_sha256, error, totals_json, updated_at_ms = row
    return Night(
        account_id=account_id,
        day=date.fromisoformat(day),
        version=version,
        state=NightState(state),
        bill_sha256=bill_sha256,
        error=error,
        totals_json=totals_json,
        updated_at_ms=updated_at_ms,
    )


def _pool_rows(night: Night, pool: Pool) -> Iterator[tuple[Any, ...]]:
    head = (night.account_id, night.day.isoformat())
    for ours in pool.ours:
        first_day = ours.first_day.isoformat()
        key = (ours.key.kind.value, ours.key.order_no, ours.key.refund_no)
        yield (*head, ours.side.value, *key, first_day, 0, 0, 0, "", "")
    for line in pool.theirs:
        key = (line.key.kind.value, line.key.order_no, line.key.refund_no)
        rest = (line.line, line.amount_fen, line.fee_mfen, line.currency, line.trade_no)
        yield (*head, _THEIRS, *key, line.day.isoformat(), *rest)


def _place(one: Waiting | Theirs) -> tuple[str, str, str, str, str, int]:
    """Where it stands among all of its night."""
    kind, order_no, refund_no = one.key.kind.value, one.key.order_no, one.key.refund_no
    if isinstance(one, Waiting):
        return one.side.value, kind, order_no, refund_no, one.first_day.isoformat(), 0
    return _THEIRS, kind, order_no, refund_no, one.day.isoformat(), one.line


def _read_waiting(row: Row) -> Waiting:
    side, kind, order_no, refund_no, first_day, *_ = row
    return Waiting(
        side=Side(side),
        key=Key(BillKind(kind), order_no, refund_no),
        first_day=date.fromisoformat(first_day),
    )


def _read_theirs(row: Row) -> Theirs:
    _, kind, order_no, refund_no, day, line, amount_fen, fee_mfen, currency, trade_no = row
    return Theirs(
        key=Key(BillKind(kind), order_no, refund_no),
        amount_fen=amount_fen,
        fee_mfen=fee_mfen,
        currency=currency,
        day=date.fromisoformat(day),
        line=line,
        trade_no=trade_no,
    )


def _difference_row(one: StoredDifference) -> tuple[Any, ...]:
    found = one.found
    return (
        one.id,
        one.account_id,
        one.channel,
        found.day.isoformat(),
        found.kind.value,
        found.order_no,
        found.refund_no,
        found.number,
        found.ours_fen,
        found.theirs_fen,
        one.currency,
        found.subject,
        found.trade_no,
        one.opened_at_ms,
        one.version,
        one.state.value,
        one.repair.value,
    )


def _read_difference(row: Row) -> StoredDifference:
    (
        identity, account_id, channel, day, kind, order_no, refund_no, number, ours_fen, theirs_fen,
        currency, subject, trade_no, opened_at_ms, version, state, repair,
    ) = row  # fmt: skip
    return StoredDifference(
        id=identity,
        account_id=account_id,
        channel=channel,
        currency=currency,
        found=Difference(
            kind=DifferenceKind(kind),
            day=date.fromisoformat(day),
            order_no=order_no,
            refund_no=refund_no,
            number=number,
            ours_fen=ours_fen,
            theirs_fen=theirs_fen,
            subject=subject,
            trade_no=trade_no,
        ),
        opened_at_ms=opened_at_ms,
        version=version,
        state=DifferenceState(state),
        repair=Repair(repair),
    )


def _read_decision(row: Row) -> DifferenceDecision:
    difference_id, number, deed, repair, person, why, at_ms = row
    return DifferenceDecision(
        difference_id=difference_id,
        number=number,
        deed=Deed(deed),
        repair=Repair(repair),
        by=person,
        why=why,
        at_ms=at_ms,
    )
