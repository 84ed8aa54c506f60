"""One batch of changes in one SQLite transaction.

Rules: the guard of each change (the unique order key, the version) is tested by the
statement that writes it, row by row; what hangs on it is written in bulk for the
winners only. The caller owns the transaction.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, assert_never

from domain.payment import Status
from gateway.store.database import Change
from gateway.store.port import Advance, Claim, TerminalReply
from gateway.store.rows import (
    FIRST_ATTEMPT,
    PAYMENT_COLUMNS,
    REPLY_COLUMNS,
    SETTLE,
    STANDING_COLUMNS,
    order_row,
    reply_row,
    settle_job,
    standing_row,
)


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


_CLAIM: Final = (
    _insert("payments", PAYMENT_COLUMNS) + " ON CONFLICT (merchant_no, door, order_key) DO NOTHING"
)
_ADVANCE: Final = (
    f"UPDATE payments SET {', '.join(f'{column} = ?' for column in STANDING_COLUMNS)} "
    "WHERE id = ? AND merchant_no = ? AND version = ?"
)
_ATTEMPT: Final = _insert(
    "attempts", ("payment_id", "attempt_no", "channel", "account_id", "channel_order_no")
)
_OPEN_JOB: Final = (
    _insert("jobs", ("id", "kind", "subject", "due_at_ms", "fence"))
    + " ON CONFLICT (id) DO UPDATE SET due_at_ms = excluded.due_at_ms"
)
_END_JOB: Final = "DELETE FROM jobs WHERE id = ?"
_EVENT: Final = _insert(
    "payment_events", ("payment_id", "sequence", "event", "previous", "status", "at_ms")
)
_POSTING: Final = _insert(
    "postings", ("payment_id", "sequence", "line", "account", "amount_fen", "currency", "at_ms")
)
_REPLY: Final = _insert("terminal_replies", REPLY_COLUMNS)
_SAVE_REPLY: Final = _REPLY + " ON CONFLICT (merchant_no, key) DO NOTHING"


class _Winners:
    """Rows that hang on changes which won their guard."""

    def __init__(self) -> None:
        self.attempts: list[tuple[Any, ...]] = []
        self.opened_jobs: list[tuple[Any, ...]] = []
        self.ended_jobs: list[tuple[Any, ...]] = []
        self.events: list[tuple[Any, ...]] = []
        self.postings: list[tuple[Any, ...]] = []
        self.replies: list[tuple[Any, ...]] = []

    def open_job(self, payment_id: str, due_at_ms: int) -> None:
        """Make a payment's job due, whether it has one or not."""
        self.opened_jobs.append((settle_job(payment_id), SETTLE, payment_id, due_at_ms, 0))

    def write(self, connection: sqlite3.Connection) -> None:
        """Write them, in bulk."""
        for sql, rows in (
            (_ATTEMPT, self.attempts),
            (_OPEN_JOB, self.opened_jobs),
            (_END_JOB, self.ended_jobs),
            (_EVENT, self.events),
            (_POSTING, self.postings),
            (_REPLY, self.replies),
        ):
            if rows:
                connection.executemany(sql, rows)


def apply_changes(connection: sqlite3.Connection, changes: Sequence[Change]) -> list[bool]:
    """Write the changes that win their guard, and say which did.

    Raises:
        sqlite3.IntegrityError: a rule other than a guard refused one of them.
    """
    winners = _Winners()
    outcomes: list[bool] = []
    for change in changes:
        if isinstance(change, Claim):
            outcomes.append(_claim(connection, change, winners))
        elif isinstance(change, Advance):
            outcomes.append(_advance(connection, change, winners))
        elif isinstance(change, TerminalReply):
            outcomes.append(connection.execute(_SAVE_REPLY, reply_row(change)).rowcount == 1)
        else:
            assert_never(change)
    winners.write(connection)
    return outcomes


def _claim(connection: sqlite3.Connection, claim: Claim, winners: _Winners) -> bool:
    order, standing = claim.order, claim.standing
    row = order_row(order) + standing_row(standing)
    if connection.execute(_CLAIM, row).rowcount != 1:
        return False
    if order.channel_order_no:
        winners.attempts.append(
            (
                order.id,
                FIRST_ATTEMPT,
                order.channel,
                order.account_id,
                order.channel_order_no,
            )
        )
    if claim.due_at_ms is not None:
        winners.open_job(order.id, claim.due_at_ms)
    winners.events.append(
        (
            order.id,
            standing.version,
            claim.event.value,
            Status.CREATED.value,
            standing.status.value,
            order.created_at_ms,
        )
    )
    if claim.reply is not None:
        winners.replies.append(reply_row(claim.reply))
    return True


def _advance(connection: sqlite3.Connection, change: Advance, winners: _Winners) -> bool:
    payment_id, standing, at_ms = change.payment_id, change.standing, change.at_ms
    version = standing.version
    row = (*standing_row(standing), payment_id, change.merchant_no, version - 1)
    if connection.execute(_ADVANCE, row).rowcount != 1:
        return False
    if change.due_at_ms is None:
        winners.ended_jobs.append((settle_job(payment_id),))
    else:
        winners.open_job(payment_id, change.due_at_ms)
    winners.events.append(
        (
            payment_id,
            version,
            change.event.value,
            change.previous.value,
            standing.status.value,
            at_ms,
        )
    )
    for line, posting in enumerate(change.postings):
        winners.postings.append(
            (
                payment_id,
                version,
                line,
                posting.account,
                posting.amount_fen,
                posting.currency,
                at_ms,
            )
        )
    if change.reply is not None:
        winners.replies.append(reply_row(change.reply))
    return True
