"""A late yes that crosses the undo on its way: what the undo did not see goes back all the same."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from channels.card import CardAction
from channels.port import Answer, PaymentRef, PayRequest, PollSchedule, UndoAnswer, Verdict
from domain.payment import HOLD_METHOD, Payment, Status
from gateway.channel_requests import bare_request
from gateway.live import Live
from gateway.store.port import Store
from tests.gateway.fakes import FakeChannel, House
from tests.gateway.scripted import CLOSED, LOST, PAID, RETURNED
from tests.support.waiting import eventually

QUICK = PollSchedule(query_after_s=(), undo_retry_s=(0.01, 0.01, 0.02))
TELLS = [True, None]
"""A channel says whether its undo returned anything, or does not."""


class Host(FakeChannel):
    """Takes whatever a card may do."""

    def takes(self, action: CardAction) -> bool:
        return True


class SlowHost(Host):
    """Gives back what it has when an undo reaches it; its answer takes its time."""

    def __init__(self, *, tells: bool | None) -> None:
        super().__init__(QUICK)
        self.held_fen, self.says, self._tells = 0, LOST, tells
        self.answers = asyncio.Event()

    async def pay(self, request: PayRequest) -> Answer:
        self.calls.append("pay")
        return self.says

    async def cancel(self, ref: PaymentRef) -> UndoAnswer:
        self.calls.append("cancel")
        found_fen, self.held_fen = self.held_fen, 0
        await self.answers.wait()
        was_paid = found_fen > 0 if self._tells else None
        return UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=was_paid)


async def crossed(house: House, host: SlowHost, word: Answer, **what: Any) -> Payment:
    """Its undo finds nothing; the host takes the money, and its yes is heard before the undo's."""
    live = await house.begun(**what)
    await house.payments.run(live)
    await eventually(lambda: "cancel" in host.calls)
    host.held_fen = live.payment.order.amount_fen
    late = Live(await house.now(live.payment), live.request)
    await house.settlement.apply_answer(late, word, host)
    host.answers.set()
    await eventually(lambda: not house.payments.in_flight())
    return await house.now(live.payment)


@pytest.mark.parametrize("tells", TELLS)
async def test_a_sale_that_comes_after_its_reversal_goes_back(
    store: Store, tells: bool | None
) -> None:
    """The undo is asked for again: what it said first was true before the money was taken."""
    host = SlowHost(tells=tells)
    house = House(store, host)
    ended = await crossed(house, host, PAID)
    assert host.held_fen == 0
    assert (ended.standing.status, ended.standing.parked_reason) == (Status.REVERSED, "")
    assert await house.held(ended) == 0
    assert host.calls == ["pay", "cancel", "cancel"]


@pytest.mark.parametrize("tells", TELLS)
@pytest.mark.parametrize("reference", ["", "R1"])
async def test_a_hold_that_comes_after_its_reversal_is_released(
    store: Store, tells: bool | None, reference: str
) -> None:
    """Nothing was taken, and it ends closed; the payer's money is frozen no more."""
    host = SlowHost(tells=tells)
    house = House(store, host)
    yes = replace(PAID, reference=reference)
    ended = await crossed(house, host, yes, method=HOLD_METHOD, action=CardAction.AUTHORISE)
    assert host.held_fen == 0
    assert (ended.standing.status, ended.standing.parked_reason) == (Status.CLOSED, "")
    assert host.calls == ["pay", "cancel", "cancel"]


async def test_a_yes_to_a_hold_that_is_known_is_no_news(store: Store) -> None:
    """Told twice, it is released once."""
    host = SlowHost(tells=True)
    house = House(store, host)
    host.says = replace(PAID, reference="R1")
    held = await house.paid(method=HOLD_METHOD, action=CardAction.AUTHORISE)
    host.held_fen = held.order.amount_fen
    await house.payments.cancel(held)
    await eventually(lambda: "cancel" in host.calls)
    undone = Live(await house.now(held), bare_request(held.order))
    assert undone.payment.standing.status is Status.REVERSING
    await house.settlement.apply_answer(undone, host.says, host)
    host.answers.set()
    await house.payments.drain(2)
    assert (await house.now(held)).standing.status is Status.CLOSED
    assert host.calls == ["pay", "cancel"]


@pytest.fixture
def slow_undo() -> asyncio.Event:
    """Lets the answer to the first undo of :func:`undone_slowly` come."""
    return asyncio.Event()


async def undone_slowly(
    house: House, slow_undo: asyncio.Event, then: UndoAnswer, **what: Any
) -> Live:
    """Its answer was lost; its undo is under way and found nothing, the next one finds ``then``."""

    async def found_nothing() -> UndoAnswer:
        await slow_undo.wait()
        return CLOSED

    house.channel.pays, house.channel.cancels = [LOST], [found_nothing, then]
    live = await house.begun(**what)
    await house.payments.run(live)
    await eventually(lambda: "cancel" in house.channel.calls)
    return live


async def hears(house: House, live: Live, word: Answer) -> None:
    """Another process hears a late word."""
    late = Live(await house.now(live.payment), live.request)
    await house.settlement.apply_answer(late, word, house.channel)


async def ended(house: House, live: Live) -> tuple[Status, str]:
    """Where it stands once nobody here works on it."""
    await eventually(lambda: not house.payments.in_flight())
    standing = (await house.now(live.payment)).standing
    return standing.status, standing.parked_reason


async def test_an_undo_that_was_asked_for_before_another_one_ended_parks_nothing(
    store: Store, slow_undo: asyncio.Event
) -> None:
    """Closed by another process, reopened by a late yes: its old "nothing was paid" is no news."""
    house, other = House(store, FakeChannel(QUICK)), House(store, FakeChannel(QUICK))
    live = await undone_slowly(house, slow_undo, RETURNED)
    other.channel.cancels = [CLOSED]
    elsewhere = Live(await house.now(live.payment), live.request)
    await other.settlement._undo(elsewhere, other.channel)
    assert (await house.now(live.payment)).standing.status is Status.CLOSED
    await hears(other, live, PAID)
    slow_undo.set()
    assert await ended(house, live) == (Status.REVERSED, "")


async def test_who_still_says_unpaid_when_asked_after_the_yes_is_a_persons(
    store: Store, slow_undo: asyncio.Event
) -> None:
    """Asked again, knowing that it was paid: two words of one channel that cannot both be true."""
    house = House(store, FakeChannel(QUICK))
    live = await undone_slowly(house, slow_undo, CLOSED)
    await hears(house, live, PAID)
    slow_undo.set()
    parked = (Status.REVERSING, "undone_as_unpaid_after_payment")
    assert await ended(house, live) == parked
    assert house.channel.calls.count("cancel") == 2


async def test_a_yes_that_is_a_persons_is_not_closed_by_an_undo_asked_for_before_it(
    store: Store, slow_undo: asyncio.Event
) -> None:
    """A hold of another amount: the old "nothing was there" says nothing of it."""
    house = House(store, Host(QUICK))
    live = await undone_slowly(
        house, slow_undo, CLOSED, method=HOLD_METHOD, action=CardAction.AUTHORISE
    )
    await hears(house, live, replace(PAID, amount_fen=1, reference="R1"))
    slow_undo.set()
    assert await ended(house, live) == (Status.REVERSING, "amount_mismatch")
