"""A database of the release before, with rows in every table, is brought up to date."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from tortoise.context import TortoiseContext
from tortoise.migrations.api import migrate as apply_migrations

from domain.ledger import Entry
from domain.payment import Status
from gateway.store.migrate import MODELS, migrate
from gateway.store.port import Case, JobKind, RefundClaimed
from gateway.store.rows import ORDER_COLUMNS, order_row
from tests.store.conftest import OpenStore
from tests.support.payments import (
    MERCHANT,
    sample_advance,
    sample_notice,
    sample_order,
)
from tests.support.refunds import sample_refund_claim

BEFORE = "0002_guards"
STANDING = (
    "status",
    "version",
    "channel_trade_no",
    "channel_reference",
    "paid_at_ms",
    "captured_fen",
    "returned_fen",
    "decline_reason",
    "decline_channel_code",
    "parked_reason",
)
RECEIVABLE, PAYABLE = "channel:unionpay_card:a1", "merchant:m1"
Insert = Callable[[str, Sequence[str], Sequence[Any]], Awaitable[None]]


async def _migrate_to_before(url: str) -> None:
    connection = url.replace("postgresql://", "asyncpg://")
    config = {**MODELS, "connections": {"default": connection}}
    async with TortoiseContext():
        await apply_migrations(config=config, target=f"posgate.{BEFORE}")


@asynccontextmanager
async def _inserting(url: str) -> AsyncIterator[Insert]:
    """Inserts rows as a process of the release before did: by the columns it knew."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite://")) as file:

            async def into_file(table: str, columns: Sequence[str], row: Sequence[Any]) -> None:
                marks = ", ".join("?" * len(columns))
                file.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", row)

            yield into_file
        file.close()
        return
    connection = await asyncpg.connect(url)

    async def into_server(table: str, columns: Sequence[str], row: Sequence[Any]) -> None:
        marks = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        await connection.execute(sql, *row)

    yield into_server
    await connection.close()


async def _payment(insert: Insert, number: int, status: str, version: int, **standing: Any) -> None:
    values: dict[str, Any] = {
        "status": status,
        "version": version,
        "channel_trade_no": "",
        "channel_reference": "",
        "paid_at_ms": 0,
        "captured_fen": 0,
        "returned_fen": 0,
        "decline_reason": "",
        "decline_channel_code": "",
        "parked_reason": "",
    } | standing
    row = (*order_row(sample_order(number)), *(values[column] for column in STANDING))
    await insert("payments", (*ORDER_COLUMNS, *STANDING), row)


async def _event(insert: Insert, number: int, sequence: int, *what: str, at_ms: int) -> None:
    columns = ("payment_id", "sequence", "event", "previous", "status", "at_ms")
    await insert("payment_events", columns, (sample_order(number).id, sequence, *what, at_ms))


async def _job(insert: Insert, number: int, fence: int) -> None:
    payment_id = sample_order(number).id
    columns = ("id", "kind", "subject", "due_at_ms", "fence")
    row = (f"settle:{payment_id}", "settle", payment_id, 5_000, fence)
    await insert("jobs", columns, row)


async def _post(insert: Insert, number: int, sequence: int, first_line: int, amount: int) -> None:
    columns = ("payment_id", "sequence", "line", "account", "amount_fen", "currency", "at_ms")
    lines = ((RECEIVABLE, amount), (PAYABLE, -amount))
    for line, (account, amount_fen) in enumerate(lines, start=first_line):
        row = (sample_order(number).id, sequence, line, account, amount_fen, "CNY", 2_500)
        await insert("postings", columns, row)


async def _terminal(insert: Insert) -> None:
    columns = ("merchant_no", "name", "pos_merchant_id", "created_at_ms", "disabled")
    await insert("merchants", columns, (MERCHANT, "shop", "1" * 15, 1, False))
    of_terminal = (
        "merchant_no", "terminal_id", "key_scheme", "mac", "allow_weak_pin", "tmk_sealed",
        "tmk_kcv", "created_at_ms", "disabled",
    )  # fmt: skip
    row = (MERCHANT, "T0000001", "3des", "cup-ecb", False, b"\x01", "08D7B4FB", 1, False)
    await insert("terminals", of_terminal, row)


async def _fill(insert: Insert) -> None:
    """1 is paid, 2 was paid and went back, 3 is open, 4 waits for a person; and a terminal."""
    await _terminal(insert)
    await _payment(insert, 1, "succeeded", 2, captured_fen=1990, paid_at_ms=2_000)
    await _post(insert, 1, 2, 0, 1990)
    await _payment(insert, 2, "reversed", 3, captured_fen=1990, returned_fen=1990)
    await _post(insert, 2, 3, 0, 1990)
    await _post(insert, 2, 3, 2, -1990)
    await _payment(insert, 3, "submitted", 1)
    await _job(insert, 3, 4)
    await _payment(insert, 4, "unknown", 2, parked_reason="amount_mismatch")
    for number in range(1, 5):
        await _event(insert, number, 1, "submit", "created", "submitted", at_ms=1_000)
    await _event(insert, 4, 2, "paid", "submitted", "unknown", at_ms=2_700)


