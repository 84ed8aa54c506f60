"""A channel that is away: nobody is charged, kept waiting or lost; and its return."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from channels.card import CardAction, CardData
from channels.card_abilities import BalanceAnswer, balance_of, takes_action
from channels.port import (
    Answer,
    PaymentRef,
    PollSchedule,
    RefundAnswer,
    RefundRequest,
    UndoAnswer,
    Verdict,
    refunds_of,
)
from domain.errors import ChannelDown
from domain.payment import Payment, Status
from gateway import breaker as breaker_module
from gateway.budget import BudgetedSend
from gateway.channel_requests import bare_request
from gateway.guard import Guard, Protection, guarded
from gateway.store.port import JobKind, Store
from tests.gateway.fakes import FakeChannel, House, draft
from tests.support.payments import sample_order
from tests.support.waiting import eventually

PAID = Answer(verdict=Verdict.SUCCEEDED, amount_fen=1990, currency="CNY", trade_no="T1")
LOST = Answer(verdict=Verdict.UNKNOWN)
UNSENT = Answer(verdict=Verdict.NOT_SENT)
SILENT = UndoAnswer(verdict=Verdict.UNKNOWN)
RETURNED = UndoAnswer(verdict=Verdict.SUCCEEDED, was_paid=True)
ONCE = PollSchedule(query_after_s=(), undo_retry_s=(3600.0,))
"""An undo that was held back would come again by itself in an hour."""
FOR_EVER_S = 1e9


@pytest.fixture(autouse=True)
def loud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Failures in a row need not take a second before a breaker opens."""
    monkeypatch.setattr(breaker_module, "_ROW_S", 0.0)
    yield


def away(store: Store, open_s: float = FOR_EVER_S, **more: Any) -> House:
    """A house whose channel takes two failures to be away."""
    return House(store, breaker=(2, open_s), **more)


async def fallen_silent(house: House) -> None:
    """Two payments that could not be sent: the breaker is open."""
    house.channel.pays = [UNSENT]
    for number in range(2):
        payment = await house.paid(f"silent{number}")
        assert payment.standing.status is Status.FAILED
    assert house.routes.is_down("a1")


async def test_new_payments_are_refused_before_they_exist(store: Store) -> None:
    """At once, with nothing sent and nothing written; and said once in the log."""
    house = away(store)
    await fallen_silent(house)
    house.channel.calls.clear()
    for number in range(5):
        with pytest.raises(ChannelDown) as refused:
            await house.payments.begin(draft(f"new{number}"))
        assert refused.value.nothing_begun
        assert await house.store.payment_by_order("M1", "api", f"new{number}") is None
    assert house.channel.calls == []
    assert house.payments.in_flight() == 0
    assert [line["state"] for line in house.said("breaker turned")] == ["open"]


async def test_a_repeat_is_answered_while_the_channel_is_away(store: Store) -> None:
    house = away(store)
    await house.paid("known")
    await fallen_silent(house)
    repeat = await house.payments.begin(draft("known"))
    assert repeat.replayed
    assert repeat.payment.standing.status is Status.SUCCEEDED


async def test_another_account_goes_on(store: Store) -> None:
    house = away(store, others={"M2": FakeChannel()})
    await fallen_silent(house)
    payment = await house.paid("other", merchant_no="M2")
    assert payment.standing.status is Status.SUCCEEDED


async def test_a_payment_is_the_probe_and_closes_it(store: Store) -> None:
    """One at a time: while it is on its way the next is refused."""
    house = away(store, open_s=1000)
    await fallen_silent(house)
    house.clock.skipped_s += 1000
    release = asyncio.Event()

    async def late() -> Answer:
        await release.wait()
        return PAID

    house.channel.pays = [late]
    probe = await house.begun("probe")
    running = asyncio.create_task(house.payments.run(probe))
    with pytest.raises(ChannelDown):
        await house.payments.begin(draft("second"))
    release.set()
    await running
    house.channel.pays = [PAID]
    assert (await house.paid("third")).standing.status is Status.SUCCEEDED
    assert [line["state"] for line in house.said("breaker turned")] == [
        "open", "half_open", "closed",
    ]  # fmt: skip
    shown = house.metrics.exposition().decode()
    assert 'posgate_breaker_state{account="a1"} 0.0' in shown
    assert 'posgate_breaker_turns_total{account="a1",state="open"} 1.0' in shown


async def test_readiness_shows_it(store: Store) -> None:
    house = away(store)
    assert house.routes.health()["a1"].ready
    await fallen_silent(house)
    health = house.routes.health()["a1"]
    assert (health.ready, health.detail) == (False, "breaker open")


