"""What channels tell unasked: booked once, whenever and however often it comes."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from channels.inbound import InboundReply, InboundRequest, OtherNotice, PaymentWord, RefundWord
from channels.port import Answer, RefundAnswer, Verdict
from domain.payment import Payment, Status
from domain.refund import Refund, RefundStatus
from gateway import booking as booking_module
from gateway.inbound import Inbound, InboundBounds
from gateway.store.port import Store
from tests.gateway.fakes import House, TellingChannel
from tests.gateway.scripted import ACTING, CLOSED, LOST, NO, PAID, RETURNED
from tests.support.waiting import eventually

TAKEN, NOT_TAKEN, FORGED = b"success", b"failure", b""
RETURN_YES = RefundAnswer(verdict=Verdict.SUCCEEDED, amount_fen=500)
RETURN_NO = RefundAnswer(verdict=Verdict.DECLINED)
RETURN_LOST = RefundAnswer(verdict=Verdict.UNKNOWN)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The store is tried again at once."""
    monkeypatch.setattr(booking_module, "STORE_RETRY_S", (0.001, 0.001))
    yield


class TellingHouse(House):
    """A house whose channel also tells."""

    def __init__(self, store: Store, *, within_s: float = 2, most: int = 2000) -> None:
        self.teller = TellingChannel()
        super().__init__(store, self.teller)
        self.inbound = Inbound(
            store=self.store,
            routes=self.routes,
            settlement=self.settlement,
            refund_settlement=self.refund_settlement,
            tell=self.payments.tell_first,
            clock=self.clock,
            metrics=self.metrics,
            log=self.log,
            bounds=InboundBounds(answer_within_s=within_s, max_in_flight=most),
        )

    def says(self, payment: Payment, answer: Answer, *, ask_first: bool = False) -> bytes:
        """A notification about a payment, by its body."""
        number = payment.order.channel_order_no
        body = f"{number} {len(self.teller.words)}".encode()
        self.teller.words[body] = PaymentWord(order_no=number, answer=answer, ask_first=ask_first)
        return body

    def says_refund(
        self, refund: Refund, order_no: str, answer: RefundAnswer, **more: Any
    ) -> bytes:
        """A notification about a refund, by its body."""
        number = refund.order.channel_refund_no
        body = f"{number} {len(self.teller.words)}".encode()
        self.teller.words[body] = RefundWord(
            order_no=order_no, refund_no=number, answer=answer, **more
        )
        return body

    async def hears(self, body: bytes) -> bytes:
        """One notification arrives; what its sender is told."""
        request = InboundRequest(method="POST", headers={}, body=body)
        reply = await self.inbound.receive("alipay", "a1", request)
        assert reply is not None
        return reply.body

    def outcomes(self) -> list[str]:
        """What became of each, in order."""
        return [line["outcome"] for line in self.said("channel notice")]

    async def silent(self) -> Payment:
        """A payment that the channel does not answer, nobody working on it."""
        self.teller.pays = [LOST]
        live = await self.begun()
        await self.settlement.apply_answer(live, LOST, self.teller)
        return await self.now(live.payment)


@pytest.fixture
def house(store: Store) -> TellingHouse:
    return TellingHouse(store)


async def stands(house: House, payment: Payment) -> tuple[Status, int, str]:
    """Its status, what the ledger holds at the channel, and why it is parked."""
    standing = (await house.now(payment)).standing
    return standing.status, await house.held(payment), standing.parked_reason


async def test_a_word_ends_a_payment_that_nobody_answered(house: TellingHouse) -> None:
    payment = await house.silent()
    assert await house.hears(house.says(payment, PAID)) == TAKEN
    assert await stands(house, payment) == (Status.SUCCEEDED, 1990, "")
    assert (await house.now(payment)).standing.channel_trade_no == "T1"
    assert await house.open_jobs() == []
    assert house.outcomes() == ["booked"]


async def test_it_comes_a_thousand_times_at_once_and_once_more(house: TellingHouse) -> None:
    payment = await house.silent()
    body = house.says(payment, PAID)
    replies = await asyncio.gather(*(house.hears(body) for _ in range(1000)))
    assert set(replies) == {TAKEN}, set(house.outcomes())
    bodies = [house.says(payment, PAID) for _ in range(50)]
    replies = await asyncio.gather(*(house.hears(body) for body in (body, *bodies)))
    assert set(replies) == {TAKEN}
    assert await stands(house, payment) == (Status.SUCCEEDED, 1990, "")
    assert house.outcomes().count("booked") == 1
    events = [line.event.value for line in await house.store.events(payment.order.id)]
    assert events.count("paid") == 1