@pytest.fixture
async def upgraded_url(bare_url: str) -> str:
    """A filled database of before, migrated."""
    await _migrate_to_before(bare_url)
    async with _inserting(bare_url) as insert:
        await _fill(insert)
    assert BEFORE not in await migrate(bare_url)
    return bare_url


async def test_what_was_there_is_kept_and_says_what_is_new(
    upgraded_url: str, open_store: OpenStore
) -> None:
    """Lanes, entries and cases follow from the rows; a payment has refunded nothing."""
    store = await open_store(upgraded_url)
    payments = await store.payments_page("", 10)
    assert [payment.order for payment in payments] == [sample_order(n) for n in range(1, 5)]
    assert {(p.standing.refunding_fen, p.standing.notices) for p in payments} == {(0, 0)}
    entries = {
        number: [posting.entry for posting in await store.postings(sample_order(number).id)]
        for number in (1, 2)
    }
    assert entries == {1: [Entry.CAPTURE] * 2, 2: [Entry.CAPTURE] * 2 + [Entry.REVERSAL] * 2}
    assert await store.due_lanes(JobKind.SETTLE, 5_000, "", 10) == ["a1"]
    (job,) = await store.lease(JobKind.SETTLE, "a1", 5_000, 6_000, 10)
    assert (job.subject, job.fence, job.tries) == (sample_order(3).id, 5, 1)
    assert await store.cases(is_open=True, after="", limit=10) == [
        Case(
            case_id=f"case_{4:028d}",
            subject=sample_order(4).id,
            merchant_no=MERCHANT,
            reason="amount_mismatch",
            opened_at_ms=2_700,
            is_open=True,
        )
    ]


async def test_a_terminal_of_before_is_a_usual_one(
    upgraded_url: str, open_store: OpenStore
) -> None:
    """Nobody gave it options."""
    store = await open_store(upgraded_url)
    (terminal,) = await store.terminals()
    assert (terminal.terminal_id, terminal.options_json) == ("T0000001", "{}")


async def test_an_upgraded_database_takes_everything_that_is_new(
    upgraded_url: str, open_store: OpenStore
) -> None:
    """Refunds, notices and cases of payments that were there before."""
    store = await open_store(upgraded_url)
    paid = await store.payment(sample_order(1).id)
    assert paid is not None
    assert await store.claim_refund(sample_refund_claim(1, paid)) is RefundClaimed.WON
    assert await store.advance(sample_advance(3, notice=sample_notice(3)))
    assert len(await store.jobs(None, "", 10)) == 2


async def test_history_refuses_to_change_after_the_upgrade_as_before(upgraded_url: str) -> None:
    """The trigger that was lifted to fill the ledger is back."""
    if upgraded_url.startswith("sqlite"):
        with (
            sqlite3.connect(upgraded_url.removeprefix("sqlite://")) as file,
            pytest.raises(sqlite3.IntegrityError, match="append-only"),
        ):
            file.execute("UPDATE postings SET entry = 'fee'")
        file.close()
        return
    connection = await asyncpg.connect(upgraded_url)
    try:
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await connection.execute("UPDATE postings SET entry = 'fee'")
    finally:
        await connection.close()


async def test_a_process_of_before_may_go_on_writing(
    upgraded_url: str, open_store: OpenStore
) -> None:
    """While processes are replaced one by one: its jobs are found, its ledger is read."""
    async with _inserting(upgraded_url) as insert:
        await _payment(insert, 5, "reversed", 2, captured_fen=1990, returned_fen=1990)
        await _post(insert, 5, 2, 0, 1990)
        await _post(insert, 5, 2, 2, -1990)
        await _payment(insert, 6, "submitted", 1)
        await _job(insert, 6, 0)
    store = await open_store(upgraded_url)
    postings = await store.postings(sample_order(5).id)
    assert [posting.entry for posting in postings] == [Entry.CAPTURE] * 2 + [Entry.REVERSAL] * 2
    found = {
        job.subject
        for lane in await store.due_lanes(JobKind.SETTLE, 5_000, "", 10)
        for job in await store.lease(JobKind.SETTLE, lane, 5_000, 6_000, 10)
    }
    assert found == {sample_order(3).id, sample_order(6).id}
    payment = await store.payment(sample_order(6).id)
    assert payment is not None
    assert payment.standing.status is Status.SUBMITTED
