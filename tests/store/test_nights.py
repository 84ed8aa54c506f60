"""Nights, differences, rates and statements, on both engines."""

import asyncio
from dataclasses import replace
from datetime import date

from gateway.store.port import Store
from reconciliation.differences import Difference, DifferenceKind, Repair
from reconciliation.entries import Pool, Side, Waiting
from reconciliation.night_records import (
    Deed,
    DifferenceDecision,
    DifferenceState,
    Night,
    NightState,
    StoredDifference,
    StoredRate,
    StoredStatement,
    difference_id,
)
from reconciliation.rates import MerchantRate
from reconciliation.settlement import Late, Statement
from tests.reconciliation.nights import DAY, day, key, pool_of, theirs
from tests.store.conftest import OpenStore

FIRST = Night(account_id="a1", day=DAY, version=1, state=NightState.WAITING, error="not made yet")


def stored(order_no: str, kind: DifferenceKind = DifferenceKind.AMOUNT) -> StoredDifference:
    """An open difference of the sample night."""
    found = Difference(kind=kind, day=DAY, order_no=order_no, ours_fen=1000, theirs_fen=None)
    return StoredDifference(
        id=difference_id("a1", found), account_id="a1", channel="alipay", currency="CNY",
        found=found, opened_at_ms=5, version=1, state=DifferenceState.OPEN, repair=Repair.ADJUST,
    )  # fmt: skip


async def test_a_night_moves_by_compare_and_set(store: Store) -> None:
    assert await store.night("a1", DAY) is None
    assert await store.save_night(FIRST)
    assert not await store.save_night(FIRST)
    moved = replace(FIRST, version=2, state=NightState.REFUSED, error="line 7", updated_at_ms=9)
    assert await store.save_night(moved)
    assert not await store.save_night(replace(moved, error="late"))
    assert await store.night("a1", DAY) == moved


async def test_a_match_is_kept_whole_and_read_back(store: Store) -> None:
    pool = Pool(
        ours=frozenset(
            Waiting(side=side, key=key(number), first_day=day(-1))
            for side in Side
            for number in ("A", "B")
        ),
        theirs=frozenset(theirs("X", "R", fen=7, line=number, fee_mfen=5) for number in (3, 11)),
    )
    found = [stored(f"N{number}") for number in range(5)]
    night = replace(FIRST, state=NightState.MATCHED, totals_json='{"pairs":1}')
    assert await store.save_match(night, found, [Pool(ours=pool.ours), Pool(theirs=pool.theirs)])
    assert await store.night("a1", DAY) == night
    for size in (1, 2, 3, 500):
        assert await pool_of(store, "a1", DAY, size) == pool
    assert await pool_of(store, "a1", day(1)) == Pool()
    first = await store.night_differences("a1", DAY, "", 3)
    rest = await store.night_differences("a1", DAY, first[-1].id, 10)
    assert sorted([*first, *rest], key=lambda one: one.id) == sorted(found, key=lambda one: one.id)
    assert await store.first_matched_day("a1") == DAY
    assert await store.first_matched_day("a2") is None


async def test_a_later_try_replaces_what_an_earlier_one_left_but_not_what_was_decided(
    store: Store,
) -> None:
    decided, gone, stays = stored("A"), stored("B"), stored("C")
    await store.save_match(replace(FIRST, state=NightState.MATCHED), [decided, gone, stays], ())
    proposal = DifferenceDecision(
        difference_id=decided.id, number=1, deed=Deed.PROPOSE, repair=Repair.WRITE_OFF, by="Li",
        why="small", at_ms=7,
    )  # fmt: skip
    moved = replace(decided, version=2, state=DifferenceState.PROPOSED, repair=Repair.WRITE_OFF)
    assert await store.decide_difference(proposal, moved)
    again = replace(FIRST, version=2, state=NightState.MATCHED, bill_sha256="1" * 64)
    assert await store.save_match(again, [decided, stays], ())
    kept = {one.id: one for one in await store.night_differences("a1", DAY, "", 10)}
    assert kept == {decided.id: moved, stays.id: stays}
    assert await store.difference(decided.id) == (moved, [proposal])