async def test_a_live_payment_keeps_to_its_tills_time(store: Store) -> None:
    """Nobody is asked, the undo begins when patience ends, and nothing is closed by it."""
    house = away(store, till_wait_s=0.5)
    house.channel.schedule = PollSchedule(query_after_s=(0.1,) * 99, undo_retry_s=(3600.0,))
    live = await house.begun("lost")
    house.channel.pays = [UNSENT]
    for number in range(2):
        await house.payments.run(await house.begun(f"silent{number}"))
    assert house.routes.is_down("a1")
    house.channel.pays = [LOST]
    await house.payments.run(live)
    await live.told(60)
    await eventually(lambda: not house.payments.in_flight())
    payment = await house.now(live.payment)
    assert payment.standing.status is Status.REVERSING
    assert "query" not in house.channel.calls
    assert "cancel" not in house.channel.calls
    assert payment.order.id in await house.open_jobs()


async def held_back(house: House, count: int) -> list[Payment]:
    """Payments whose undo nobody answered; the channel is away."""
    house.channel.schedule = ONCE
    house.channel.pays, house.channel.cancels = [LOST], [SILENT]
    lives = [await house.begun(f"k{number}") for number in range(count)]
    await asyncio.gather(*(house.payments.run(live) for live in lives))
    await eventually(lambda: not house.payments.in_flight())
    assert house.routes.is_down("a1")
    return [await house.now(live.payment) for live in lives]


async def test_recovery_leaves_a_lane_alone_whose_channel_is_away(store: Store) -> None:
    house = away(store)
    payments = await held_back(house, 5)
    for payment in payments:
        await house.make_due(payment)
    house.channel.calls.clear()
    worker = asyncio.create_task(house.recovery().run())
    await asyncio.sleep(0.1)
    worker.cancel()
    assert house.channel.calls == []
    assert len(await house.open_jobs()) == 5
    jobs = await house.store.jobs(JobKind.SETTLE, "", 10)
    assert {job.tries for job in jobs} == {0}


async def test_one_probe_at_a_time_and_then_everything_at_once(store: Store) -> None:
    """What was given back for an hour is due when the channel is back."""
    house = away(store, open_s=1000)
    payments = await held_back(house, 7)
    at_once, most = 0, 0

    async def alone() -> UndoAnswer:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        return SILENT

    house.channel.cancels = [alone, alone, alone, alone, RETURNED]
    worker = asyncio.create_task(house.recovery().run())
    while house.routes.is_down("a1"):
        await house.make_some_due(payments[:3])
        await asyncio.sleep(0.01)
        house.clock.skipped_s += 0 if at_once else 1000
    assert most == 1
    for payment in payments:
        ended = await house.until(payment, "reversed")
        assert await house.held(ended) == 0
    worker.cancel()
    assert house.channel.calls.count("cancel") == 4 + 7


async def test_no_payment_is_failed_by_a_question_that_was_not_sent(store: Store) -> None:
    """A crash left it submitted: perhaps it is paid. "Not sent" is the query's fate, not its."""
    house = House(store)
    live = await house.begun()
    house.payments._forget(live)
    await house.make_due(live.payment)
    house.channel.queries = [UNSENT, UNSENT, PAID]
    house.channel.cancels = [SILENT]
    worker = asyncio.create_task(house.recovery().run())
    await eventually(lambda: "query" in house.channel.calls)
    payment = await house.until(live.payment, "succeeded", "unknown", "reversing")
    worker.cancel()
    assert payment.standing.status is not Status.FAILED


class RefundingChannel(FakeChannel):
    """One that can refund."""

    def __init__(self, answer: RefundAnswer) -> None:
        super().__init__()
        self.answer = answer

    def new_refund_no(self) -> str:
        return "R1"

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        self.calls.append("refund")
        return self.answer

    async def query_refund(self, request: RefundRequest) -> RefundAnswer:
        self.calls.append("query_refund")
        return self.answer


def guard_of(house: House, failures: int = 2, budget: BudgetedSend | None = None) -> Guard:
    protection = Protection(
        failures=failures, open_s=FOR_EVER_S, clock=house.clock, metrics=house.metrics,
        log=house.log,
    )  # fmt: skip
    return protection.guard("r1", budget)