async def test_it_comes_before_the_answer_and_the_till_hears_at_once(house: TellingHouse) -> None:
    """The call to the channel hangs; the notification ends the payment."""
    answered = asyncio.Event()

    async def slow() -> Answer:
        await answered.wait()
        return LOST

    house.teller.pays = [slow]
    live = await house.begun()
    running = asyncio.create_task(house.payments.run(live))
    told = asyncio.create_task(live.told(5))
    await eventually(lambda: house.teller.calls == ["pay"])
    assert await house.hears(house.says(live.payment, PAID)) == TAKEN
    async with asyncio.timeout(1):
        await told
    assert live.payment.standing.status is Status.SUCCEEDED
    answered.set()
    await running
    assert await stands(house, live.payment) == (Status.SUCCEEDED, 1990, "")
    assert house.teller.calls == ["pay"]


@pytest.mark.parametrize("seed", range(20))
async def test_words_in_any_order_end_where_the_best_of_them_is(
    house: TellingHouse, seed: int
) -> None:
    """Paid, acting and unclear words, repeated and shuffled."""
    payment = await house.silent()
    bodies = [house.says(payment, word) for word in (PAID, ACTING, LOST, PAID, ACTING)] * 3
    random.Random(seed).shuffle(bodies)
    for body in bodies:
        assert await house.hears(body) == TAKEN
    assert await stands(house, payment) == (Status.SUCCEEDED, 1990, "")


async def test_money_that_comes_after_the_end_goes_back(house: TellingHouse) -> None:
    house.teller.pays, house.teller.cancels = [NO], [RETURNED]
    payment = await house.paid()
    assert await house.hears(house.says(payment, PAID)) == TAKEN
    assert (await house.now(payment)).standing.status is Status.REVERSING
    worker = asyncio.create_task(house.recovery().run())
    await house.make_some_due([payment])
    await house.until(payment, "reversed")
    worker.cancel()
    assert await stands(house, payment) == (Status.REVERSED, 0, "")


async def test_paid_while_it_is_undone_is_remembered(house: TellingHouse) -> None:
    """The channel then says that it undid nothing paid: a person looks."""
    house.teller.pays, house.teller.queries, house.teller.cancels = [ACTING], [ACTING], [CLOSED]
    gate = asyncio.Event()

    async def undone() -> Any:
        await gate.wait()
        return CLOSED

    house.teller.cancels = [undone]
    live = await house.begun()
    await house.payments.run(live)
    await house.payments.cancel(live.payment)
    await eventually(lambda: "cancel" in house.teller.calls)
    assert await house.hears(house.says(live.payment, PAID)) == TAKEN
    gate.set()
    parked = "undone_as_unpaid_after_payment"

    async def is_parked() -> bool:
        return (await house.now(live.payment)).standing.parked_reason == parked

    await eventually(is_parked)
    await house.payments.drain(2)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (replace(PAID, amount_fen=1989), "amount_mismatch"),
        (replace(PAID, currency="HKD"), "currency_mismatch"),
    ],
)
async def test_a_word_that_contradicts_the_order_is_a_persons(
    house: TellingHouse, word: Answer, reason: str
) -> None:
    payment = await house.silent()
    assert await house.hears(house.says(payment, word)) == TAKEN
    assert await stands(house, payment) == (Status.UNKNOWN, 0, reason)
    assert len(house.said("channel answer needs eyes")) == 2


async def test_a_contradiction_moves_nothing_that_is_paid(house: TellingHouse) -> None:
    payment = await house.paid()
    assert await house.hears(house.says(payment, replace(PAID, amount_fen=1))) == TAKEN
    assert await stands(house, payment) == (Status.SUCCEEDED, 1990, "")


async def test_what_is_refused_changes_nothing(house: TellingHouse) -> None:
    payment = await house.silent()
    before = await house.now(payment)
    assert await house.hears(b"a forgery") == FORGED
    assert await house.now(payment) == before
    assert house.outcomes() == ["refused"]
    assert "a forgery" not in str(house.said("channel notice"))


async def test_a_defect_of_the_adapter_is_not_taken(house: TellingHouse) -> None:
    house.teller.words[b"odd"] = RuntimeError("defect")
    assert await house.hears(b"odd") == NOT_TAKEN
    assert house.outcomes() == ["fault"]


