"""From a channel's answers to a final state, with a scripted channel and a failing store."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from channels.port import Answer, PollSchedule, UndoAnswer, Verdict
from domain.errors import Unavailable
from domain.payment import Event, Payment, Status
from domain.settle import Happened
from gateway import booking as booking_module
from gateway.channel_requests import bare_request
from gateway.live import Live
from gateway.store.port import Store, TerminalReply
from tests.gateway.fakes import FakeChannel, House, draft
from tests.gateway.scripted import (
    ACTING,
    CANCELLED,
    CLOSED,
    LOST,
    MISSING,
    NO,
    NOT_TOLD,
    PAID,
    RETURNED,
    SILENT,
)
from tests.support.waiting import eventually


def sample_reply(content: bytes) -> TerminalReply:
    return TerminalReply(
        merchant_no="M1", key="t-b-t-0200", fingerprint=b"f", reply_sealed=content, created_at_ms=1
    )


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The store is tried again at once."""
    monkeypatch.setattr(booking_module, "STORE_RETRY_S", (0.001, 0.001))
    yield


@pytest.fixture
def house(store: Store) -> House:
    return House(store)


def history(events: Any) -> list[str]:
    """The states of a payment, one after the other."""
    return [event.status.value for event in events]


@pytest.mark.parametrize(
    ("pays", "queries", "cancels", "status", "held"),
    [
        ([PAID], [], [], "succeeded", 1990),
        ([NO], [], [], "failed", 0),
        ([Answer(verdict=Verdict.NOT_SENT)], [], [], "failed", 0),
        ([LOST], [PAID], [], "succeeded", 1990),
        ([LOST], [NO], [], "failed", 0),
        ([ACTING], [ACTING, ACTING, PAID], [], "succeeded", 1990),
        ([ACTING], [LOST, ACTING, NO], [], "failed", 0),
        ([LOST], [MISSING, PAID], [], "succeeded", 1990),
        ([LOST], [MISSING, MISSING, PAID], [CLOSED], "closed", 0),
        ([LOST], [MISSING], [RETURNED], "reversed", 0),
        ([ACTING], [ACTING], [CLOSED], "closed", 0),
        ([ACTING], [ACTING], [RETURNED], "reversed", 0),
        ([LOST], [MISSING], [NOT_TOLD], "closed", 0),
        ([RuntimeError("defect")], [PAID], [], "succeeded", 1990),
        ([LOST], [RuntimeError("defect"), PAID], [], "succeeded", 1990),
        ([LOST], [MISSING], [RuntimeError("defect"), CLOSED], "closed", 0),
        ([LOST], [MISSING], [SILENT, CLOSED], "closed", 0),
    ],
)
async def test_a_script_ends_where_its_channel_is(
    house: House, pays: Any, queries: Any, cancels: Any, status: str, held: int
) -> None:
    """Paid once, never paid again; the ledger holds what the channel holds."""
    house.channel.pays = pays
    house.channel.queries = queries or house.channel.queries
    house.channel.cancels = cancels or house.channel.cancels
    payment = await house.paid()
    assert payment.standing.status.value == status
    assert await house.held(payment) == held
    assert house.channel.calls.count("pay") == 1


async def test_what_the_channel_is_asked_names_the_order(house: House) -> None:
    """The same number for pay, query and cancel; the amount beside it."""
    house.channel.pays, house.channel.queries = [LOST], [MISSING]
    payment = await house.paid()
    (request,) = house.channel.paid
    assert request.order_no == payment.order.channel_order_no
    assert {ref.order_no for ref in house.channel.refs} == {request.order_no}
    assert {ref.amount_fen for ref in house.channel.refs} == {1990}


async def test_nothing_is_sent_before_the_claim_is_durable(house: House) -> None:
    """Persist, then send: the channel sees an order that the store already shows."""
    seen: list[Payment | None] = []

    async def look() -> Answer:
        (request,) = house.channel.paid
        found = await house.store.payment_by_order("M1", "api", "k1")
        assert found.order.channel_order_no == request.order_no
        seen.append(found)
        return PAID

    house.channel.pays = [look]
    await house.paid()
    assert seen[0] is not None
    assert seen[0].standing.status is Status.SUBMITTED


