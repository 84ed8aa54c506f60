"""The statements that write one row each, in the dialect that both engines share.

Rules: a statement names every column; a guard is part of the statement that it guards
and shows in the number of rows that the statement changed. SQLite's hot path runs these
too; PostgreSQL's has its own, whole batches each (``postgres_statements.py``).
"""

from collections.abc import Sequence
from typing import Final

from domain.payment import Status
from gateway.store.rows import (
    CASE_COLUMNS,
    JOB_COLUMNS,
    NOTICE_COLUMNS,
    NOTICE_STATE_COLUMNS,
    PAYMENT_COLUMNS,
    POSTING_COLUMNS,
    REPLY_COLUMNS,
    STANDING_COLUMNS,
    TILL_EVENT_COLUMNS,
)
from gateway.store.told import IS_TOLD

SHOWN_STATUS: Final = f"CASE parked_reason WHEN '' THEN status ELSE '{Status.UNKNOWN.value}' END"
"""The word that a payment is shown with."""


def insert(table: str, columns: Sequence[str]) -> str:
    """Insert one row of ``columns``."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def assignments(columns: Sequence[str]) -> str:
    """``column = ?`` for each of ``columns``."""
    return ", ".join(f"{column} = ?" for column in columns)


CLAIM_PAYMENT: Final = (
    insert("payments", PAYMENT_COLUMNS) + " ON CONFLICT (merchant_no, door, order_key) DO NOTHING"
)
MOVE_PAYMENT: Final = (
    f"UPDATE payments SET {assignments(STANDING_COLUMNS)} "
    "WHERE id = ? AND merchant_no = ? AND version = ?"
)
"""Takes a standing, then id, merchant and the version before."""
ATTEMPT: Final = insert(
    "attempts", ("payment_id", "attempt_no", "channel", "account_id", "channel_order_no")
)
OPEN_JOB: Final = (
    insert("jobs", JOB_COLUMNS) + " ON CONFLICT (id) DO UPDATE "
    "SET due_at_ms = excluded.due_at_ms, given_back = excluded.given_back"
)
END_JOB: Final = "DELETE FROM jobs WHERE id = ?"
EVENT: Final = insert(
    "payment_events", ("payment_id", "sequence", "event", "previous", "status", "at_ms")
)
TELL_TILLS: Final = (
    f"INSERT INTO till_events ({', '.join(TILL_EVENT_COLUMNS[1:])}) "
    "SELECT merchant_no, store_id, terminal_id, id, CAST(? AS VARCHAR(16)), "
    f"{SHOWN_STATUS} FROM payments WHERE id = ? AND {IS_TOLD}"
)
"""Takes the status before and the payment's id."""
POSTING: Final = insert("postings", POSTING_COLUMNS)
REPLY: Final = insert("terminal_replies", REPLY_COLUMNS)
SAVE_REPLY: Final = REPLY + " ON CONFLICT (merchant_no, key) DO NOTHING"
NOTICE: Final = insert("notices", NOTICE_COLUMNS + NOTICE_STATE_COLUMNS)
OPEN_CASE: Final = (
    insert("cases", CASE_COLUMNS) + " ON CONFLICT (case_id) DO UPDATE "
    "SET reason = excluded.reason, is_open = excluded.is_open, opened_at_ms = "
    "CASE WHEN cases.is_open THEN cases.opened_at_ms ELSE excluded.opened_at_ms END"
)
CLOSE_CASE: Final = "UPDATE cases SET is_open = FALSE WHERE case_id = ? AND is_open"