@pytest.mark.parametrize(
    ("word", "reply", "outcome"),
    [
        (PaymentWord(order_no="X" * 32, answer=PAID), NOT_TAKEN, "lost_order"),
        (PaymentWord(order_no="X" * 32, answer=LOST, ask_first=True), NOT_TAKEN, "lost_order"),
        (PaymentWord(order_no="X" * 32, answer=ACTING), TAKEN, "unknown_order"),
        (RefundWord(order_no="X", refund_no="Y", answer=RETURN_YES), TAKEN, "unknown_refund"),
        (OtherNotice(about="a coupon"), TAKEN, "other"),
    ],
)
async def test_what_the_store_does_not_know(
    house: TellingHouse, word: Any, reply: bytes, outcome: str
) -> None:
    """Money of an order that is lost comes again; all else is taken."""
    house.teller.words[b"it"] = word
    assert await house.hears(b"it") == reply
    assert house.outcomes() == [outcome]


async def test_another_channel_and_another_account_are_not_there(house: TellingHouse) -> None:
    request = InboundRequest(method="POST", headers={}, body=b"")
    for channel, account in (("wechat", "a1"), ("alipay", "a2"), ("", "")):
        assert await house.inbound.receive(channel, account, request) is None


async def test_an_order_of_another_account_is_not_this_ones(store: Store) -> None:
    """What one account's key signed says nothing of another account's payments."""
    house = TellingHouse(store)
    payment = await house.silent()
    other = House(store, TellingChannel())
    route = house.routes.told("alipay", "a1")
    assert route is not None
    house.routes._by_account = {"a2": replace(route, account_id="a2")}
    body = house.says(payment, PAID)
    request = InboundRequest(method="POST", headers={}, body=body)
    reply = await house.inbound.receive("alipay", "a2", request)
    assert reply == InboundReply(status=500, body=NOT_TAKEN)
    assert await stands(other, payment) == (Status.UNKNOWN, 0, "")


@pytest.mark.parametrize(
    ("found", "reply", "status"),
    [
        (PAID, TAKEN, Status.SUCCEEDED),
        (NO, TAKEN, Status.FAILED),
        (LOST, NOT_TAKEN, Status.UNKNOWN),
    ],
)
async def test_what_may_not_be_believed_is_asked_first(
    house: TellingHouse, found: Answer, reply: bytes, status: Status
) -> None:
    """The word itself says paid; what the channel answers is booked."""
    payment = await house.silent()
    house.teller.queries = [found]
    assert await house.hears(house.says(payment, PAID, ask_first=True)) == reply
    assert (await house.now(payment)).standing.status is status
    assert house.teller.calls == ["query"]


async def test_a_replay_makes_nobody_call_the_channel(house: TellingHouse) -> None:
    """What is booked is known without asking."""
    payment = await house.paid()
    house.teller.refunds = [RETURN_YES]
    refund = await house.refunded(payment)
    calls = list(house.teller.calls)
    body = house.says(payment, PAID, ask_first=True)
    number = payment.order.channel_order_no
    of_refund = house.says_refund(refund, number, RETURN_LOST, ask_first=True)
    for _ in range(3):
        assert await house.hears(body) == TAKEN
        assert await house.hears(of_refund) == TAKEN
    assert house.outcomes() == ["known"] * 6
    assert house.teller.calls == calls


@pytest.mark.parametrize("call", ["payment_by_channel_order", "advance"])
async def test_a_store_that_is_away_takes_nothing_and_the_repeat_is_booked(
    house: TellingHouse, call: str
) -> None:
    payment = await house.silent()
    house.flaky.down[call] = 3
    body = house.says(payment, PAID)
    replies = [await house.hears(body) for _ in range(4)]
    assert replies[0] == NOT_TAKEN
    assert replies[-1] == TAKEN
    assert await stands(house, payment) == (Status.SUCCEEDED, 1990, "")
    assert house.outcomes()[0] == "store_away"


async def test_taken_is_said_after_the_commit_only(house: TellingHouse) -> None:
    payment = await house.silent()
    committed: list[Status] = []

    async def look(_: Any) -> None:
        committed.append((await house.now(payment)).standing.status)

    house.flaky.after["advance"] = look
    assert await house.hears(house.says(payment, PAID)) == TAKEN
    assert committed == [Status.SUCCEEDED]