async def test_a_channel_without_queries_is_undone_at_once(store: Store) -> None:
    """A card link that lost its answer: reversed, never asked."""
    house = House(store, FakeChannel(PollSchedule(query_after_s=(), undo_retry_s=(0.01,))))
    house.channel.pays, house.channel.cancels = [LOST], [RETURNED]
    payment = await house.paid()
    assert payment.standing.status is Status.REVERSED
    assert house.channel.calls == ["pay", "cancel"]


async def test_a_payment_too_young_to_be_undone_is_told_in_time_and_undone_later(
    store: Store,
) -> None:
    """The channel takes no undo before an age: the till hears "reversing" long before that."""
    schedule = PollSchedule(query_after_s=(), undo_retry_s=(0.01,), undo_not_before_s=1.5)
    house = House(store, FakeChannel(schedule))
    house.channel.pays, house.channel.cancels = [LOST], [RETURNED]
    live = await house.begun()
    running = asyncio.create_task(house.payments.run(live))
    await house.until(live.payment, "reversing")
    assert house.channel.calls == ["pay"]
    age_ms = house.clock.now_ms() - live.payment.order.created_at_ms
    assert age_ms < 1500
    payment = await house.until(live.payment, "reversed")
    await running
    assert house.channel.calls == ["pay", "cancel"]
    assert house.clock.now_ms() - payment.order.created_at_ms >= 1500


async def test_an_old_payment_is_undone_without_that_wait(store: Store) -> None:
    schedule = PollSchedule(query_after_s=(1.0,), undo_retry_s=(0.01,), undo_not_before_s=1.0)
    house = House(store, FakeChannel(schedule))
    house.channel.pays, house.channel.cancels = [LOST], [RETURNED]
    started_s = house.clock.monotonic_s()
    payment = await house.paid()
    assert payment.standing.status is Status.REVERSED
    assert 1.0 <= house.clock.monotonic_s() - started_s < 1.9


@pytest.mark.parametrize("silent", [0, 7], ids=["answered", "answered late"])
async def test_a_success_after_the_close_goes_back(house: House, silent: int) -> None:
    """Closed by another process while pay is on its way; the late yes reopens it and goes back.

    However long the second undo stays unanswered: from the yes on it is reversing, and due.
    """
    release = asyncio.Event()

    async def late() -> Answer:
        await release.wait()
        return PAID

    house.channel.pays = [late]
    house.channel.cancels = [*[SILENT] * silent, RETURNED]
    live = await house.begun()
    running = asyncio.create_task(house.payments.run(live))
    elsewhere = Live(live.payment, live.request)
    await house.settlement.begin_undo(elsewhere, house.channel, Event.UNDO, CANCELLED)
    ended = Happened(event=Event.UNDONE_UNPAID, at_ms=house.clock.now_ms())
    await house.settlement.apply(elsewhere, ended, house.channel)
    await house.until(live.payment, "closed")
    release.set()
    await running
    worker = asyncio.create_task(house.recovery().run())
    payment = await house.until(live.payment, "reversed")
    worker.cancel()
    assert history(await house.store.events(payment.order.id)) == [
        "submitted", "reversing", "closed", "reversing", "reversed",
    ]  # fmt: skip
    assert await house.held(payment) == 0
    assert (payment.standing.captured_fen, payment.standing.returned_fen) == (1990, 1990)


async def test_an_undo_waits_for_the_payment_that_is_on_its_way(house: House) -> None:
    """A cancel that overtakes its payment would be told "not found", and that proves nothing."""
    release = asyncio.Event()

    async def late() -> Answer:
        await release.wait()
        return PAID

    house.channel.pays, house.channel.cancels = [late], [RETURNED]
    live = await house.begun()
    running = asyncio.create_task(house.payments.run(live))
    undone = await house.payments.cancel(await house.now(live.payment))
    assert undone.payment.standing.status is Status.REVERSING
    assert house.channel.calls == ["pay"]
    release.set()
    await running
    payment = await house.until(live.payment, "reversed")
    assert house.channel.calls == ["pay", "cancel"]
    assert payment.standing.paid_at_ms > 0
    assert await house.held(payment) == 0


