"""A payment's change as the statements that write it, one row each.

Rules: first the guard, then what hangs on it. SQLite's hot path writes these in bulk;
the cold changes of both engines run them in one transaction (``Database.write``).
"""

from collections.abc import Sequence

from domain.ledger import Posting
from domain.payment import Status
from gateway.store import statements as sql
from gateway.store.database import Step
from gateway.store.records import Advance, Claim, JobKind, Notice
from gateway.store.rows import (
    FIRST_ATTEMPT,
    MAY_BE_PARKED,
    NEW_NOTICE,
    NO_LANE,
    case_id,
    job_id,
    notice_row,
    order_row,
    posting_row,
    reply_row,
    settle_job,
    standing_row,
)


def claim_guard(claim: Claim) -> Step:
    """The insert that decides whether a claim wins."""
    return sql.CLAIM_PAYMENT, order_row(claim.order) + standing_row(claim.standing)


def claim_rest(claim: Claim) -> list[Step]:
    """What hangs on a claim."""
    order, standing = claim.order, claim.standing
    status, at_ms = standing.status.value, order.created_at_ms
    event = (order.id, standing.version, claim.event.value, Status.CREATED.value, status, at_ms)
    steps: list[Step] = [(sql.EVENT, event)]
    if order.channel_order_no:
        attempt = (
            order.id,
            FIRST_ATTEMPT,
            order.channel,
            order.account_id,
            order.channel_order_no,
        )
        steps.append((sql.ATTEMPT, attempt))
    if claim.due_at_ms is not None:
        steps.append(open_job(JobKind.SETTLE, order.account_id, order.id, claim.due_at_ms))
    if claim.reply is not None:
        steps.append((sql.REPLY, reply_row(claim.reply)))
    steps.append(tell_tills(order.id, Status.CREATED))
    return steps


def advance_guard(change: Advance) -> Step:
    """The update that decides whether an advance wins."""
    standing = change.standing
    key = (change.payment_id, change.merchant_no, standing.version - 1)
    return sql.MOVE_PAYMENT, standing_row(standing) + key


def advance_rest(change: Advance) -> list[Step]:
    """What hangs on an advance."""
    payment_id, standing, at_ms = change.payment_id, change.standing, change.at_ms
    event = (
        payment_id,
        standing.version,
        change.event.value,
        change.previous.value,
        standing.status.value,
        at_ms,
    )
    steps: list[Step] = [(sql.EVENT, event)]
    if change.due_at_ms is None:
        steps.append((sql.END_JOB, (settle_job(payment_id),)))
    else:
        steps.append(open_job(JobKind.SETTLE, change.account_id, payment_id, change.due_at_ms))
    steps += post(payment_id, standing.version, change.postings, at_ms)
    if change.reply is not None:
        steps.append((sql.REPLY, reply_row(change.reply)))
    if change.notice is not None:
        steps += tell(change.notice)
    if standing.parked_reason:
        steps.append(open_case(payment_id, change.merchant_no, standing.parked_reason, at_ms))
    elif change.previous in MAY_BE_PARKED:
        steps.append((sql.CLOSE_CASE, (case_id(payment_id),)))
    steps.append(tell_tills(payment_id, change.previous))
    return steps


def tell_tills(payment_id: str, previous: Status) -> Step:
    """What a store and a terminal are told of a payment's move; nothing where it has neither.

    Of a refund of a checkout's attempt the checkout is told of, which is what they know.

    It reads the payment as the change leaves it, and is the last step of every change that
    has it: what orders these rows is a lock, held from here to the commit (migration 0010).
    """
    return sql.TELL_TILLS, (previous.value, payment_id)


def open_job(kind: JobKind, lane: str, subject: str, due_at_ms: int) -> Step:
    """Make a job due, whether it is there or not."""
    row = (job_id(kind, subject), kind.value, lane or NO_LANE, subject, due_at_ms, 0, 0, False)
    return sql.OPEN_JOB, row


def open_case(subject: str, merchant_no: str, reason: str, at_ms: int) -> Step:
    """Open a case, or open it again."""
    return sql.OPEN_CASE, (case_id(subject), subject, merchant_no, reason, at_ms, True)


def post(subject: str, sequence: int, postings: Sequence[Posting], at_ms: int) -> list[Step]:
    """Write the lines of an entry."""
    return [
        (sql.POSTING, posting_row(subject, sequence, line, posting, at_ms))
        for line, posting in enumerate(postings)
    ]


def tell(notice: Notice) -> list[Step]:
    """Write a notice and the job that delivers it."""
    return [
        (sql.NOTICE, notice_row(notice) + NEW_NOTICE),
        open_job(JobKind.NOTIFY, notice.endpoint, notice.event_id, notice.created_at_ms),
    ]
