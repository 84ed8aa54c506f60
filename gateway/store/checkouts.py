"""Checkouts: made with their payment, moved with their attempts, or alone.

Rules: cold changes, one transaction each behind their guards, as what takes a hold; no other
payment pays for them. (What no limit concerns is hot on PostgreSQL:
``postgres_checkouts.py``.) Rows are locked in one order everywhere, and whichever moved
meanwhile refuses the whole: a claim's checkout, then its new attempt; an advance's attempt,
then the checkout's payment, then the checkout.
"""

from typing import Final

from domain.checkout import ATTEMPT_MARK, Checkout
from domain.payment import Payment
from gateway.store import statements as sql
from gateway.store.database import Database, Step
from gateway.store.limits import is_too_much, spend_steps
from gateway.store.records import Advance, CheckoutMove, Claim, JobKind
from gateway.store.rows import (
    CHECKOUT_COLUMNS,
    CHECKOUT_MOVING,
    PAYMENT_COLUMNS,
    checkout_moving_row,
    checkout_row,
    job_id,
    read_checkout,
    read_payment,
)
from gateway.store.steps import advance_guard, advance_rest, claim_guard, claim_rest, open_job

CHECKOUT_LANE: Final = "checkouts"
"""The lane of every checkout's job: whoever works there never waits for a channel."""
_INSERT: Final = sql.insert("checkouts", CHECKOUT_COLUMNS) + " ON CONFLICT (id) DO NOTHING"
_MOVE: Final = (
    f"UPDATE checkouts SET {sql.assignments(CHECKOUT_MOVING)} "
    "WHERE id = ? AND merchant_no = ? AND version = ?"
)
_BY_ID: Final = f"SELECT {', '.join(CHECKOUT_COLUMNS)} FROM checkouts WHERE id = ?"
_WITH_PAYMENTS: Final = (
    f"SELECT {', '.join(f'c.{column}' for column in CHECKOUT_COLUMNS)}, "
    f"{', '.join(f'b.{column}' for column in PAYMENT_COLUMNS)}, "
    f"{', '.join(f'a.{column}' for column in PAYMENT_COLUMNS)} "
    "FROM checkouts c JOIN payments b ON b.id = c.id "
    f"LEFT JOIN payments a ON a.id = c.id || '{ATTEMPT_MARK}' || c.attempts WHERE c.id = ?"
)
_FIRST_OF_ATTEMPT: Final = len(CHECKOUT_COLUMNS) + len(PAYMENT_COLUMNS)


class Checkouts:
    """The store's ``CheckoutStore`` half."""

    _database: Database

    async def checkout(self, checkout_id: str) -> Checkout | None:
        """A checkout by the id of its payment."""
        rows = await self._database.rows(_BY_ID, checkout_id)
        return read_checkout(rows[0]) if rows else None

    async def checkout_with_payments(
        self, checkout_id: str
    ) -> tuple[Checkout, Payment, Payment | None] | None:
        """A checkout, its payment and its current attempt, as they stood at one moment."""
        rows = await self._database.rows(_WITH_PAYMENTS, checkout_id)
        if not rows:
            return None
        row = tuple(rows[0])
        attempt = row[_FIRST_OF_ATTEMPT:]
        return (
            read_checkout(row[: len(CHECKOUT_COLUMNS)]),
            read_payment(row[len(CHECKOUT_COLUMNS) : _FIRST_OF_ATTEMPT]),
            None if attempt[0] is None else read_payment(attempt),
        )

    async def move_checkout(self, move: CheckoutMove) -> bool:
        """Commit a checkout's move; ``False`` when it or its payment moved meanwhile."""
        guards = checkout_guards(move)
        steps = guards + checkout_rest(move)
        return await self._database.write(steps, guards=len(guards)) is None

    async def _claim_moving(self, change: Claim, move: CheckoutMove) -> bool:
        """A claim that makes a checkout, or begins an attempt, which counts for a day's sum."""
        if is_too_much(change):
            return False
        adds, counts = spend_steps(change)
        guards = [*checkout_guards(move), claim_guard(change), *adds]
        steps = guards + counts + checkout_rest(move) + claim_rest(change)
        return await self._database.write(steps, guards=len(guards)) is None

    async def _advance_moving(self, change: Advance, move: CheckoutMove) -> bool:
        """An attempt's advance that its checkout follows."""
        guards = [advance_guard(change), *checkout_guards(move)]
        steps = guards + advance_rest(change) + checkout_rest(move)
        return await self._database.write(steps, guards=len(guards)) is None


def checkout_guards(move: CheckoutMove) -> list[Step]:
    """What decides whether a checkout's move wins."""
    one = move.checkout
    if one.version == 1:
        return [(_INSERT, checkout_row(one))]
    key = (one.id, one.merchant_no, one.version - 1)
    moved: Step = (_MOVE, checkout_moving_row(one) + key)
    return [moved] if move.base is None else [advance_guard(move.base), moved]


def checkout_rest(move: CheckoutMove) -> list[Step]:
    """What hangs on a checkout's move; what tills are told of its payment comes last."""
    checkout_id = move.checkout.id
    job: Step = (sql.END_JOB, (job_id(JobKind.CHECKOUT, checkout_id),))
    if move.due_at_ms is not None:
        job = open_job(JobKind.CHECKOUT, CHECKOUT_LANE, checkout_id, move.due_at_ms)
    return [job, *(() if move.base is None else advance_rest(move.base))]
