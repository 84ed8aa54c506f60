"""From a channel's answers to a final state, with a scripted channel and a failing store."""

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from channels.port import Answer, PollSchedule, UndoAnswer, Verdict
from domain.decline import Decline, DeclineReason
from domain.errors import Conflict, Unavailable, Unprocessable
from domain.payment import Event, Payment, Status
from domain.refund import Refund, RefundOrder, RefundStanding, RefundStatus, reserve
from domain.settle import Happened
from gateway import booking as booking_module
from gateway.live import Live, bare_request
from gateway.store.port import RefundClaim, RefundClaimed, Store, TerminalReply
from tests.gateway.fakes import FakeChannel, House, draft
from tests.support.waiting import eventually

PAID = Answer(verdict=Verdict.SUCCEEDED, amount_fen=1990, currency="CNY", trade_no="T1")
LOST = Answer(verdict=Verdict.UNKNOWN)
ACTING = Answer(verdict=Verdict.PENDING)
MISSING = Answer(verdict=Verdict.UNKNOWN, not_found=True)
NO = Answer(verdict=Verdict.DECLINED, reason=DeclineReason.RISK, channel_code="X")
CLOSED = UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=False)
RETURNED = UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=True)
NOT_TOLD = UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=None)
SILENT = UndoAnswer(verdict=Verdict.UNKNOWN)

CANCELLED = Decline(DeclineReason.CANCELLED)


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


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"amount_fen": 1989}, "amount_mismatch"),
        ({"currency": "USD"}, "currency_mismatch"),
        ({"order_no": "OTHER"}, "order_mismatch"),
    ],
)
@pytest.mark.parametrize("call", ["pay", "query"])
async def test_a_contradiction_is_parked(
    house: House, said: dict[str, Any], reason: str, call: str
) -> None:
    """Never paid, never dropped: unknown, counted, logged, and left for a person."""
    wrong = Answer(verdict=Verdict.SUCCEEDED, trade_no="T9", **said)
    house.channel.pays = [wrong if call == "pay" else LOST]
    house.channel.queries = [wrong]
    payment = await house.paid()
    assert payment.standing.status is Status.UNKNOWN
    assert payment.standing.parked_reason == reason
    assert await house.held(payment) == 0
    assert await house.open_jobs() == []
    assert [line["reason"] for line in house.said("payment parked")] == [reason]
    assert b"posgate_parked_total 1.0" in house.metrics.exposition()


@pytest.mark.parametrize("said", [{"amount_fen": 1989}, {"currency": "USD"}])
async def test_a_parked_proof_of_payment_outlasts_a_cancel_that_finds_nothing(
    house: House, said: dict[str, Any]
) -> None:
    """Signed and of this order, though it does not fit: whoever paid must not be forgotten."""
    house.channel.pays = [Answer(verdict=Verdict.SUCCEEDED, trade_no="T9", paid_at_ms=7, **said)]
    house.channel.cancels = [CLOSED]
    payment = await house.paid()
    assert (payment.standing.channel_trade_no, payment.standing.paid_at_ms) == ("T9", 7)
    (line,) = house.said("channel answer needs eyes")
    assert line["trade_no"] == "T9"
    await house.payments.cancel(payment)
    await eventually(lambda: not house.payments.in_flight())
    await eventually(lambda: "cancel" in house.channel.calls)
    await eventually(lambda: len(house.said("payment parked")) == 2)
    now = (await house.now(payment)).standing
    assert (now.status, now.parked_reason) == (
        Status.REVERSING, "undone_as_unpaid_after_payment",
    )  # fmt: skip


async def test_what_is_said_of_another_order_proves_nothing_of_this_one(house: House) -> None:
    house.channel.pays = [
        Answer(verdict=Verdict.SUCCEEDED, amount_fen=1, order_no="OTHER", trade_no="T9")
    ]
    payment = await house.paid()
    standing = payment.standing
    assert standing.parked_reason == "order_mismatch"
    assert (standing.channel_trade_no, standing.paid_at_ms) == ("", 0)


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


async def test_a_deadline_begins_the_undo_and_ends_nothing(store: Store) -> None:
    """After ``till_wait_s`` the state is reversing until the channel answers."""
    house = House(store, till_wait_s=0.1)
    house.channel.pays, house.channel.queries = [ACTING], [ACTING]
    house.channel.cancels = [SILENT]
    payment = await house.paid()
    assert payment.standing.status is Status.REVERSING
    assert payment.standing.decline is not None
    assert payment.standing.decline.reason is DeclineReason.NOT_PAID_IN_TIME


async def test_a_query_that_hangs_does_not_outlast_the_till(store: Store) -> None:
    """The till is told at its deadline, though the channel says nothing."""
    house = House(store, till_wait_s=0.2)
    never = asyncio.Event()

    async def forever() -> Answer:
        await never.wait()
        return PAID

    house.channel.pays, house.channel.queries = [ACTING], [forever]
    live = await house.begun()
    await house.payments.run(live)
    await live.told(10)
    assert live.payment.standing.status in (Status.REVERSING, Status.CLOSED)
    await house.payments.drain(5)


