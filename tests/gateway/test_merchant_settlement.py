"""Merchants' days, settled from the ledger that payments, refunds and reversals left."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Conflict
from domain.ids import number
from domain.ledger import reversal
from domain.payment import Event, Status
from gateway.merchant_settlement import GRACE_MS, REVENUE, day_window, is_over, settle_day
from gateway.store.order_source import order_source
from gateway.store.port import Advance, Store
from reconciliation.night_records import Night, NightState, StoredRate
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
NEXT = DAY + timedelta(days=1)
DAY_MS = 86_400_000


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

    async def settle(self, day: date) -> Any:
        clock, posted = SetClock(NEXT_MS), order_source(self.url)
        (kept,) = await settle_day(self.store, clock, day, posted, self.nights)
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


async def _refused(finance: Finance, day: date, code: str) -> str:
    with pytest.raises(Conflict) as refused:
        await finance.settle(day)
    assert refused.value.code == code
    return refused.value.message


async def test_what_a_merchant_owes_is_never_passed_over(finance: Finance) -> None:
    """Days are settled in order: one with postings is left out by none that follows."""
    sale = await _sell(finance.store, 1, START_MS - 3_600_000)
    paid = (await finance.settle(DAY - timedelta(days=1))).payable_fen
    await _reverse(finance.store, sale, START_MS + 1)
    await _sell(finance.store, 2, NEXT_MS)
    await _sell(finance.store, 3, NEXT_MS + DAY_MS)
    assert f"posgate settle --date {DAY}" in await _refused(finance, NEXT, "day_left_out")
    for day in (DAY, NEXT, NEXT + timedelta(days=1)):
        paid += (await finance.settle(day)).payable_fen
    assert paid == 3 * 1990 - 1990


async def test_the_first_day_of_all_is_settled_first(finance: Finance) -> None:
    await _sell(finance.store, 1, START_MS - 40 * DAY_MS)
    await _sell(finance.store, 2, START_MS)
    first = DAY - timedelta(days=40)
    assert str(first) in await _refused(finance, DAY, "day_left_out")
    await finance.settle(first)
    assert (await finance.settle(DAY)).payable_fen == 1990


async def test_a_day_before_the_last_one_is_not_settled_any_more(finance: Finance) -> None:
    await _sell(finance.store, 1, NEXT_MS)
    await finance.settle(NEXT)
    await _sell(finance.store, 2, START_MS)
    assert f"after {NEXT}" in await _refused(finance, DAY, "day_passed")
    await _sell(finance.store, 3, NEXT_MS + DAY_MS)
    after = await finance.settle(NEXT + timedelta(days=1))
    assert (after.payable_fen, after.late_fen) == (3980, 1990)
    assert [one.day for one in after.late] == [DAY]


async def test_a_day_without_a_posting_may_be_asked_for_at_any_time(finance: Finance) -> None:
    await _sell(finance.store, 1, NEXT_MS)
    await finance.settle(NEXT)
    posted = order_source(finance.url)
    assert await settle_day(finance.store, SetClock(NEXT_MS), DAY, posted, finance.nights) == []


async def test_a_posting_that_its_days_statement_came_before_is_the_next_ones(
    finance: Finance,
) -> None:
    await finance.rate(6000)
    first = await _sell(finance.store, 1, START_MS)
    before = await finance.settle(DAY)
    await _sell(finance.store, 2, END_MS - 1)
    await _refund(finance.store, 4, first, 995, END_MS - 1)
    await _sell(finance.store, 3, NEXT_MS)
    assert await finance.settle(DAY) == before
    after = await finance.settle(NEXT)
    assert (after.payments, after.refunds, after.late_fen) == (2, 1, 995)
    assert after.our_fee_fen == 12 + 12 - 6
    (late,) = after.late
    assert (late.day, late.payments, late.refunds, late.our_fee_fen) == (DAY, 1, 1, 6)
    assert before.payable_fen + after.payable_fen == 3 * 1990 - 995 - 12 - 18
    await _sell(finance.store, 5, END_MS - 2)  # of the same day, and later still
    await _sell(finance.store, 6, NEXT_MS + 1)
    last = await finance.settle(NEXT + timedelta(days=1))
    assert [(one.day, one.payments) for one in last.late] == [(DAY, 1), (NEXT, 1)]
    assert (last.payments, last.gross_fen) == (2, 3980)
    assert await finance.revenue_fen() == 5 * 12 - 6


async def test_what_is_late_is_charged_by_the_rates_that_its_day_was_settled_by(
    finance: Finance,
) -> None:
    await _sell(finance.store, 1, START_MS)
    await finance.settle(DAY)
    await finance.rate(6000, created_at_ms=NEXT_MS + 1)
    await _sell(finance.store, 2, END_MS - 1)
    after = await finance.settle(NEXT)
    assert (after.late_fen, after.our_fee_fen) == (1990, 0)


async def test_a_day_whose_settling_died_half_way_is_settled_to_its_end_first(
    finance: Finance,
) -> None:
    """Another merchant has a statement of that day, this one has none."""
    await _sell(finance.store, 1, START_MS - DAY_MS)
    kept = await settle_day(
        finance.store, SetClock(NEXT_MS), DAY - timedelta(days=1), order_source(finance.url),
        finance.nights,
    )  # fmt: skip
    await finance.store.add_statement(replace(kept[0], merchant_no="other", day=DAY))
    await _sell(finance.store, 2, START_MS)
    assert str(DAY) in await _refused(finance, NEXT, "day_left_out")
    both = await settle_day(
        finance.store, SetClock(NEXT_MS), DAY, order_source(finance.url), finance.nights
    )
    assert sorted(one.merchant_no for one in both) == [MERCHANT, "other"]


async def test_a_fee_of_a_day_without_postings_is_borne(finance: Finance) -> None:
    """Sold in the last hour, which is of UnionPay's next clearing day."""
    await finance.rate(0, bears_channel_fee=True)
    await _sell(finance.store, 1, END_MS - 1_800_000)
    finance.fees("a1", DAY, 0)
    assert (await finance.settle(DAY)).payable_fen == 1990
    finance.fees("a1", NEXT, 100_000)
    after = await finance.settle(NEXT)
    assert (after.channel_fee_fen, after.payable_fen, after.carried_out_fen) == (100, 0, -100)


