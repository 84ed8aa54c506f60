"""The gateway's database as rows, read by plain SQL past everything of the gateway's."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

Row = Mapping[str, Any]
_TABLES: Final = {
    "payments": "id, door, order_key, amount_fen, channel, channel_order_no, notify_url, status, "
    "version, captured_fen, returned_fen, refunding_fen, notices, parked_reason",
    "attempts": "payment_id, channel, channel_order_no",
    "payment_events": "payment_id, sequence, event, previous, status",
    "postings": "payment_id, sequence, line, entry, account, amount_fen, currency",
    "refunds": "id, payment_id, merchant_refund_no, amount_fen, status, parked_reason",
    "notices": "event_id, payment_id, sequence, type, state",
    "cases": "case_id, subject, reason, is_open",
    "jobs": "id, kind, subject",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Every row that the checker looks at."""

    payments: Sequence[Row] = ()
    attempts: Sequence[Row] = ()
    payment_events: Sequence[Row] = ()
    postings: Sequence[Row] = ()
    refunds: Sequence[Row] = ()
    notices: Sequence[Row] = ()
    cases: Sequence[Row] = ()
    jobs: Sequence[Row] = ()


async def read(url: str) -> Books:
    """All of an installation's books."""
    return Books(
        **{
            table: await rows(url, f"SELECT {columns} FROM {table}")
            for table, columns in _TABLES.items()
        }
    )


async def rows(url: str, sql: str) -> list[Row]:
    """One statement's rows from SQLite or PostgreSQL."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(urlsplit(url).path)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(sql)]
        finally:
            connection.close()
    link: Any = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await link.fetch(sql)]
    finally:
        await link.close()


_OPEN: Final = "('created', 'submitted', 'pending', 'unknown', 'reversing')"
_UNFINISHED: Final = {
    "payments": f"SELECT count(*) AS n FROM payments WHERE status IN {_OPEN} "
    "AND parked_reason = ''",
    "refunds": "SELECT count(*) AS n FROM refunds WHERE status NOT IN ('succeeded', 'failed') "
    "AND parked_reason = ''",
    "jobs": "SELECT count(*) AS n FROM jobs",
}


async def unfinished(url: str) -> dict[str, int]:
    """How many payments, refunds and jobs are still on their way; empty when none is."""
    found = {name: (await rows(url, sql))[0]["n"] for name, sql in _UNFINISHED.items()}
    return {name: count for name, count in found.items() if count}
