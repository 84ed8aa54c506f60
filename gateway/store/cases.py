"""What waits for a person, and what persons decided.

Rules: a case is opened by the change that parks its subject and closed by the one that
frees it. A decision is written in the commit of what it does: the case must be open and
its subject where the person saw it, or nothing is written. The subject comes first, for
that is the order in which every other change locks the two. Decisions are append-only.
"""

from collections.abc import Sequence
from typing import Final

from gateway.store.checkouts import checkout_guards, checkout_rest
from gateway.store.database import Database, Step
from gateway.store.records import Advance, Case, CaseDecision, RefundAdvance
from gateway.store.refunds import refund_guards, refund_rest
from gateway.store.rows import CASE_COLUMNS, Row
from gateway.store.statements import CLOSE_CASE, insert
from gateway.store.steps import advance_guard, advance_rest

_DECISION_COLUMNS: Final = ("case_id", "number", "decision", "person", "why", "at_ms")
_CASE: Final = f"SELECT {', '.join(CASE_COLUMNS)} FROM cases "
_OPEN: Final = _CASE + "WHERE is_open AND case_id > ? ORDER BY case_id LIMIT ?"
_CLOSED: Final = _CASE + "WHERE NOT is_open AND case_id > ? ORDER BY case_id LIMIT ?"
_BY_ID: Final = _CASE + "WHERE case_id = ?"
_DECISIONS: Final = (
    f"SELECT {', '.join(_DECISION_COLUMNS)} FROM case_decisions WHERE case_id = ? ORDER BY number"
)
_DECIDE: Final = (
    insert("case_decisions", _DECISION_COLUMNS) + " ON CONFLICT (case_id, number) DO NOTHING"
)
_CLOSE: Final = CLOSE_CASE + " AND subject = ?"


class Cases:
    """The store's ``CaseStore`` half."""

    _database: Database

    async def cases(self, *, is_open: bool, after: str, limit: int) -> Sequence[Case]:
        """Cases in order of their id."""
        return [
            _read_case(row)
            for row in await self._database.rows(_OPEN if is_open else _CLOSED, after, limit)
        ]

    async def case(self, case_id: str) -> tuple[Case, Sequence[CaseDecision]] | None:
        """A case and what was decided about it, oldest first."""
        rows = await self._database.rows(_BY_ID, case_id)
        if not rows:
            return None
        decisions = await self._database.rows(_DECISIONS, case_id)
        return _read_case(rows[0]), [_read_decision(row) for row in decisions]

    async def decide_payment(self, decision: CaseDecision, change: Advance) -> bool:
        """Commit a decision, close the case and move the payment, or nothing at all."""
        guards = [advance_guard(change), *_guards(decision, change.payment_id)]
        rest = advance_rest(change)
        if change.moves is not None:
            guards += checkout_guards(change.moves)
            rest += checkout_rest(change.moves)
        steps = guards + rest
        return await self._database.write(steps, guards=len(guards)) is None

    async def decide_refund(self, decision: CaseDecision, change: RefundAdvance) -> bool:
        """Commit a decision, close the case and move the refund, or nothing at all."""
        guards = refund_guards(change) + _guards(decision, change.refund.id)
        steps = guards + refund_rest(change)
        return await self._database.write(steps, guards=len(guards)) is None


def _guards(decision: CaseDecision, subject: str) -> list[Step]:
    """The decision is the next one of its case, which is open and of ``subject``."""
    row = (
        decision.case_id,
        decision.number,
        decision.decision,
        decision.by,
        decision.why,
        decision.at_ms,
    )
    return [(_DECIDE, row), (_CLOSE, (decision.case_id, subject))]


def _read_case(row: Row) -> Case:
    """A row of ``CASE_COLUMNS``; SQLite keeps booleans as 0 and 1."""
    case_id, subject, merchant_no, reason, opened_at_ms, is_open = row
    return Case(
        case_id=case_id,
        subject=subject,
        merchant_no=merchant_no,
        reason=reason,
        opened_at_ms=opened_at_ms,
        is_open=bool(is_open),
    )


def _read_decision(row: Row) -> CaseDecision:
    """A row of ``_DECISION_COLUMNS``."""
    case_id, number, decision, person, why, at_ms = row
    return CaseDecision(
        case_id=case_id, number=number, decision=decision, by=person, why=why, at_ms=at_ms
    )