async def test_paid_while_reversing_and_undone_as_unpaid_is_parked(house: House) -> None:
    """The channel said yes and then that nothing was paid: a person looks, nothing is closed."""
    release = asyncio.Event()

    async def late() -> Answer:
        await release.wait()
        return PAID

    house.channel.pays, house.channel.cancels = [late], [CLOSED]
    live = await house.begun()
    running = asyncio.create_task(house.payments.run(live))
    await house.payments.cancel(await house.now(live.payment))
    release.set()
    await running
    await eventually(lambda: house.payments.in_flight() == 0)
    payment = await house.now(live.payment)
    assert payment.standing.status is Status.REVERSING
    assert payment.standing.parked_reason == "undone_as_unpaid_after_payment"


async def test_paid_while_reversing_and_undone_by_who_does_not_tell_went_back(
    house: House,
) -> None:
    """The proof came while the undo was on its way; what is told later is read with it."""
    release = asyncio.Event()

    async def not_told() -> UndoAnswer:
        await release.wait()
        return NOT_TOLD

    house.channel.pays, house.channel.queries, house.channel.cancels = [LOST], [MISSING], [not_told]
    live = await house.begun()
    await house.payments.run(live)
    await eventually(lambda: "cancel" in house.channel.calls)
    elsewhere = _live(await house.now(live.payment))
    await house.settlement.apply_answer(elsewhere, PAID, house.channel)
    release.set()
    await eventually(lambda: house.payments.in_flight() == 0)
    payment = await house.now(live.payment)
    assert (payment.standing.status, payment.standing.parked_reason) == (Status.REVERSED, "")
    assert await house.held(payment) == 0


async def test_a_late_yes_and_an_undo_that_does_not_tell_went_back(house: House) -> None:
    house.channel.pays, house.channel.queries, house.channel.cancels = [LOST], [MISSING], [NOT_TOLD]
    closed = await house.paid()
    assert closed.standing.status is Status.CLOSED
    again = _live(closed)
    await house.settlement.apply_answer(again, PAID, house.channel)
    await house.settlement.settle(again, at_once=True)
    payment = await house.now(closed)
    assert (payment.standing.status, payment.standing.parked_reason) == (Status.REVERSED, "")


async def test_a_reply_kept_elsewhere_does_not_stop_the_move(house: House) -> None:
    """Another process answered the repeat meanwhile: its reply stands, the money still moves."""
    mine, theirs = sample_reply(b"mine"), sample_reply(b"theirs")
    live = await house.begun()
    live.reply_for = lambda *_: mine
    assert await house.store.save_reply(theirs)
    house.channel.pays = [PAID]
    await house.payments.run(live)
    payment = await house.now(live.payment)
    assert payment.standing.status is Status.SUCCEEDED
    kept = await house.store.terminal_reply(mine.merchant_no, mine.key)
    assert kept == theirs
    assert live.reply is None


async def test_a_repeat_is_answered_while_new_payments_are_kept_out(house: House) -> None:
    """Draining refuses what is new; what is known is still told as it is."""
    house.channel.pays = [PAID]
    payment = await house.paid()
    await house.payments.drain(0)
    again = await house.payments.begin(draft())
    assert (again.replayed, again.payment.order.id) == (True, payment.order.id)
    with pytest.raises(Unavailable) as refused:
        await house.payments.begin(draft("another"))
    assert refused.value.nothing_begun


