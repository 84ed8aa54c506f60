"""Every retry is bounded: what nobody settles in its time is parked for a person, never closed."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from channels.port import Answer, UndoAnswer, Verdict
from domain.payment import Payment, Status
from domain.settle import Decision
from gateway import breaker as breaker_module
from gateway.cases import Cases
from gateway.channel_requests import bare_request
from gateway.live import Live
from gateway.store.port import JobKind, Store
from tests.gateway.fakes import DAY_S, FakeChannel, House
from tests.support.waiting import eventually

PAID = Answer(verdict=Verdict.SUCCEEDED, amount_fen=1990, currency="CNY", trade_no="T1")
LOST = Answer(verdict=Verdict.UNKNOWN)
MISSING = Answer(verdict=Verdict.UNKNOWN, not_found=True)
SILENT = UndoAnswer(verdict=Verdict.UNKNOWN)
FOR_EVER_S = 1e9
REVERSING = Status.REVERSING


@pytest.fixture
def house(store: Store) -> House:
    return House(store)


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Failures in a row need not take a second before a breaker opens."""
    monkeypatch.setattr(breaker_module, "_ROW_S", 0.0)
    yield


def stands(payment: Payment) -> tuple[Status, str]:
    return payment.standing.status, payment.standing.parked_reason


async def undoing(house: House) -> Payment:
    """A payment whose undo began, and that nobody has answered yet."""
    house.channel.pays, house.channel.queries = [LOST], [MISSING]
    house.channel.cancels = [SILENT]
    payment = await house.paid()
    assert stands(payment) == (REVERSING, "")
    return payment


async def abandoned(house: House, **changes: Any) -> Payment:
    """A payment of a process that died; the job is due."""
    live = await house.begun(**changes)
    house.payments._forget(live)
    await house.make_due(live.payment)
    return live.payment


async def taken_up(house: House, payment: Payment) -> Payment:
    """One turn of a worker that leased it."""
    job = await house.leased(JobKind.SETTLE)
    live = Live(await house.now(payment), bare_request(payment.order), fence=job.fence)
    await house.settlement.settle(live, at_once=True)
    return await house.now(payment)


async def parked_by_recovery(house: House, payment: Payment) -> Payment:
    """As recovery leaves it."""
    worker = asyncio.create_task(house.recovery(lease_s=0.1).run())
    await eventually(lambda: bool(house.said("payment parked")))
    worker.cancel()
    return await house.now(payment)


async def test_an_undo_that_nobody_answers_is_parked_in_the_end(house: House) -> None:
    """Tried again until its time is over, and then a person is called."""
    payment = await undoing(house)
    house.clock.later_s = DAY_S - 60
    assert stands(await taken_up(house, payment)) == (REVERSING, "")
    house.clock.later_s = DAY_S + 60
    assert stands(await taken_up(house, payment)) == (REVERSING, "undo_not_answered")
    assert house.channel.calls.count("cancel") == 9
    assert await house.open_jobs() == []


@pytest.mark.usefixtures("loud")
async def test_so_it_is_where_every_probe_of_an_away_channel_fails(store: Store) -> None:
    """The breaker cuts each turn short after one call; that must not keep it open for ever."""
    house = House(store, breaker=(1, 0.02))
    payment = await undoing(house)
    house.clock.later_s = DAY_S + 60
    parked = await parked_by_recovery(house, payment)
    assert stands(parked) == (REVERSING, "undo_not_answered")


async def test_so_it_is_where_no_call_goes_through_at_all(store: Store) -> None:
    house = House(store, breaker=(1, FOR_EVER_S))
    payment = await undoing(house)
    house.fall_silent()
    calls = list(house.channel.calls)
    assert stands(await taken_up(house, payment)) == (REVERSING, "")
    house.clock.later_s = DAY_S + 60
    assert stands(await taken_up(house, payment)) == (REVERSING, "undo_not_answered")
    assert house.channel.calls == calls


@pytest.mark.parametrize("begun", [False, True], ids=["not asked about", "being undone"])
async def test_a_payment_whose_account_is_gone_is_parked_in_the_end(
    store: Store, begun: bool
) -> None:
    """No process has it any more; a person hears of it, and finds out what became of it."""
    first = House(store, others={"M2": FakeChannel()})
    payment = await abandoned(first, merchant_no="M2")
    if begun:
        await first.payments.cancel(payment)
        await first.until(payment, "reversing")
        await first.payments.drain(0)
    house = House(store)
    house.clock.later_s = 60
    live = Live(await house.now(payment), bare_request(payment.order))
    await house.settlement.settle(live, at_once=True)
    status, reason = stands(await house.now(payment))
    assert (status in (Status.SUBMITTED, REVERSING), reason) == (True, "")
    house.clock.later_s = DAY_S + 600
    parked = await parked_by_recovery(house, payment)
    assert stands(parked) == (REVERSING if begun else Status.UNKNOWN, "account_gone")
    assert await house.open_jobs() == []


async def test_patience_counts_from_when_the_undo_began(house: House) -> None:
    """A payment of yesterday that is cancelled today is not parked at the first silence."""
    house.channel.pays, house.channel.cancels = [PAID], [SILENT]
    payment = await house.paid()
    house.clock.later_s = DAY_S + 3600
    await house.payments.cancel(payment)
    await eventually(lambda: house.channel.calls.count("cancel") == 3)
    assert stands(await taken_up(house, payment)) == (REVERSING, "")
    house.clock.later_s += DAY_S
    assert stands(await taken_up(house, payment)) == (REVERSING, "undo_not_answered")


async def test_a_person_who_sends_it_back_gives_it_new_patience(house: House) -> None:
    payment = await undoing(house)
    house.clock.later_s = DAY_S + 60
    await taken_up(house, payment)
    cases = Cases(store=house.store, clock=house.clock, notices=house.notices)
    (case,) = await house.store.cases(is_open=True, after="", limit=9)
    await cases.resolve(case.case_id, Decision.RETRY, by="wang", why="the channel is back")
    assert stands(await taken_up(house, payment)) == (REVERSING, "")
    house.clock.later_s += DAY_S
    assert stands(await taken_up(house, payment)) == (REVERSING, "undo_not_answered")


async def test_past_its_tills_time_the_undo_is_begun_though_nobody_can_be_asked(
    store: Store,
) -> None:
    """Written down before it is given back: its till and its merchant hear that it is undone."""
    house = House(store, breaker=(1, FOR_EVER_S))
    payment = await abandoned(house)
    house.fall_silent()
    assert stands(await taken_up(house, payment)) == (Status.SUBMITTED, "")
    house.clock.later_s = 3600
    assert stands(await taken_up(house, payment)) == (REVERSING, "")
    assert house.channel.calls == []
    assert await house.open_jobs() == [payment.order.id]