async def test_of_two_decisions_about_one_version_one_wins(url: str, open_store: OpenStore) -> None:
    stores = [await open_store(url), await open_store(url)]
    one = stored("A")
    await stores[0].save_match(replace(FIRST, state=NightState.MATCHED), [one], ())

    def decide(store: Store, person: str) -> "asyncio.Future[bool]":
        decision = DifferenceDecision(
            difference_id=one.id, number=1, deed=Deed.PROPOSE, repair=Repair.ADJUST, by=person,
            why="-", at_ms=1,
        )  # fmt: skip
        moved = replace(one, version=2, state=DifferenceState.PROPOSED)
        return asyncio.ensure_future(store.decide_difference(decision, moved))

    won = await asyncio.gather(decide(stores[0], "Li"), decide(stores[1], "Wang"))
    assert sorted(won) == [False, True]
    found = await stores[0].difference(one.id)
    assert found is not None
    assert len(found[1]) == 1


async def test_differences_are_listed_by_where_they_stand(store: Store) -> None:
    late = replace(stored("L", DifferenceKind.LATE), state=DifferenceState.CLOSED)
    await store.save_match(replace(FIRST, state=NightState.MATCHED), [stored("A"), late], ())
    assert [one.found.order_no for one in await store.differences(DifferenceState.OPEN, "", 9)] == [
        "A"
    ]
    assert await store.differences(DifferenceState.CLOSED, "", 9) == [late]
    assert await store.difference("dif_none") is None


def test_a_difference_keeps_its_id_however_often_it_is_found() -> None:
    assert stored("A").id == stored("A").id
    assert stored("A").id != stored("B").id != stored("A", DifferenceKind.STATUS).id


async def test_rates_are_kept_once_for_a_day_channel_and_method(store: Store) -> None:
    rate = StoredRate(
        merchant_no="m1",
        rate=MerchantRate(
            rate_ppm=3800, since=date(2026, 1, 1), min_fen=1, cap_fen=9, channel="wechat",
            method="auth_code", returns_fee=False,
        ),
        bears_channel_fee=True,
        created_at_ms=3,
    )  # fmt: skip
    assert await store.add_rate(rate)
    assert not await store.add_rate(replace(rate, created_at_ms=4))
    later = replace(rate, rate=replace(rate.rate, since=date(2026, 2, 1)))
    assert await store.add_rate(later)
    assert await store.rates("m1") == [rate, later]
    assert await store.rates("m2") == []
    assert await store.fee_bearers() == ["m1"]


async def test_a_statement_is_written_once_and_found_by_the_next_day(store: Store) -> None:
    statement = Statement(
        payments=2, refunds=1, gross_fen=100, refunds_fen=300, channel_fee_fen=1, our_fee_fen=2,
        bears_channel_fee=False, carried_in_fen=-5,
        late=(Late(day=day(-1), payments=1, refunds=0, gross_fen=9, refunds_fen=0, our_fee_fen=1),),
    )  # fmt: skip
    kept = StoredStatement(
        merchant_no="m1", day=DAY, currency="CNY", statement=statement, created_at_ms=4
    )
    assert await store.add_statement(kept)
    assert not await store.add_statement(replace(kept, created_at_ms=5))
    assert await store.statements(DAY) == [kept]
    assert await store.statements(day(1)) == []
    assert await store.last_statement("m1", "CNY", day(1)) == kept
    assert await store.last_statement("m1", "CNY", DAY) is None
    assert await store.last_statement("m1", "USD", day(1)) is None
    assert await store.statements_between(DAY, day(1)) == [kept]
    assert await store.statements_between(day(1), day(2)) == []
    assert await store.last_settled_day(day(1)) == DAY
    assert await store.last_settled_day(DAY) is None