async def test_a_slow_store_is_not_waited_for_and_its_commit_counts(store: Store) -> None:
    house = TellingHouse(store, within_s=0.05)
    payment = await house.silent()
    gate = asyncio.Event()

    async def slow(_: Any) -> None:
        await gate.wait()

    house.flaky.before["advance"] = slow
    body = house.says(payment, PAID)
    async with asyncio.timeout(1):
        assert await house.hears(body) == NOT_TAKEN
    assert house.inbound.in_flight() == 1
    gate.set()
    await house.until(payment, "succeeded")
    assert await house.hears(body) == TAKEN
    assert house.outcomes() == ["late", "known"]


async def test_no_more_are_in_flight_than_the_bound(store: Store) -> None:
    house = TellingHouse(store, within_s=0.2, most=2)
    payment = await house.silent()
    gate = asyncio.Event()
    house.teller.queries = [gate.wait]
    bodies = [house.says(payment, PAID, ask_first=True) for _ in range(5)]
    assert await asyncio.gather(*(house.hears(body) for body in bodies)) == [NOT_TAKEN] * 5
    assert sorted(house.outcomes()) == ["full"] * 3 + ["late"] * 2
    assert house.inbound.in_flight() == 2
    await house.inbound.drain(0.05)
    assert house.inbound.in_flight() == 0


async def test_who_hangs_up_does_not_undo_what_was_begun(house: TellingHouse) -> None:
    payment = await house.silent()
    gate = asyncio.Event()

    async def slow(_: Any) -> None:
        await gate.wait()

    house.flaky.before["advance"] = slow
    heard = asyncio.create_task(house.hears(house.says(payment, PAID)))
    await eventually(lambda: house.inbound.in_flight() == 1)
    heard.cancel()
    gate.set()
    await house.until(payment, "succeeded")


async def refunding(house: TellingHouse) -> tuple[Payment, Refund]:
    """A refund that was sent and not answered."""
    house.teller.refunds, house.teller.refund_queries = [RETURN_LOST], [RETURN_LOST]
    payment = await house.paid()
    return payment, await house.refunding(payment)


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (RETURN_YES, RefundStatus.SUCCEEDED, ""),
        (RETURN_NO, RefundStatus.FAILED, ""),
        (replace(RETURN_YES, amount_fen=499), RefundStatus.UNKNOWN, "refund_amount_mismatch"),
    ],
)
async def test_a_word_about_a_refund_ends_it_once(
    house: TellingHouse, answer: RefundAnswer, status: RefundStatus, reason: str
) -> None:
    payment, refund = await refunding(house)
    await eventually(lambda: "query_refund" in house.teller.calls)
    body = house.says_refund(refund, payment.order.channel_order_no, answer)
    for _ in range(3):
        assert await house.hears(body) == TAKEN
    standing = (await house.refund_now(refund)).standing
    assert (standing.status, standing.parked_reason) == (status, reason)
    assert house.outcomes() == ["booked", "known", "known"]
    returned = (await house.now(payment)).standing.returned_fen
    assert returned == (500 if status is RefundStatus.SUCCEEDED else 0)
    await house.refunds.drain(2)


async def test_a_refund_of_another_order_is_a_persons(house: TellingHouse) -> None:
    _, refund = await refunding(house)
    assert await house.hears(house.says_refund(refund, "ANOTHER", RETURN_YES)) == TAKEN
    assert (await house.refund_now(refund)).standing.parked_reason == "refund_order_mismatch"
    await house.refunds.drain(2)


@pytest.mark.parametrize(
    ("found", "reply", "status"),
    [
        (RETURN_YES, TAKEN, RefundStatus.SUCCEEDED),
        (RETURN_LOST, NOT_TAKEN, RefundStatus.UNKNOWN),
    ],
)
async def test_a_refund_that_is_asked_about_first(
    house: TellingHouse, found: RefundAnswer, reply: bytes, status: RefundStatus
) -> None:
    payment, refund = await refunding(house)
    await eventually(lambda: "query_refund" in house.teller.calls)
    await house.refunds.drain(0)
    house.teller.refund_queries = [found]
    number = payment.order.channel_order_no
    body = house.says_refund(refund, number, RETURN_NO, ask_first=True)
    assert await house.hears(body) == reply
    assert (await house.refund_now(refund)).standing.status is status


async def test_a_paid_word_after_a_refund_is_no_second_payment(house: TellingHouse) -> None:
    payment = await house.paid()
    house.teller.refunds = [RETURN_YES]
    await house.refunded(payment)
    assert await house.hears(house.says(payment, PAID)) == TAKEN
    assert await stands(house, payment) == (Status.SUCCEEDED, 1490, "")