async def test_a_fee_of_a_day_that_was_passed_over_is_the_next_ones(finance: Finance) -> None:
    await finance.rate(0, bears_channel_fee=True)
    await _sell(finance.store, 1, END_MS - 1_800_000)
    await _sell(finance.store, 2, NEXT_MS + DAY_MS)
    for day, mfen in ((DAY, 0), (NEXT, 100_000), (NEXT + timedelta(days=1), 4_000)):
        finance.fees("a1", day, mfen)
    await finance.settle(DAY)
    assert (await finance.settle(NEXT + timedelta(days=1))).payable_fen == 1990 - 104


async def test_a_fee_that_is_ours_to_bear_makes_no_statement(finance: Finance) -> None:
    await finance.rate(0)
    finance.fees("a1", DAY, 100_000)
    posted = order_source(finance.url)
    kept = await settle_day(finance.store, SetClock(NEXT_MS), DAY, posted, finance.nights)
    assert kept == []


async def test_who_bears_the_fee_is_settled_once_it_is_known(finance: Finance) -> None:
    await finance.rate(0, bears_channel_fee=True)
    await _sell(finance.store, 1, START_MS)
    said = await _refused(finance, DAY, "night_not_done")
    assert f"posgate reconcile --date {DAY} --account a1" in said
    finance.fees("a1", DAY, 4_000)
    night = Night(account_id="a1", day=DAY, version=1, state=NightState.CHANGED)
    await finance.store.save_night(night)
    await _refused(finance, DAY, "night_not_done")
    await finance.store.save_night(replace(night, version=2, state=NightState.DONE))
    assert (await finance.settle(DAY)).payable_fen == 1986
    await finance.store.save_night(replace(night, version=3, state=NightState.CHANGED))
    assert (await finance.settle(DAY)).payable_fen == 1986  # it is settled: nothing waits for it


def test_a_day_is_over_once_what_began_in_it_is_written() -> None:
    assert not is_over(DAY, END_MS)
    assert not is_over(DAY, END_MS + GRACE_MS - 1)
    assert is_over(DAY, END_MS + GRACE_MS)
