"""Holds and completions from a terminal: held once, taken once."""

import asyncio
from pathlib import Path

import pytest

from channels.card import CardAction, HoldRef
from channels.port import Answer, RefundAnswer, UndoAnswer, Verdict
from domain.settle import Decision
from gateway.cases import Cases
from gateway.channel_requests import bare_request
from gateway.live import Live
from gateway.store.port import Store
from pos_protocol import asks
from pos_protocol.transactions import TransactionKind
from tests.gateway.fakes import FakeChannel
from tests.gateway.pos.hold_counter import (
    APPROVED,
    AUTH_CODE,
    CARD,
    DECLINED,
    LOST,
    NOT_UNDONE,
    OTHER_CARD,
    REFERENCE,
    SILENT,
    UNDONE,
    HoldCounter,
    proved,
)
from tests.support.waiting import eventually

DAY_S = 24 * 3600


@pytest.fixture
async def till(store: Store) -> HoldCounter:
    """A counter whose host approves everything."""
    return await HoldCounter(store).opened()


# --- holds


async def test_a_hold_is_approved_and_books_nothing(till: HoldCounter) -> None:
    """00 with F38; authorized, no ledger line, no job, nobody asks about it."""
    request = till.preauth()
    answer = await till.ask(request)
    assert answer is not None
    assert (answer.mti, answer.text(39), answer.text(38)) == ("0110", "00", AUTH_CODE)
    assert (answer.text(37), answer.text(4)) == (REFERENCE, "000000010000")
    assert await till.status(request) == "authorized"
    assert await till.booked_fen(request) == 0
    assert await till.house.open_jobs() == []
    assert [asked.action for asked in till.host.paid] == [CardAction.AUTHORISE]
    await proved(till)


async def test_a_repeated_hold_is_the_kept_reply(till: HoldCounter) -> None:
    request = till.preauth()
    assert await till.raw(request) == await till.raw(request)
    assert len(till.host.paid) == 1


@pytest.mark.parametrize("kind", [TransactionKind.PREAUTH_ADDITIONAL, TransactionKind.PREAUTH_MOTO])
async def test_every_kind_of_hold_is_a_hold_of_its_own(
    till: HoldCounter, kind: TransactionKind
) -> None:
    """Each is completed by itself, for its own amount."""
    first = await till.held()
    more = till.terminal.ask(asks.by_card(kind, CARD, 2_500))
    assert await till.code(more) == "00"
    assert await till.code(till.completion(more, 2_501)) == "61"
    assert await till.code(till.completion(more, 2_500)) == "00"
    assert await till.status(first) == "authorized"
    assert await till.code(till.completion(first)) == "00"


async def test_a_declined_hold(till: HoldCounter) -> None:
    """The host's own code, and nothing to complete."""
    till.host.pays = [DECLINED, APPROVED]
    request = till.preauth()
    assert await till.code(request) == "51"
    assert await till.status(request) == "failed"
    assert await till.code(till.completion(request)) == "25"


@pytest.mark.parametrize("was_paid", [True, False, None])
async def test_a_lost_answer_is_undone_at_once_and_ends_closed(
    till: HoldCounter, was_paid: bool | None
) -> None:
    """98; the undo is one of a hold, and whatever the host says, nothing was taken."""
    till.host.pays = [LOST]
    till.host.cancels = [UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=was_paid)]
    request = till.preauth()
    assert await till.code(request) == "98"
    await till.until(request, "closed")
    assert [ref.action for ref in till.host.refs] == [CardAction.AUTHORISE]
    assert await till.booked_fen(request) == 0
    await proved(till)


async def test_a_channel_that_holds_nothing_is_never_asked(store: Store) -> None:
    """40, and nothing was begun."""
    till = await HoldCounter(store, FakeChannel()).opened()
    request = till.preauth()
    assert await till.code(request) == "40"
    assert till.host.calls == []
    assert await till.find(request) is None


async def test_an_approval_that_comes_too_late_is_released(till: HoldCounter) -> None:
    """Closed as unknown, then the host says that it holds: undone again, closed again."""
    till.host.pays = [LOST]
    request = till.preauth()
    assert await till.code(request) == "98"
    await till.until(request, "closed")
    payment = await till.payment(request)
    live = Live(payment, bare_request(payment.order))
    await till.house.settlement.apply_answer(live, APPROVED, till.host)
    assert await till.status(request) == "reversing"
    await till.house.settlement.settle(live, at_once=False)
    assert await till.status(request) == "closed"
    assert till.host.calls.count("cancel") == 2
    await proved(till)


