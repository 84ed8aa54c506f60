"""History and ledger are append-only in the database itself, whoever asks, on both engines."""

import sqlite3
from dataclasses import replace

import asyncpg
import pytest

from domain.ledger import SUSPENSE, adjustment
from domain.payment import Status
from gateway.store.port import CaseDecision, LedgerEntry, NoticeState, RefundClaimed, Store
from tests.store.conftest import OpenStore
from tests.support.batches import sample_batch, sample_batch_line, sample_difference
from tests.support.payments import (
    sample_advance,
    sample_claim,
    sample_notice,
    sample_order,
    sample_parking,
)
from tests.support.refunds import sample_refund_claim

HISTORY = {
    "attempts": "payment_id",
    "payment_events": "payment_id",
    "postings": "amount_fen",
    "refund_events": "refund_id",
    "ledger_entries": "why",
    "case_decisions": "why",
    "notices": "body",
    "batch_lines": "amount_fen",
    "batch_differences": "kind",
}
"""Each table, and a column of it that nobody may change."""
TAMPERINGS = [
    *(f"DELETE FROM {table}" for table in HISTORY),
    *(f"UPDATE {table} SET {column} = {column}" for table, column in HISTORY.items()),
]


async def _with_history(store: Store) -> None:
    """A row in every table."""
    await store.claim(sample_claim(1))
    await store.advance(sample_advance(1, notice=sample_notice(1)))
    paid = await store.payment(sample_order(1).id)
    assert paid is not None
    assert await store.claim_refund(sample_refund_claim(1, paid)) is RefundClaimed.WON
    await store.claim(sample_claim(2))
    await store.advance(sample_parking(2))
    decision = CaseDecision(
        case_id=f"case_{2:028d}", number=1, decision="paid", by="li.wei", why="", at_ms=9_000
    )
    freeing = replace(sample_advance(2, version=3), previous=Status.UNKNOWN)
    assert await store.decide_payment(decision, freeing)
    lines = adjustment(SUSPENSE, "merchant:m1", 1, "CNY")
    await store.post(LedgerEntry(entry_id="adj_1", postings=lines, by="", why="", at_ms=9_000))
    await store.add_batch_lines([sample_batch_line(1)])
    await store.save_batch(sample_batch(), [sample_difference("000001")])


@pytest.mark.parametrize("statement", TAMPERINGS)
async def test_sqlite_refuses_to_change_history(
    sqlite_url: str, open_store: OpenStore, statement: str
) -> None:
    """By a trigger per table and verb."""
    await _with_history(await open_store(sqlite_url))
    with (
        sqlite3.connect(sqlite_url.removeprefix("sqlite://")) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute(statement)
    connection.close()


async def test_postgres_refuses_to_change_history(
    emptied_postgres_url: str, open_store: OpenStore
) -> None:
    """By triggers; TRUNCATE too."""
    await _with_history(await open_store(emptied_postgres_url))
    connection = await asyncpg.connect(emptied_postgres_url)
    try:
        for statement in [*TAMPERINGS, *(f"TRUNCATE {table}" for table in HISTORY)]:
            with pytest.raises(asyncpg.PostgresError, match="append-only"):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_what_became_of_a_notice_may_change(store: Store) -> None:
    """Only its words are history."""
    await _with_history(store)
    (job,) = [job for job in await store.jobs(None, "", 10) if job.lane == "m1 shop.example"]
    assert await store.notice_failed(job, "410", None, 9_000)
    stored = await store.notice(job.subject)
    assert stored is not None
    assert stored.state is NoticeState.DEAD
