"""Refunds: written, moved and read; each change one transaction behind its guards.

Rules: a refund is guarded by its number (a claim) and its version, and every change that
touches its payment also by the payment's version: both win, or nothing is written. The
refund comes first, so that a repeat of a number is told from a payment that moved.
Rows are locked in one order everywhere: refund, payment, case, job. The money of a checkout is its
attempt's; the checkout's own payment, which its merchant sees and follows, is moved with it.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

from domain.checkout import shown_id
from domain.payment import Deed, Standing
from domain.refund import (
    Refund,
    RefundEvent,
    RefundOrder,
    RefundStanding,
    RefundStatus,
)
from gateway.store import statements as sql
from gateway.store.database import Database, Step
from gateway.store.records import JobKind, RefundAdvance, RefundClaim, RefundClaimed
from gateway.store.rows import Row, case_id, job_id, read_decline, standing_row
from gateway.store.steps import open_case, open_job, post, tell, tell_tills

_ORDER_COLUMNS: Final = (
    "id",
    "payment_id",
    "merchant_no",
    "merchant_refund_no",
    "fingerprint",
    "amount_fen",
    "currency",
    "reason",
    "channel",
    "account_id",
    "channel_refund_no",
    "created_at_ms",
)
_STANDING_COLUMNS: Final = (
    "status",
    "version",
    "done_at_ms",
    "decline_reason",
    "decline_channel_code",
    "parked_reason",
)
_COLUMNS: Final = _ORDER_COLUMNS + _STANDING_COLUMNS
_CLAIM: Final = (
    sql.insert("refunds", _COLUMNS) + " ON CONFLICT (merchant_no, merchant_refund_no) DO NOTHING"
)
_MOVE: Final = (
    f"UPDATE refunds SET {sql.assignments(_STANDING_COLUMNS)} "
    "WHERE id = ? AND merchant_no = ? AND version = ?"
)
_EVENT: Final = sql.insert(
    "refund_events", ("refund_id", "sequence", "event", "previous", "status", "at_ms")
)
_REFUND: Final = f"SELECT {', '.join(_COLUMNS)} FROM refunds "
_BY_ID: Final = _REFUND + "WHERE id = ?"
_BY_NUMBER: Final = _REFUND + "WHERE merchant_no = ? AND merchant_refund_no = ?"
_BY_CHANNEL_NUMBER: Final = _REFUND + "WHERE channel_refund_no = ? AND account_id = ?"
_OF_PAYMENT: Final = _REFUND + "WHERE payment_id = ? ORDER BY created_at_ms, id"

_MOVE_SHOWN: Final = "UPDATE payments SET version = version + 1 WHERE id = ?"
_SHOWN_EVENT: Final = (
    "INSERT INTO payment_events (payment_id, sequence, event, previous, status, at_ms) "
    "SELECT id, version, CAST(? AS VARCHAR(32)), status, status, CAST(? AS BIGINT) "
    "FROM payments WHERE id = ?"
)
_LOST: Final = (RefundClaimed.EXISTS, RefundClaimed.MOVED)
"""What a claim is told whose guard of that place lost."""

_order_row = attrgetter(*_ORDER_COLUMNS)


class Refunds:
    """The store's ``RefundStore`` half."""

    _database: Database

    async def claim_refund(self, change: RefundClaim) -> RefundClaimed:
        """Commit a refund and its reservation, whole or not at all.

        Raises:
            domain.errors.Conflict: its id or its channel's number was used before.
        """
        lost = await self._database.write(_claim_steps(change), guards=2)
        return RefundClaimed.WON if lost is None else _LOST[lost]

    async def advance_refund(self, change: RefundAdvance) -> bool:
        """Commit a refund's move; ``False`` when it or its payment moved meanwhile."""
        guards = refund_guards(change)
        steps = guards + refund_rest(change)
        return await self._database.write(steps, guards=len(guards)) is None

    async def refund(self, refund_id: str) -> Refund | None:
        """A refund by our id."""
        rows = await self._database.rows(_BY_ID, refund_id)
        return _read_refund(rows[0]) if rows else None

    async def refund_by_number(self, merchant_no: str, merchant_refund_no: str) -> Refund | None:
        """A refund by its idempotency key."""
        rows = await self._database.rows(_BY_NUMBER, merchant_no, merchant_refund_no)
        return _read_refund(rows[0]) if rows else None

    async def refund_by_channel_number(
        self, account_id: str, channel_refund_no: str
    ) -> Refund | None:
        """A refund by the number that its channel knows it by."""
        rows = await self._database.rows(_BY_CHANNEL_NUMBER, channel_refund_no, account_id)
        return _read_refund(rows[0]) if rows else None

    async def refunds(self, payment_id: str) -> Sequence[Refund]:
        """A payment's refunds, oldest first."""
        return [_read_refund(row) for row in await self._database.rows(_OF_PAYMENT, payment_id)]