async def test_a_claim_that_took_too_long_sends_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery might already own the payment: paying now could cross its undo."""
    monkeypatch.setattr(booking_module, "LEASE_MARGIN_S", -0.001)
    with pytest.raises(Unavailable) as refused:
        await house.begun()
    assert not refused.value.nothing_begun
    assert house.channel.calls == []
    assert house.payments.in_flight() == 0


async def test_an_undo_is_tried_until_it_is_answered(house: House) -> None:
    """Three times here, then by recovery, for as long as it takes; no state is invented."""
    silence = [SILENT, UndoAnswer(verdict=Verdict.NOT_SENT), UndoAnswer(verdict=Verdict.PENDING)]
    house.channel.pays, house.channel.queries = [LOST], [MISSING]
    house.channel.cancels = [*silence, *silence, SILENT, RETURNED]
    payment = await house.paid()
    assert payment.standing.status is Status.REVERSING
    assert house.channel.calls.count("cancel") == 3
    worker = asyncio.create_task(house.recovery().run())
    payment = await house.until(payment, "reversed")
    worker.cancel()
    assert house.channel.calls.count("cancel") == 8
    assert await house.held(payment) == 0


async def test_an_undo_that_can_never_be_is_parked(house: House) -> None:
    """The channel refuses for good: still reversing, a person is called, nothing is repeated."""
    house.channel.pays, house.channel.queries = [LOST], [MISSING]
    house.channel.cancels = [UndoAnswer(verdict=Verdict.DECLINED)]
    payment = await house.paid()
    assert payment.standing.status is Status.REVERSING
    assert payment.standing.parked_reason == "undo_refused"
    assert await house.open_jobs() == []


async def test_a_success_that_cannot_be_stored_is_told_to_nobody(house: House) -> None:
    """The store is down after pay: a fault for everyone who waits; recovery books it later."""
    house.flaky.down["advance"] = 99
    live = await house.begun()
    repeat = await house.payments.begin(draft())
    assert repeat.live is live
    waiting = asyncio.create_task(live.final(10))
    with pytest.raises(Unavailable):
        await house.payments.run(live)
    await waiting
    assert live.fault is not None
    assert live.payment.standing.status is Status.SUBMITTED
    assert house.payments.in_flight() == 0
    house.flaky.down.clear()
    assert await house.held(live.payment) == 0
    house.channel.queries = [PAID]
    await house.make_due(live.payment)
    worker = asyncio.create_task(house.recovery().run())
    payment = await house.until(live.payment, "succeeded")
    worker.cancel()
    assert await house.held(payment) == 1990
    assert house.channel.calls.count("pay") == 1


async def test_a_store_that_stumbles_is_tried_again(house: House) -> None:
    """A moment of absence after pay is not a fault."""
    house.flaky.down["advance"] = 2
    assert (await house.paid()).standing.status is Status.SUCCEEDED


async def test_a_move_that_lost_meets_what_it_really_finds(house: House) -> None:
    """Another process began an undo between answer and commit: paid, and it goes back."""
    other = House(house.store)
    other.channel.cancels = [SILENT]

    async def overtake(change: Any) -> None:
        payment = await other.now(live.payment)
        await other.payments.cancel(payment)

    live = await house.begun()
    house.flaky.before["advance"] = overtake
    house.channel.cancels = [RETURNED]
    await house.payments.run(live)
    payment = await house.until(live.payment, "reversed")
    statuses = history(await house.store.events(payment.order.id))
    assert "succeeded" not in statuses
    assert await house.held(payment) == 0


async def test_patience_that_ends_does_not_undo_what_was_paid(house: House) -> None:
    """The till gave up in the same moment as the channel said yes: it stays paid."""

    async def paid_meanwhile(change: Any) -> None:
        other = House(house.store)
        fresh = await other.now(live.payment)
        await other.settlement.apply_answer(_live(fresh), PAID, other.channel)

    house.channel.pays, house.channel.queries = [LOST], [MISSING]
    live = await house.begun()
    await house.payments.run(live)
    house.flaky.before["advance"] = paid_meanwhile
    await eventually(lambda: not house.payments.in_flight())
    payment = await house.now(live.payment)
    assert payment.standing.status is Status.SUCCEEDED
    assert "cancel" not in house.channel.calls


def _live(payment: Payment) -> Live:
    return Live(payment, bare_request(payment.order))