@pytest.mark.parametrize("was_paid", [True, False, None])
async def test_a_hold_that_is_cancelled_ends_closed(
    till: HoldCounter, was_paid: bool | None
) -> None:
    """By a reversal or a merchant; no notice of money, no ledger line."""
    till.host.cancels = [UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=was_paid)]
    request = await till.held()
    await till.house.payments.cancel(await till.payment(request))
    await till.until(request, "closed")
    assert await till.booked_fen(request) == 0
    assert await till.code(till.completion(request)) == "25"
    await till.house.payments.cancel(await till.payment(request))
    assert till.host.calls.count("cancel") == 1
    await proved(till)


async def test_a_contradicted_hold_waits_for_a_person(till: HoldCounter) -> None:
    """Another amount: parked, silence; decided as held it can be completed, books nothing."""
    till.host.pays = [Answer(verdict=Verdict.SUCCEEDED, amount_fen=9_999), APPROVED]
    request = till.preauth()
    assert await till.code(request) == SILENT
    payment = await till.payment(request)
    assert payment.standing.parked_reason == "amount_mismatch"
    assert await till.code(till.completion(request)) == "22"
    cases = Cases(store=till.store, clock=till.clock, notices=till.house.notices)
    case_id = f"case_{payment.order.id[4:]}"
    shown = await cases.show(case_id)
    offered = {choice.decision: (choice.status, choice.postings) for choice in shown.choices}
    assert offered[Decision.PAID] == ("authorized", ())
    assert offered[Decision.RETURNED] == offered[Decision.NOT_PAID] == ("closed", ())
    await cases.resolve(case_id, Decision.PAID, by="ops", why="the host shows the hold")
    assert await till.status(request) == "authorized"
    assert await till.code(till.completion(request)) == "00"
    await proved(till)


# --- completions


async def test_a_completion_takes_what_is_held(till: HoldCounter) -> None:
    """A payment of its own, captured like a sale; the hold rests authorized."""
    hold = await till.held()
    request = till.completion(hold, 8_800)
    answer = await till.ask(request)
    assert answer is not None
    assert (answer.mti, answer.text(39), answer.text(38)) == ("0210", "00", AUTH_CODE)
    assert (await till.status(request), await till.status(hold)) == ("succeeded", "authorized")
    assert (await till.booked_fen(request), await till.booked_fen(hold)) == (8_800, 0)
    held = (await till.payment(hold)).order
    (asked,) = till.host.asked_for(CardAction.COMPLETE)
    assert asked.amount_fen == 8_800
    assert asked.original == HoldRef(
        order_no=held.channel_order_no, held_at_ms=held.created_at_ms, auth_code=AUTH_CODE
    )
    await proved(till)


async def test_the_authorisation_code_is_never_stored_in_clear(
    till: HoldCounter, tmp_path: Path
) -> None:
    """It rests sealed in the kept replies only, and no text shows it."""
    hold = await till.held()
    assert await till.code(till.completion(hold)) == "00"
    database = b"".join(file.read_bytes() for file in tmp_path.glob("store.db*"))
    assert (await till.payment(hold)).order.id.encode() in database
    assert AUTH_CODE.encode() not in database
    assert AUTH_CODE not in repr(till.host.asked_for(CardAction.COMPLETE)[0].original)


async def test_a_repeated_completion_is_the_kept_reply(till: HoldCounter) -> None:
    """Taken is not "taken by another" to whoever took it."""
    request = till.completion(await till.held())
    assert await till.raw(request) == await till.raw(request)
    assert len(till.host.asked_for(CardAction.COMPLETE)) == 1


async def test_a_hold_is_completed_once(till: HoldCounter) -> None:
    hold = await till.held()
    assert await till.code(till.completion(hold, 100)) == "00"
    assert await till.code(till.completion(hold, 100)) == "25"
    assert len(till.host.asked_for(CardAction.COMPLETE)) == 1


async def test_a_completion_that_does_not_fit_is_refused(till: HoldCounter) -> None:
    """No such hold, another card, more than held, no hold but a completion: nothing is sent."""
    hold, other = await till.held(), await till.held(card=OTHER_CARD)
    assert await till.code(till.completion(till.preauth())) == "25"
    assert await till.code(till.completion(hold, card=OTHER_CARD)) == "14"
    assert await till.code(till.completion(other)) == "14"
    assert await till.code(till.completion(hold, 10_001)) == "61"
    assert till.host.asked_for(CardAction.COMPLETE) == []
    done = till.completion(hold)
    assert await till.code(done) == "00"
    assert await till.code(till.completion(done)) == "25"