def _claim_steps(change: RefundClaim) -> list[Step]:
    """Two guards (the refund's number, the payment's version), and what hangs on them."""
    order, standing = change.refund.order, change.refund.standing
    at_ms = order.created_at_ms
    told = (
        order.id,
        standing.version,
        RefundEvent.SUBMIT.value,
        RefundStatus.CREATED.value,
        standing.status.value,
        at_ms,
    )
    payment = change.payment.standing
    return [
        (_CLAIM, _order_row(order) + _standing_row(standing)),
        _payment_guard(order, payment),
        (_EVENT, told),
        _payment_event(order, payment, Deed.RESERVE, at_ms),
        *(
            ()
            if change.due_at_ms is None
            else (open_job(JobKind.REFUND, order.account_id, order.id, change.due_at_ms),)
        ),
        *_move_shown(order, at_ms),
        tell_tills(shown_id(order.payment_id), payment.status),
    ]


def refund_guards(change: RefundAdvance) -> list[Step]:
    """The updates that decide whether a refund's move wins."""
    order, standing = change.refund, change.standing
    key = (order.id, order.merchant_no, standing.version - 1)
    guards: list[Step] = [(_MOVE, _standing_row(standing) + key)]
    if change.payment is not None:
        guards.append(_payment_guard(order, change.payment))
    return guards


def refund_rest(change: RefundAdvance) -> list[Step]:
    """What hangs on a refund's move."""
    order, standing, at_ms = change.refund, change.standing, change.at_ms
    told = (
        order.id,
        standing.version,
        change.event.value,
        change.previous.value,
        standing.status.value,
        at_ms,
    )
    steps: list[Step] = [(_EVENT, told)]
    if change.due_at_ms is None:
        steps.append((sql.END_JOB, (job_id(JobKind.REFUND, order.id),)))
    else:
        steps.append(open_job(JobKind.REFUND, order.account_id, order.id, change.due_at_ms))
    if standing.parked_reason:
        steps.append(open_case(order.id, order.merchant_no, standing.parked_reason, at_ms))
    else:
        steps.append((sql.CLOSE_CASE, (case_id(order.id),)))
    if change.payment is not None:
        returned = standing.status is RefundStatus.SUCCEEDED
        deed = Deed.REFUND_SUCCEEDED if returned else Deed.REFUND_FAILED
        steps.append(_payment_event(order, change.payment, deed, at_ms))
        steps += post(order.payment_id, change.payment.version, change.postings, at_ms)
    elif change.postings:
        raise ValueError("a refund is posted with the payment that it moves, or not at all")
    if change.notice is not None:
        steps += tell(change.notice)
    if change.payment is not None:
        steps += _move_shown(order, at_ms)
        steps.append(tell_tills(shown_id(order.payment_id), change.payment.status))
    return steps


def _payment_guard(order: RefundOrder, standing: Standing) -> Step:
    key = (order.payment_id, order.merchant_no, standing.version - 1)
    return sql.MOVE_PAYMENT, standing_row(standing) + key


def _payment_event(order: RefundOrder, standing: Standing, deed: Deed, at_ms: int) -> Step:
    """A line of the payment's history; its status stays."""
    status = standing.status.value
    return sql.EVENT, (order.payment_id, standing.version, deed.value, status, status, at_ms)


def _move_shown(order: RefundOrder, at_ms: int) -> list[Step]:
    """Who follows an attempt's checkout hears of what the attempt's refund has done."""
    shown = shown_id(order.payment_id)
    if shown == order.payment_id:
        return []
    return [(_MOVE_SHOWN, (shown,)), (_SHOWN_EVENT, (Deed.ATTEMPT_REFUND.value, at_ms, shown))]


def _standing_row(standing: RefundStanding) -> tuple[Any, ...]:
    """A standing as a row of ``_STANDING_COLUMNS``."""
    decline = standing.decline
    return (
        standing.status.value,
        standing.version,
        standing.done_at_ms,
        "" if decline is None else decline.reason.value,
        "" if decline is None else decline.channel_code,
        standing.parked_reason,
    )


def _read_refund(row: Row) -> Refund:
    """A row of ``_COLUMNS`` as a refund; ``ValueError`` for an unknown enum."""
    order = RefundOrder(**dict(zip(_ORDER_COLUMNS, row, strict=False)))
    status, version, done_at_ms, reason, code, parked = row[len(_ORDER_COLUMNS) :]
    standing = RefundStanding(
        status=RefundStatus(status),
        version=version,
        done_at_ms=done_at_ms,
        decline=read_decline(reason, code),
        parked_reason=parked,
    )
    return Refund(order, standing)
