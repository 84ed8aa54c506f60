"""Our orders in bulk, as reconciliation reads them, on both engines."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from domain.ids import number
from gateway.store.order_source import id_bounds, order_source
from gateway.store.port import Store
from reconciliation.days import business_day
from reconciliation.orders import STORED_SCHEMA, entries_of
from tests.support.payments import sample_advance, sample_claim
from tests.support.refunds import sample_refund_advance, sample_refund_claim

NOON_MS = 1_773_460_800_000  # 2026-03-14 12:00 in Beijing


def payment_id(at_ms: int, last: int) -> str:
    """An id as the gateway makes it."""
    return "pay_" + number(at_ms, last.to_bytes(10))


async def _sell(store: Store, place: int, at_ms: int, *, paid_at_ms: int = 0, **order: Any) -> str:
    """A captured payment of an instant, booked then or at ``paid_at_ms``."""
    identity = payment_id(at_ms, place)
    await store.claim(sample_claim(place, id=identity, created_at_ms=at_ms, **order))
    paid = sample_advance(place)
    standing = replace(paid.standing, paid_at_ms=at_ms + 500)
    moved = replace(paid, payment_id=identity, standing=standing)
    await store.advance(replace(moved, at_ms=paid_at_ms or paid.at_ms))
    return identity


async def _refund(store: Store, identity: str, at_ms: int, done_at_ms: int = 0) -> None:
    payment = await store.payment(identity)
    assert payment is not None
    refund_id = "ref_" + number(at_ms, bytes(10))
    claim = sample_refund_claim(1, payment, 500, id=refund_id, created_at_ms=at_ms)
    await store.claim_refund(claim)
    done = sample_refund_advance(claim.refund, claim.payment.standing)
    await store.advance_refund(replace(done, at_ms=done_at_ms or done.at_ms))


def read(url: str, account_id: str, from_ms: int, until_ms: int) -> list[dict[str, Any]]:
    """Everything made in between, as rows."""
    with order_source(url).made_between(account_id, from_ms, until_ms) as batches:
        return pa.Table.from_batches(list(batches), schema=STORED_SCHEMA).to_pylist()


async def test_a_days_payments_and_refunds_come_with_all_that_a_match_needs(
    store: Store, url: str
) -> None:
    identity = await _sell(store, 1, NOON_MS)
    await _refund(store, identity, NOON_MS + 1000)
    rows = await asyncio.to_thread(read, url, "a1", NOON_MS, NOON_MS + 5000)
    assert [(row["kind"], row["status"]) for row in rows] == [
        ("payment", "succeeded"),
        ("refund", "succeeded"),
    ]
    paid, returned = rows
    assert paid["order_no"] == returned["order_no"] == f"CH{1:030d}"
    assert (paid["refund_no"], returned["refund_no"]) == ("", f"RF{1:030d}")
    assert (paid["captured_fen"], returned["amount_fen"]) == (1990, 500)
    assert (paid["subject"], paid["channel_at_ms"]) == (identity, NOON_MS + 500)
    assert paid["terminal_id"] == returned["terminal_id"] == "T0000001"


async def test_batches_may_be_pulled_from_any_thread(store: Store, url: str) -> None:
    """The match runs in threads of its own, and which of them asks next is not ours to say."""
    await _sell(store, 1, NOON_MS)
    await _sell(store, 2, NOON_MS + 1)

    def pulled() -> int:
        day = order_source(url).made_between("a1", NOON_MS, NOON_MS + 5000)
        with day as batches, ThreadPoolExecutor(1) as other:
            made = other.submit(lambda: sum(batch.num_rows for batch in batches)).result()
        named = order_source(url).named("a1", [f"CH{number:030d}" for number in range(600)])
        first = next(named)
        with ThreadPoolExecutor(1) as other:
            rest = other.submit(lambda: sum(batch.num_rows for batch in named)).result()
        return made + first.num_rows + rest

    assert await asyncio.to_thread(pulled) == 4


async def test_what_was_made_before_after_or_at_another_account_stays_out(
    store: Store, url: str
) -> None:
    kept = await _sell(store, 1, NOON_MS)
    await _sell(store, 2, NOON_MS - 1)
    await _sell(store, 3, NOON_MS + 5000)
    await _sell(store, 4, NOON_MS, account_id="a2")
    await _sell(store, 5, NOON_MS, channel_order_no="")
    rows = await asyncio.to_thread(read, url, "a1", NOON_MS, NOON_MS + 5000)
    assert [row["subject"] for row in rows] == [kept]


async def test_orders_are_found_by_the_numbers_that_a_bill_names(store: Store, url: str) -> None:
    """Also an old one, with its refunds; numbers that nobody knows bring nothing."""
    identity = await _sell(store, 1, NOON_MS)
    await _refund(store, identity, NOON_MS + 1000)
    await _sell(store, 2, NOON_MS, account_id="a2")

    def named(account_id: str, order_nos: list[str]) -> list[str]:
        return [
            row["kind"]
            for batch in order_source(url).named(account_id, order_nos)
            for row in batch.to_pylist()
        ]

    wanted = [f"CH{1:030d}", f"CH{2:030d}", *(f"NOBODY{n}" for n in range(600))]
    assert await asyncio.to_thread(named, "a1", wanted) == ["payment", "refund"]
    assert await asyncio.to_thread(named, "a1", []) == []


async def test_what_moved_long_after_it_was_made_is_found_by_its_ledger_lines(
    store: Store, url: str
) -> None:
    """Paid or paid out within the hours that are asked for, and older than what is loaded."""
    old_ms, day_ms = NOON_MS - 30 * 86_400_000, 86_400_000
    paid = await _sell(store, 1, old_ms, paid_at_ms=NOON_MS)
    returned = await _sell(store, 2, old_ms, paid_at_ms=old_ms)
    await _refund(store, returned, old_ms + 1000, done_at_ms=NOON_MS)
    await _sell(store, 3, old_ms, paid_at_ms=NOON_MS - day_ms)
    await _sell(store, 4, NOON_MS, paid_at_ms=NOON_MS)
    await _sell(store, 5, old_ms, paid_at_ms=NOON_MS, account_id="a2")

    def booked() -> list[tuple[str, str]]:
        return [
            (row["kind"], row["order_no"])
            for batch in order_source(url).booked_between(
                "a1", NOON_MS, NOON_MS + day_ms, made_before_ms=NOON_MS - 3 * day_ms
            )
            for row in batch.to_pylist()
        ]

    assert paid != returned
    assert sorted(await asyncio.to_thread(booked)) == [
        ("payment", f"CH{1:030d}"),
        ("payment", f"CH{2:030d}"),
        ("refund", f"CH{2:030d}"),
    ]


async def test_text_that_looks_like_a_file_comes_back_as_it_was(store: Store, url: str) -> None:
    await _sell(store, 1, NOON_MS, store_id='shop "1",\n\\N', terminal_id="")
    (row,) = await asyncio.to_thread(read, url, "a1", NOON_MS, NOON_MS + 1)
    assert (row["store_id"], row["terminal_id"]) == ('shop "1",\n\\N', "")


@pytest.mark.parametrize(
    ("metadata", "cashier"),
    [
        ('{"cashier":"李伟"}', "李伟"),
        ('{"cashier":"' + "x" * 99 + '"}', "x" * 64),
        ('{"note":"the \\"cashier\\": said"}', ""),
        ('{"cashier":"a\\u0000b"}', None),
        ("{}", ""),
        ("", ""),
    ],
)
async def test_the_cashier_is_the_one_that_the_merchant_names(
    store: Store, url: str, metadata: str, cashier: str | None
) -> None:
    """What a database cannot show of a name is no reason to show no orders."""
    identity = await _sell(store, 1, NOON_MS, metadata_json=metadata)
    await _refund(store, identity, NOON_MS + 1000)
    rows = await asyncio.to_thread(read, url, "a1", NOON_MS, NOON_MS + 5000)
    found = {row["cashier"] for row in rows}
    assert len(rows) == 2
    assert cashier is None or found == {cashier}


def test_ids_sort_by_the_time_that_they_were_made() -> None:
    first, until = id_bounds("pay_", NOON_MS, NOON_MS + 1)
    assert first <= payment_id(NOON_MS, 0) <= payment_id(NOON_MS, 2**79) < until


@pytest.mark.parametrize(
    ("kind", "status", "state"),
    [
        ("payment", "succeeded", "done"),
        ("payment", "reversed", "undone"),
        ("payment", "closed", "never"),
        ("payment", "failed", "never"),
        ("payment", "authorized", "never"),
        ("payment", "unknown", "open"),
        ("payment", "reversing", "open"),
        ("payment", "a state of a later release", "open"),
        ("refund", "succeeded", "done"),
        ("refund", "failed", "never"),
        ("refund", "submitted", "open"),
    ],
)
def test_every_status_is_a_state_of_the_match(kind: str, status: str, state: str) -> None:
    stored = dict.fromkeys(STORED_SCHEMA.names, "") | {
        "kind": kind, "status": status, "amount_fen": 1990, "captured_fen": 0,
        "made_at_ms": NOON_MS, "channel_at_ms": 0,
    }  # fmt: skip
    batch = pa.RecordBatch.from_pylist([stored], schema=STORED_SCHEMA)
    (row,) = entries_of(batch, business_day("alipay")).to_pylist()
    assert (row["state"], row["amount_fen"], row["day"]) == (state, 1990, date(2026, 3, 14))


@pytest.mark.parametrize(
    ("channel", "at_ms", "day"),
    [
        ("alipay", NOON_MS + 12 * 3_600_000 - 1, date(2026, 3, 14)),
        ("alipay", NOON_MS + 12 * 3_600_000, date(2026, 3, 15)),
        ("unionpay_qr", NOON_MS + 11 * 3_600_000 - 1, date(2026, 3, 14)),
        ("unionpay_qr", NOON_MS + 11 * 3_600_000, date(2026, 3, 15)),
    ],
)
def test_the_day_is_the_channels_and_by_the_channels_clock(
    channel: str, at_ms: int, day: date
) -> None:
    stored = dict.fromkeys(STORED_SCHEMA.names, "") | {
        "kind": "payment", "status": "succeeded", "amount_fen": 1990, "captured_fen": 1000,
        "made_at_ms": NOON_MS - 86_400_000, "channel_at_ms": at_ms,
    }  # fmt: skip
    batch = pa.RecordBatch.from_pylist([stored], schema=STORED_SCHEMA)
    (row,) = entries_of(batch, business_day(channel)).to_pylist()
    assert (row["day"], row["amount_fen"]) == (day, 1000)
    assert business_day(channel).of(at_ms) == day
