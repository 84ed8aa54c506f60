"""Payments begin: claims, repeats in flight, bounds, and draining."""

import asyncio
from typing import Any

import pytest

from channels.port import Answer
from domain.errors import Conflict, Unavailable, Unprocessable
from domain.payment import Payment, Status
from gateway.store.port import Store
from tests.gateway.fakes import House, draft
from tests.gateway.scripted import (
    ACTING,
    PAID,
)
from tests.support.waiting import eventually


@pytest.fixture
def house(store: Store) -> House:
    return House(store)


@pytest.mark.parametrize("outcome", ["taken", "down"])
async def test_a_repeat_waits_for_the_claim(house: House, outcome: str) -> None:
    """Nobody is shown a payment that the store refused or never wrote."""
    stored: Payment | None = None

    async def trouble(_claim: Any) -> None:
        nonlocal stored
        if outcome == "taken":
            other = House(house.flaky._real)
            stored = (await other.begun()).payment
        await asyncio.sleep(0.05)

    house.flaky.before["claim"] = trouble
    if outcome == "down":
        house.flaky.down["claim"] = 1
    results = await asyncio.gather(
        *(house.payments.begin(draft()) for _ in range(5)), return_exceptions=True
    )
    if outcome == "down":
        assert all(isinstance(result, Unavailable) for result in results)
        assert await house.store.payment_by_order("M1", "api", "k1") is None
    else:
        assert stored is not None
        for begun in results:
            assert not isinstance(begun, BaseException)
            assert begun.replayed
            assert begun.payment.order.id == stored.order.id
    assert house.payments.in_flight() == 0
    assert house.channel.calls == []


async def test_a_number_with_other_content_is_a_conflict_in_flight_and_after(house: House) -> None:
    live = await house.begun()
    for _ in range(2):
        with pytest.raises(Conflict):
            await house.payments.begin(draft(fingerprint=b"other"))
        await house.payments.run(live) if house.payments.in_flight() else None
    repeat = await house.payments.begin(draft())
    assert repeat.replayed
    assert repeat.payment.standing.status is Status.SUCCEEDED


async def test_the_bound_refuses_before_anything_is_written(house: House) -> None:
    """Eight in flight; the ninth is told to come back, a repeat of the first is not."""
    for number in range(8):
        await house.begun(f"k{number}")
    with pytest.raises(Unavailable):
        await house.payments.begin(draft("k9"))
    assert await house.store.payment_by_order("M1", "api", "k9") is None
    assert (await house.payments.begin(draft("k0"))).replayed


async def test_a_merchant_without_an_account_is_told(house: House) -> None:
    with pytest.raises(Unprocessable) as told:
        await house.payments.begin(draft(channel="wechat"))
    assert told.value.code == "channel_not_open"


async def test_a_cancelled_task_leaves_the_order_open(house: House) -> None:
    """Cancelled is not failed: submitted, due later, for recovery."""
    never = asyncio.Event()

    async def forever() -> Answer:
        await never.wait()
        return PAID

    house.channel.pays = [forever]
    live = await house.begun()
    running = asyncio.create_task(house.payments.run(live))
    await eventually(lambda: "pay" in house.channel.calls)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await house.now(live.payment)).standing.status is Status.SUBMITTED
    assert house.payments.in_flight() == 0
    assert await house.open_jobs() == [live.payment.order.id]


@pytest.mark.parametrize(
    ("fault", "level", "event"),
    [
        (Unavailable("the store is down"), "warning", "left to recovery"),
        (ZeroDivisionError(), "error", "background work failed"),
    ],
)
async def test_a_store_that_is_away_is_no_defect_of_the_work_behind_an_answer(
    house: House, fault: Exception, level: str, event: str
) -> None:
    async def fails() -> None:
        raise fault

    house.payments.spawn(fails())
    await eventually(lambda: bool(house.said(event)))
    (line,) = [*house.said("left to recovery"), *house.said("background work failed")]
    assert line["log_level"] == level


async def test_draining_takes_nothing_new_and_waits(house: House) -> None:
    """What is in flight finishes; what does not in time is left open, not failed."""
    house.channel.pays, house.channel.queries = [ACTING], [ACTING, ACTING, PAID]
    live = await house.begun()
    await house.payments.run(live)
    await house.payments.drain(10)
    assert (await house.now(live.payment)).standing.status is Status.SUCCEEDED
    assert not house.payments.accepting()
    with pytest.raises(Unavailable):
        await house.payments.begin(draft("k2"))


async def test_draining_without_patience_leaves_it_to_recovery(house: House) -> None:
    house.channel.pays, house.channel.queries = [ACTING], [ACTING]
    live = await house.begun()
    await house.payments.run(live)
    await asyncio.sleep(0.02)
    await house.payments.drain(0)
    assert (await house.now(live.payment)).standing.status is Status.PENDING
    assert house.payments.in_flight() == 0
    assert len(await house.open_jobs()) == 1