async def test_an_undo_by_somebody_else_wakes_the_one_who_waits(house: House) -> None:
    """A till that waits for its payer hears of the merchant's cancel at once."""
    house.channel.pays, house.channel.queries = [ACTING], [ACTING]
    live = await house.begun()
    await house.payments.run(live)
    told = asyncio.create_task(live.told(30))
    await asyncio.sleep(0)
    await house.payments.cancel(await house.now(live.payment))
    async with asyncio.timeout(5):
        await told
    payment = await house.until(live.payment, "closed")
    assert payment.standing.decline is not None
    assert payment.standing.decline.reason is DeclineReason.CANCELLED
    await house.payments.drain(5)


async def reserved(house: House, payment: Payment) -> None:
    """A refund of a part of it was begun by somebody."""
    after = reserve(payment, 100)
    assert after is not None
    order = RefundOrder(
        id="ref_1", payment_id=payment.order.id, merchant_no="M1", merchant_refund_no="r1",
        fingerprint=b"f", amount_fen=100, currency="CNY", reason="", channel="alipay",
        account_id="a1", channel_refund_no="R1", created_at_ms=1,
    )  # fmt: skip
    refund = Refund(order, RefundStanding(status=RefundStatus.SUBMITTED, version=1))
    change = RefundClaim(refund=refund, payment=Payment(payment.order, after), due_at_ms=2**53)
    assert await house.flaky._real.claim_refund(change) is RefundClaimed.WON


@pytest.mark.parametrize("crossing", [False, True], ids=["before", "crossing"])
async def test_a_payment_with_refunds_is_not_undone(house: House, crossing: bool) -> None:
    """An undo takes it back whole; this one is already going back in parts."""
    payment = await house.paid()

    async def refund_first(_change: Any) -> None:
        await reserved(house, payment)

    if crossing:
        house.flaky.before["advance"] = refund_first
    else:
        await reserved(house, payment)
    asked = payment if crossing else await house.now(payment)
    with pytest.raises(Conflict) as refused:
        await house.payments.cancel(asked)
    assert refused.value.code == "payment_has_refunds"
    now = await house.now(payment)
    assert now.standing.status is Status.SUCCEEDED
    assert now.standing.refunding_fen == 100
    assert "cancel" not in house.channel.calls
    assert await house.open_jobs() == []


async def told(house: House, payment: Payment) -> list[tuple[int, str, str]]:
    """What its merchant is sent: sequence, type, and the state in the body."""
    notices = await house.store.notices(
        merchant_no="M1", payment_id=payment.order.id, state=None, after="", limit=10
    )
    found = sorted((one.notice for one in notices), key=lambda notice: notice.sequence)
    return [
        (notice.sequence, notice.type, orjson.loads(notice.body)["payment"]["status"])
        for notice in found
    ]


async def test_what_the_merchant_is_told_comes_with_the_move(house: House) -> None:
    """One notice for each end, in sequence; none for what is on the way, none without a URL."""
    url = "https://till.example:8443/n"
    payment = await house.paid(notify_url=url)
    assert await told(house, payment) == [(1, "payment.succeeded", "succeeded")]
    house.channel.cancels = [RETURNED]
    await house.payments.cancel(payment)
    payment = await house.until(payment, "reversed")
    assert await told(house, payment) == [
        (1, "payment.succeeded", "succeeded"),
        (2, "payment.reversed", "reversed"),
    ]
    (notice, _) = await house.store.notices(
        merchant_no="M1", payment_id=payment.order.id, state=None, after="", limit=10
    )
    assert notice.notice.endpoint == "M1:till.example:8443"
    silent = await house.paid("k2")
    assert await told(house, silent) == []


class AwayForRenewals:
    """A store that renews no lease; everything else goes through."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if name == "renew":
            return self._away
        return getattr(self._store, name)

    async def _away(self, *_: object, **__: object) -> bool:
        raise Unavailable("the store is away")


def leased_house(store: Store) -> House:
    """A house whose leases cannot be renewed, at a channel that says "acting" for long."""
    schedule = PollSchedule(query_after_s=(0.03, 0.03, 0.03), undo_retry_s=(0.01,))
    away: Any = AwayForRenewals(store)
    house = House(away, FakeChannel(schedule))
    house.channel.pays, house.channel.queries = [ACTING], [ACTING, ACTING, ACTING]
    house.channel.cancels = [CLOSED]
    return house


async def test_a_lease_that_cannot_be_renewed_is_kept_while_it_lasts(store: Store) -> None:
    """Nobody else can have the payment before its end."""
    house = leased_house(store)
    live = await house.begun()
    await house.settlement.settle(live, at_once=False)
    assert house.channel.calls == ["query"] * 3 + ["cancel"]


async def test_a_lease_that_ran_out_is_not_worked_under(store: Store) -> None:
    """Somebody else may have the payment by now: nothing more is sent, recovery goes on."""
    house = leased_house(store)
    live = await house.begun()
    live.leased_until_ms = house.clock.now_ms()
    with pytest.raises(Unavailable):
        await house.settlement.settle(live, at_once=False)
    assert house.channel.calls == []