@pytest.mark.parametrize(("days", "code"), [(30, "00"), (31, "22")])
async def test_a_hold_may_be_completed_for_thirty_days(
    till: HoldCounter, days: int, code: str
) -> None:
    hold = await till.held()
    till.clock.later_s = days * DAY_S
    assert await till.code(till.completion(hold)) == code


async def test_a_hold_that_is_not_known_yet_is_not_completed(till: HoldCounter) -> None:
    """22: asking again later makes sense."""
    answered = asyncio.Event()

    async def slow() -> Answer:
        await answered.wait()
        return APPROVED

    till.host.pays = [slow, APPROVED]
    hold = till.preauth()
    holding = asyncio.create_task(till.code(hold))
    await eventually(lambda: till.host.paid)
    assert await till.code(till.completion(hold)) == "22"
    assert await till.code(till.void(hold)) == "22"
    answered.set()
    assert await holding == "00"
    assert await till.code(till.completion(hold)) == "00"


async def test_a_declined_completion_leaves_the_hold_free(till: HoldCounter) -> None:
    hold = await till.held()
    till.host.pays = [DECLINED, APPROVED]
    assert await till.code(till.completion(hold)) == "51"
    again = till.completion(hold)
    assert await till.code(again) == "00"
    assert await till.booked_fen(again) == 10_000


async def test_a_completion_whose_answer_is_lost_is_undone(till: HoldCounter) -> None:
    """98; the undo is a completion's and names the hold; then the hold is free."""
    hold = await till.held()
    till.host.pays, till.host.cancels = [LOST, APPROVED], [UNDONE]
    request = till.completion(hold)
    assert await till.code(request) == "98"
    await till.until(request, "reversed")
    assert [(ref.action, ref.original_no) for ref in till.host.refs] == [
        (CardAction.COMPLETE, (await till.payment(hold)).order.channel_order_no)
    ]
    assert await till.code(till.completion(hold)) == "00"
    await proved(till)


async def test_while_a_completion_is_being_undone_the_hold_is_not_free(till: HoldCounter) -> None:
    """The host may still have taken the money."""
    hold = await till.held()
    till.host.pays, till.host.cancels = [LOST, APPROVED], [NOT_UNDONE]
    assert await till.code(till.completion(hold)) == "98"
    assert await till.code(till.completion(hold)) == "25"
    assert await till.code(till.void(hold)) == "22"


async def test_a_reversed_completion_frees_the_hold(till: HoldCounter) -> None:
    """What its 0400 does: the money goes back to the hold, which can be completed anew."""
    hold = await till.held()
    till.host.cancels = [UNDONE]
    request = till.completion(hold)
    assert await till.code(request) == "00"
    await till.house.payments.cancel(await till.payment(request))
    await till.until(request, "reversed")
    assert till.host.refs[-1].action is CardAction.COMPLETE
    assert await till.booked_fen(request) == 0
    again = till.completion(hold)
    assert await till.code(again) == "00"
    assert (await till.store.completion_of((await till.payment(hold)).order.id)).number == 2
    await proved(till)


async def test_a_refunded_completion_keeps_the_hold_spent(till: HoldCounter) -> None:
    """A void of a completion gives the money back; nothing is held any more."""
    hold = await till.held()
    till.host.refunds = [RefundAnswer(verdict=Verdict.SUCCEEDED)]
    request = till.completion(hold)
    assert await till.code(request) == "00"
    refund = await till.house.refunding(await till.payment(request), "void", 10_000)
    await eventually(lambda: not till.house.refunds.in_flight())
    assert (await till.house.refund_now(refund)).standing.status.value == "succeeded"
    assert await till.code(till.completion(hold)) == "25"
    assert await till.code(till.void(hold)) == "22"


async def test_a_completion_goes_where_the_hold_is(store: Store) -> None:
    """The merchant has an account of its own by now: the hold is at the other one."""
    before = await HoldCounter(store).opened()
    hold = await before.held()
    after = HoldCounter(store, before.host, others={"M0001": FakeChannel()})
    after.terminal.trace = 50
    assert await after.code(after.completion(hold)) == "00"
    assert (await after.payment(hold)).order.account_id == "a1"
