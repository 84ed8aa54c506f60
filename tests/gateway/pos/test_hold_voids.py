"""Releases of a hold, and advices of its completion: told once it is certain."""

import asyncio

import pytest

from channels.card import CardAction
from channels.port import Answer, UndoAnswer, Verdict
from domain.errors import Conflict
from domain.payment import Event, Status
from gateway.pos.refused_numbers import refused_order
from gateway.sources import RandomIds
from gateway.store.port import Store
from tests.gateway.pos.hold_counter import (
    APPROVED,
    AUTH_CODE,
    DECLINED,
    LOST,
    NOT_UNDONE,
    OTHER_CARD,
    REFERENCE,
    SILENT,
    UNDONE,
    HoldCounter,
    proved,
    recovered,
)
from tests.support.waiting import eventually


@pytest.fixture
async def till(store: Store) -> HoldCounter:
    """A counter whose host approves everything."""
    return await HoldCounter(store).opened()


# --- advices


async def test_an_advice_takes_what_is_held(till: HoldCounter) -> None:
    """As the request does; its repeat is the kept reply."""
    hold = await till.held()
    advice = till.advice(hold, 9_000)
    answer = await till.ask(advice)
    assert answer is not None
    assert (answer.mti, answer.text(39), answer.text(38)) == ("0230", "00", AUTH_CODE)
    assert await till.booked_fen(advice) == 9_000
    first = await till.raw(advice)
    assert first == await till.raw(advice)
    assert len(till.host.asked_for(CardAction.COMPLETE)) == 1
    assert await till.code(till.advice(hold, 1)) == "25"


async def test_a_declined_advice_is_told(till: HoldCounter) -> None:
    hold = await till.held()
    till.host.pays = [DECLINED]
    assert await till.code(till.advice(hold)) == "51"


async def test_an_advice_hears_nothing_until_its_outcome_is_certain(store: Store) -> None:
    """The host's answer was lost and the undo is not answered: silence; 98 once it is undone."""
    till = await HoldCounter(store, till_wait_s=-9.5).opened()
    hold = await till.held()
    till.host.pays, till.host.cancels = [LOST, APPROVED], [NOT_UNDONE]
    advice = till.advice(hold)
    assert await till.code(advice) == SILENT
    assert await till.status(advice) == "reversing"
    assert await till.code(advice) == SILENT
    till.host.cancels = [UNDONE]
    await recovered(till, advice, "reversed")
    assert await till.code(advice) == "98"
    assert await till.raw(advice) == await till.raw(advice)
    assert await till.code(till.advice(hold)) == "00"


async def test_an_advice_that_is_undone_in_time_is_told_so(till: HoldCounter) -> None:
    """98, in the commit that ends the undo."""
    hold = await till.held()
    till.host.pays, till.host.cancels = [LOST], [NOT_UNDONE, UNDONE]
    advice = till.advice(hold)
    assert await till.code(advice) == "98"
    assert await till.status(advice) == "reversed"
    assert await till.code(advice) == "98"


# --- voids


async def test_a_void_releases_the_hold(till: HoldCounter) -> None:
    """00 with the F38 that it named; the repeat is the kept reply; nothing is left to complete."""
    hold = await till.held()
    void = till.void(hold)
    answer = await till.ask(void)
    assert answer is not None
    assert (answer.mti, answer.text(39), answer.text(38)) == ("0110", "00", AUTH_CODE)
    assert answer.text(37) == REFERENCE
    assert await till.status(hold) == "closed"
    assert [ref.action for ref in till.host.refs] == [CardAction.AUTHORISE]
    assert await till.raw(void) == await till.raw(void)
    assert till.host.calls.count("cancel") == 1
    assert await till.code(till.completion(hold)) == "25"
    assert await till.code(till.void(hold)) == "25"
    await proved(till)


async def test_a_void_that_does_not_fit_changes_nothing(till: HoldCounter) -> None:
    hold = await till.held()
    assert await till.code(till.void(till.preauth())) == "25"
    assert await till.code(till.void(hold, 9_999)) == "64"
    assert await till.code(till.void(hold, card=OTHER_CARD)) == "14"
    assert await till.status(hold) == "authorized"
    assert "cancel" not in till.host.calls
    assert await till.code(till.completion(hold)) == "00"


