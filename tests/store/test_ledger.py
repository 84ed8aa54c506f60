"""The ledger as a whole: entries of their own, pages, balances, on both engines."""

import asyncio

import pytest

from domain.ledger import SUSPENSE, adjustment, channel_receivable, merchant_payable
from gateway.store.port import LedgerEntry, LedgerLine, Store
from tests.store.conftest import Look
from tests.support.payments import (
    MERCHANT,
    sample_advance,
    sample_claim,
    sample_order,
    sample_postings,
)

RECEIVABLE, PAYABLE = channel_receivable("unionpay_card", "a1"), merchant_payable(MERCHANT)


def _entry(entry_id: str = "adj_1", amount_fen: int = 90) -> LedgerEntry:
    return LedgerEntry(
        entry_id=entry_id,
        postings=adjustment(SUSPENSE, RECEIVABLE, amount_fen, "CNY"),
        by="li.wei",
        why="差额",
        at_ms=9_000,
    )


async def _pay(store: Store, *numbers: int) -> None:
    for number in numbers:
        await store.claim(sample_claim(number))
        await store.advance(sample_advance(number))


async def test_an_entry_of_its_own_is_kept_with_who_and_why(store: Store, look: Look) -> None:
    """Its lines are in the ledger as any others."""
    entry = _entry()
    assert await store.post(entry)
    assert await look("SELECT entry_id, person, why, at_ms FROM ledger_entries") == [
        ("adj_1", "li.wei", "差额", 9_000)
    ]
    assert await store.ledger_lines(None, 10) == [
        LedgerLine(subject="adj_1", sequence=1, line=line, posting=posting, at_ms=9_000)
        for line, posting in enumerate(entry.postings)
    ]


async def test_an_entry_is_posted_once(store: Store) -> None:
    """Its id is its idempotency key, also for ten at once."""
    outcomes = await asyncio.gather(*(store.post(_entry(amount_fen=n)) for n in range(1, 11)))
    assert sum(outcomes) == 1
    assert not await store.post(_entry())
    assert len(await store.ledger_lines(None, 10)) == 2


async def test_balances_are_the_sums_of_the_lines(store: Store) -> None:
    """Per account and currency; all together zero."""
    assert await store.balances() == {}
    await _pay(store, 1, 2, 3)
    await store.post(_entry())
    balances = await store.balances()
    assert balances == {
        (RECEIVABLE, "CNY"): 3 * 1990 - 90,
        (PAYABLE, "CNY"): -3 * 1990,
        (SUSPENSE, "CNY"): 90,
    }
    assert {type(balance) for balance in balances.values()} == {int}


async def test_the_whole_ledger_comes_in_pages(store: Store) -> None:
    """By subject, sequence and line, without a gap or a repeat."""
    await _pay(store, 1, 2, 3)
    await store.post(_entry())
    everything = await store.ledger_lines(None, 100)
    assert [(line.subject, line.sequence, line.line) for line in everything] == [
        *((sample_order(n).id, 2, line) for n in (1, 2, 3) for line in (0, 1)),
        ("adj_1", 1, 0),
        ("adj_1", 1, 1),
    ]
    assert tuple(line.posting for line in everything[:2]) == sample_postings()
    paged: list[LedgerLine] = []
    after: tuple[str, int, int] | None = None
    while page := await store.ledger_lines(after, 3):
        assert len(page) <= 3
        paged += page
        after = (page[-1].subject, page[-1].sequence, page[-1].line)
    assert paged == everything


async def test_all_payments_come_in_pages(store: Store) -> None:
    """By id."""
    await _pay(store, *range(5))
    ids = [sample_order(n).id for n in range(5)]
    first = await store.payments_page("", 3)
    assert [payment.order.id for payment in first] == ids[:3]
    rest = await store.payments_page(ids[2], 3)
    assert [payment.order.id for payment in rest] == ids[3:]
    assert await store.payments_page(ids[4], 3) == []


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 6])
async def test_payments_are_had_by_their_ids(store: Store, count: int) -> None:
    """One that is not there is left out, one that is asked for twice comes once."""
    await _pay(store, *range(6))
    ids = [sample_order(n).id for n in range(count)]
    assert await store.payments(ids[::-1]) == [await store.payment(id_) for id_ in ids]
    assert await store.payments([*ids, "PAYNONE", *ids]) == await store.payments(ids)