async def test_refunds_are_guarded_too(store: Store) -> None:
    """They count, and while the channel is away they are not sent."""
    order = sample_order(1)
    payment = PaymentRef(order_no="X", amount_fen=1, currency="CNY", created_at_ms=0)
    request = RefundRequest(
        refund_no="R1", payment=payment, amount_fen=1, currency="CNY", reason="", created_at_ms=0
    )
    raw = RefundingChannel(RefundAnswer(verdict=Verdict.UNKNOWN))
    channel = guarded(raw, guard_of(House(store)))
    able = refunds_of(channel)
    assert able is not None
    assert able.new_refund_no() == "R1"
    assert (await able.refund(request)).verdict is Verdict.UNKNOWN
    assert (await able.query_refund(request)).verdict is Verdict.UNKNOWN
    assert raw.calls == ["refund", "query_refund"]
    assert (await able.refund(request)).verdict is Verdict.NOT_SENT
    assert (await able.query_refund(request)).verdict is Verdict.UNKNOWN
    assert not (await able.query_refund(request)).not_found
    assert (await channel.query(payment)).verdict is Verdict.UNKNOWN
    assert (await channel.cancel(payment)).verdict is Verdict.NOT_SENT
    assert raw.calls == ["refund", "query_refund"]
    assert not channel.health().ready
    await channel.pay(bare_request(order))
    assert channel.health().ready


UNASKABLE = PollSchedule(query_after_s=(), undo_retry_s=(1.0,))


async def test_what_a_channel_says_without_being_asked_tells_nothing_of_it(store: Store) -> None:
    """No query: its "send it again" neither counts, nor waits, nor closes a breaker."""
    request = RefundRequest(
        refund_no="R1",
        payment=PaymentRef(order_no="X", amount_fen=1, currency="CNY", created_at_ms=0),
        amount_fen=1,
        currency="CNY",
        reason="",
        created_at_ms=0,
    )
    raw = RefundingChannel(RefundAnswer(verdict=Verdict.UNKNOWN))
    raw.schedule = UNASKABLE
    channel = guarded(raw, guard_of(House(store)))
    able = refunds_of(channel)
    assert able is not None
    for _ in range(2):
        await able.refund(request)
    raw.answer = RefundAnswer(verdict=Verdict.UNKNOWN, not_found=True)
    assert (await able.query_refund(request)).not_found
    assert not channel.health().ready


class CardLikeChannel(RefundingChannel):
    """One that holds and tells balances, too."""

    def takes(self, action: CardAction) -> bool:
        return action is not CardAction.COMPLETE

    async def balance(self, card: CardData) -> BalanceAnswer:
        self.calls.append("balance")
        return BalanceAnswer(verdict=Verdict.UNKNOWN)


async def test_balances_are_guarded_and_what_is_taken_shows_through(store: Store) -> None:
    raw = CardLikeChannel(RefundAnswer(verdict=Verdict.UNKNOWN))
    channel = guarded(raw, guard_of(House(store)))
    able, card = balance_of(channel), CardData(pan="9900000000000010", entry_mode="021")
    assert able is not None and refunds_of(channel) is not None
    taken = {action for action in CardAction if takes_action(channel, action)}
    assert taken == set(CardAction) - {CardAction.COMPLETE}
    for _ in range(2):
        assert (await able.balance(card)).verdict is Verdict.UNKNOWN
    assert (await able.balance(card)).verdict is Verdict.NOT_SENT
    assert raw.calls == ["balance", "balance"]


class TellingChannel(FakeChannel):
    """One that tells balances and cannot refund."""

    async def balance(self, card: CardData) -> BalanceAnswer:
        return BalanceAnswer(verdict=Verdict.SUCCEEDED)


async def test_a_guard_adds_no_ability(store: Store) -> None:
    told, plain = (
        guarded(raw, guard_of(House(store))) for raw in (TellingChannel(), FakeChannel())
    )
    assert (refunds_of(told), balance_of(plain)) == (None, None)
    assert balance_of(told) is not None
    assert [action for action in CardAction if takes_action(plain, action)] == [CardAction.SALE]


async def test_a_channel_that_cannot_refund_cannot_behind_its_guard(store: Store) -> None:
    assert refunds_of(guarded(FakeChannel(), guard_of(House(store)))) is None


async def test_a_defect_of_an_adapter_tells_nothing_of_the_channel(store: Store) -> None:
    house = away(store)
    house.channel.pays, house.channel.queries = [RuntimeError("defect")], [PAID]
    for number in range(4):
        assert (await house.paid(f"k{number}")).standing.status is Status.SUCCEEDED
    assert not house.routes.is_down("a1")


async def test_a_code_that_no_table_knows_is_counted_and_named(store: Store) -> None:
    """A listed one is not, whatever it says."""
    house = away(store)
    house.channel.pays = [
        Answer(verdict=Verdict.UNKNOWN, channel_code="ACQ.NEW", answered=True, unlisted=True)
    ]
    house.channel.queries = [
        Answer(verdict=Verdict.UNKNOWN, channel_code="OLD", answered=True),
        PAID,
    ]
    await house.paid()
    (line,) = house.said("unlisted code")
    assert (line["account_id"], line["code"]) == ("a1", "ACQ.NEW")
    shown = house.metrics.exposition().decode()
    assert 'posgate_unlisted_codes_total{account="a1"} 1.0' in shown