async def test_what_is_completed_is_not_released(till: HoldCounter) -> None:
    """22 for a void, a conflict for a reversal or a merchant; the completion stands."""
    hold = await till.held()
    done = till.completion(hold)
    assert await till.code(done) == "00"
    assert await till.code(till.void(hold)) == "22"
    with pytest.raises(Conflict) as refused:
        await till.house.payments.cancel(await till.payment(hold))
    assert refused.value.code == "hold_is_taken"
    assert (await till.status(hold), await till.status(done)) == ("authorized", "succeeded")
    assert "cancel" not in till.host.calls


async def test_a_release_that_is_not_answered_is_told_to_nobody(store: Store) -> None:
    """Silence until the host has answered; the repeat hears 00 then."""
    till = await HoldCounter(store, till_wait_s=-9.5).opened()
    hold = await till.held()
    till.host.cancels = [NOT_UNDONE]
    void = till.void(hold)
    assert await till.code(void) == SILENT
    assert await till.status(hold) == "reversing"
    till.host.cancels = [UNDONE]
    await recovered(till, hold, "closed")
    assert await till.code(void) == "00"


async def test_a_release_that_the_host_refuses_is_for_a_person(till: HoldCounter) -> None:
    """Parked: silence, for nothing is known."""
    hold = await till.held()
    till.host.cancels = [UndoAnswer(verdict=Verdict.DECLINED)]
    assert await till.code(till.void(hold)) == SILENT
    assert (await till.payment(hold)).standing.parked_reason == "undo_refused"


async def test_a_void_that_was_reversed_before_it_came_is_refused(till: HoldCounter) -> None:
    """25, and the hold stands."""
    hold = await till.held()
    void = till.void(hold)
    asked = await till.exchange(void)
    now_ms = till.clock.now_ms()
    order = refused_order(asked, asked.order_key, RandomIds(), now_ms, amount_fen=10_000)
    assert await till.house.payments.refuse_beforehand(order)
    assert await till.code(void) == "25"
    assert await till.status(hold) == "authorized"


async def test_the_number_of_a_payment_is_no_voids(till: HoldCounter) -> None:
    """94: one trace is one thing."""
    hold = await till.held()
    till.terminal.trace -= 1
    assert await till.code(till.void(hold)) == "94"
    assert await till.status(hold) == "authorized"


async def test_a_void_that_came_stands(till: HoldCounter) -> None:
    """What its reversal is told: a release that a crash kept from being begun is begun."""
    hold, done = await till.held(), await till.held()
    void = till.void(hold)
    till.house.flaky.down["advance"] = 99
    assert await till.code(void) == SILENT
    till.house.flaky.down["advance"] = 0
    assert await till.handlers.void_stands(await till.exchange(void))
    await till.until(hold, "closed")
    assert await till.handlers.void_stands(await till.exchange(void))
    assert await till.code(till.completion(done)) == "00"
    assert not await till.handlers.void_stands(await till.exchange(till.void(done)))


async def test_a_hold_that_is_cancelled_while_it_is_made_is_closed(till: HoldCounter) -> None:
    """The reversal wins over the approval that is on its way: 98, released, not completed."""
    answered = asyncio.Event()

    async def slow() -> Answer:
        await answered.wait()
        return APPROVED

    till.host.pays = [slow]
    hold = till.preauth()
    holding = asyncio.create_task(till.code(hold))
    await eventually(lambda: till.host.paid)
    await till.house.payments.cancel(await till.payment(hold))
    answered.set()
    assert await holding == "98"
    await till.until(hold, "closed")
    assert till.host.calls.count("cancel") == 1
    events = [line.event for line in await till.store.events((await till.payment(hold)).order.id)]
    assert events == [Event.SUBMIT, Event.UNDO, Event.AUTHORIZE, Event.UNDONE_UNPAID]
    assert (await till.payment(hold)).standing.status is Status.CLOSED
