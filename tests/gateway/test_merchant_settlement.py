"""Merchants' days, settled from the ledger that payments, refunds and reversals left."""

import asyncio
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from domain.ids import number
from domain.ledger import reversal
from domain.payment import Event, Status
from gateway.merchant_settlement import REVENUE, day_window, settle_day
from gateway.store.order_source import order_source
from gateway.store.port import Advance, Store
from reconciliation.night_records import StoredRate
from reconciliation.rates import MerchantRate
from tests.reconciliation.fakes import SetClock
from tests.store.conftest import (
    OpenStore,
    emptied_postgres_url,
    migrated_file,
    open_store,
    postgres_server,
    shared_postgres_url,
    sqlite_url,
    store,
    url,
)
from tests.support.payments import MERCHANT, sample_advance, sample_claim
from tests.support.refunds import sample_refund_advance, sample_refund_claim

__all__ = [
    "OpenStore", "emptied_postgres_url", "migrated_file", "open_store", "postgres_server",
    "shared_postgres_url", "sqlite_url", "store", "url",
]  # fmt: skip
DAY = date(2026, 3, 14)
START_MS, END_MS = day_window(DAY)
NEXT_MS = END_MS + 3_600_000


async def _sell(store: Store, place: int, at_ms: int) -> str:
    """A captured payment of 19.90 yuan, posted at an instant."""
    identity = "pay_" + number(at_ms, place.to_bytes(10))
    await store.claim(sample_claim(place, id=identity, created_at_ms=at_ms))
    paid = sample_advance(place)
    standing = replace(paid.standing, paid_at_ms=at_ms)
    await store.advance(replace(paid, payment_id=identity, standing=standing, at_ms=at_ms))
    return identity


async def _refund(store: Store, place: int, identity: str, fen: int, at_ms: int) -> None:
    payment = await store.payment(identity)
    assert payment is not None
    refund_id = "ref_" + number(at_ms, place.to_bytes(10))
    claim = sample_refund_claim(place, payment, fen, id=refund_id, created_at_ms=at_ms)
    await store.claim_refund(claim)
    done = sample_refund_advance(claim.refund, claim.payment.standing)
    await store.advance_refund(replace(done, at_ms=at_ms))


async def _reverse(store: Store, identity: str, at_ms: int) -> None:
    payment = await store.payment(identity)
    assert payment is not None
    now = payment.standing
    lines = reversal("channel:unionpay_card:a1", f"merchant:{MERCHANT}", 1990, "CNY")
    await store.advance(
        Advance(
            payment_id=identity,
            merchant_no=MERCHANT,
            previous=Status.SUCCEEDED,
            event=Event.UNDONE_PAID,
            at_ms=at_ms,
            due_at_ms=None,
            postings=lines,
            standing=replace(
                now, status=Status.REVERSED, version=now.version + 1, returned_fen=1990
            ),
        )
    )


class Finance:
    """Days settled one after another."""

    def __init__(self, store: Store, url: str, nights: Path) -> None:
        self.store = store
        self.url = url
        self.nights = nights

    def _items(self, day: date) -> list[dict[str, Any]]:
        return list(order_source(self.url).posted_items(*day_window(day)))

    async def settle(self, day: date) -> Any:
        rows = await asyncio.to_thread(self._items, day)
        clock = SetClock(NEXT_MS)
        (kept,) = await settle_day(self.store, clock, day, rows, self.nights)
        return kept.statement

    async def rate(self, ppm: int, **changes: Any) -> None:
        rate = MerchantRate(rate_ppm=ppm, since=date(2026, 1, 1))
        kept = StoredRate(merchant_no=MERCHANT, rate=rate, bears_channel_fee=False, created_at_ms=1)
        await self.store.add_rate(replace(kept, **changes))

    def fees(self, account: str, day: date, mfen: int) -> None:
        place = self.nights / account / day.isoformat()
        place.mkdir(parents=True)
        (place / "fees.json").write_text(json.dumps([[MERCHANT, "CNY", mfen], ["", "CNY", 9]]))

    async def revenue_fen(self) -> int:
        return -(await self.store.balances()).get((REVENUE, "CNY"), 0)


@pytest.fixture
def finance(store: Store, url: str, tmp_path: Path) -> Finance:
    return Finance(store, url, tmp_path / "nights")


async def test_a_day_is_what_was_posted_on_it_and_settled_once(finance: Finance) -> None:
    await finance.rate(6000)
    first = await _sell(finance.store, 1, START_MS)
    await _sell(finance.store, 2, END_MS - 1)
    await _sell(finance.store, 3, END_MS)
    await _refund(finance.store, 4, first, 995, END_MS - 1)
    finance.fees("a1", DAY, 4_500)
    finance.fees("a2", DAY, 4_000)
    statement = await finance.settle(DAY)
    assert (statement.payments, statement.refunds) == (2, 1)
    assert (statement.gross_fen, statement.refunds_fen) == (3980, 995)
    assert statement.our_fee_fen == 12 + 12 - 6
    assert statement.channel_fee_fen == 8  # 8.5 fen, half to even
    assert statement.payable_fen == 3980 - 995 - 18
    assert await finance.settle(DAY) == statement
    assert await finance.revenue_fen() == 18


async def test_a_reversal_of_yesterdays_sale_is_todays(finance: Finance) -> None:
    """The statement that was written stays; the money comes off the next one, and is carried."""
    await finance.rate(6000)
    sale = await _sell(finance.store, 1, START_MS)
    assert (await finance.settle(DAY)).payable_fen == 1978
    await _reverse(finance.store, sale, NEXT_MS)
    after = await finance.settle(date(2026, 3, 15))
    assert (after.gross_fen, after.refunds_fen, after.our_fee_fen) == (0, 1990, -12)
    assert (after.payable_fen, after.carried_out_fen) == (0, -1978)
    assert await finance.revenue_fen() == 0


async def test_parts_that_go_back_on_different_days_give_back_the_fee_once(
    finance: Finance,
) -> None:
    await finance.rate(6000)
    sale = await _sell(finance.store, 1, START_MS)
    await finance.settle(DAY)
    await _refund(finance.store, 2, sale, 663, NEXT_MS)
    await _refund(finance.store, 3, sale, 664, NEXT_MS + 1)
    first = await finance.settle(date(2026, 3, 15))
    await _refund(finance.store, 4, sale, 663, NEXT_MS + 86_400_000)
    second = await finance.settle(date(2026, 3, 16))
    assert first.our_fee_fen + second.our_fee_fen == -12
    assert await finance.revenue_fen() == 0


async def test_a_merchant_may_bear_the_channels_fee(finance: Finance) -> None:
    await finance.rate(0, bears_channel_fee=True)
    await _sell(finance.store, 1, START_MS)
    finance.fees("a1", DAY, 4_000)
    assert (await finance.settle(DAY)).payable_fen == 1986


async def test_a_statement_whose_writer_died_gets_its_fee_at_the_next_try(
    finance: Finance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written, and dead before the fee was posted: it is posted then, and once."""
    await finance.rate(10_000)
    await _sell(finance.store, 1, START_MS)

    async def dies(_entry: object) -> bool:
        raise ConnectionError

    with monkeypatch.context() as dying:
        dying.setattr(finance.store, "post", dies)
        with pytest.raises(ConnectionError):
            await finance.settle(DAY)
    assert await finance.revenue_fen() == 0
    for _ in range(2):
        assert (await finance.settle(DAY)).our_fee_fen == 20
        assert await finance.revenue_fen() == 20
