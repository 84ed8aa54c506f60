"""The database as the checker reads it, by plain SQL."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]


class Books:
    """The database as the checker reads it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.payments = {row["id"]: row for row in self._rows("SELECT * FROM payments")}
        self.by_key = {(row["door"], row["order_key"]): row for row in self.payments.values()}
        self.attempts = self._rows("SELECT * FROM attempts")
        self.events = _grouped(
            self._rows("SELECT * FROM payment_events ORDER BY payment_id, sequence"), "payment_id"
        )
        self.postings = _grouped(self._rows("SELECT * FROM postings ORDER BY rowid"), "payment_id")
        self.refunds = _grouped(self._rows("SELECT * FROM refunds ORDER BY rowid"), "payment_id")
        self.refund_events = _grouped(
            self._rows("SELECT * FROM refund_events ORDER BY refund_id, sequence"), "refund_id"
        )
        self.notices = _grouped(
            self._rows("SELECT * FROM notices ORDER BY payment_id, sequence"), "payment_id"
        )
        self.open_cases = {
            row["subject"] for row in self._rows("SELECT * FROM cases WHERE is_open")
        }
        self.ever_cases = {row["subject"] for row in self._rows("SELECT * FROM cases")}
        self.jobs = self._rows("SELECT * FROM jobs")

    def _rows(self, sql: str) -> list[Row]:
        cursor = self._connection.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def _grouped(rows: Iterable[Row], name: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[name]].append(row)
    return groups


def captures(connection: sqlite3.Connection, door: str, order_key: str) -> list[int]:
    """The amounts captured for an order, as the ledger has them at this moment."""
    rows = connection.execute(
        "SELECT p.amount_fen FROM postings p JOIN payments o ON o.id = p.payment_id "
        "WHERE o.door = ? AND o.order_key = ? AND p.account LIKE 'channel:%' AND p.amount_fen > 0",
        (door, order_key),
    )
    return [amount_fen for (amount_fen,) in rows]


def ledger_lines(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Every ledger line in the order in which it was written."""
    return connection.execute(
        "SELECT rowid, payment_id, sequence, line, account, amount_fen FROM postings ORDER BY rowid"
    ).fetchall()


def at_rest(connection: sqlite3.Connection) -> bool:
    """Whether nothing is open any more but what waits for a person."""
    open_payments = connection.execute(
        "SELECT count(*) FROM payments WHERE status NOT IN "
        "('succeeded', 'failed', 'closed', 'reversed') AND parked_reason = ''"
    ).fetchone()[0]
    open_refunds = connection.execute(
        "SELECT count(*) FROM refunds WHERE status NOT IN ('succeeded', 'failed') "
        "AND parked_reason = ''"
    ).fetchone()[0]
    open_notices = connection.execute(
        "SELECT count(*) FROM notices WHERE state = 'pending'"
    ).fetchone()[0]
    return not (open_payments or open_refunds or open_notices)
