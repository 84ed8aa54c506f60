"""A refund to its end: sent once, believed when it must be, parked when nobody settles it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from channels.port import Answer, PollSchedule, RefundAnswer, Verdict
from domain.decline import DeclineReason
from domain.payment import Payment
from domain.refund import Refund, RefundStatus
from gateway.store.port import Job, JobKind, Store
from tests.gateway.fakes import DAY_S, FakeChannel, House, RefundingChannel
from tests.support.waiting import eventually

PAID = Answer(verdict=Verdict.SUCCEEDED, amount_fen=1990, currency="CNY", trade_no="T1")
YES = RefundAnswer(verdict=Verdict.SUCCEEDED)
NO = RefundAnswer(verdict=Verdict.DECLINED, reason=DeclineReason.NOT_PERMITTED, channel_code="X")
LOST = RefundAnswer(verdict=Verdict.UNKNOWN)
UNSENT = RefundAnswer(verdict=Verdict.NOT_SENT)
MISSING = RefundAnswer(verdict=Verdict.UNKNOWN, not_found=True)
WRONG = RefundAnswer(verdict=Verdict.SUCCEEDED, amount_fen=1)
FOR_EVER_S = 1e9
ONCE = PollSchedule(query_after_s=(0.01,), undo_retry_s=(0.01,), refund_retry_s=(0.01,))
TWICE = PollSchedule(query_after_s=(0.01,), undo_retry_s=(0.01,), refund_retry_s=(0.01, 0.01))


class RefundHouse(House):
    """A house whose channel can refund."""

    def __init__(self, store: Store, breaker: tuple[int, float] | None = None) -> None:
        self.refunder = RefundingChannel(ONCE)
        super().__init__(store, self.refunder, breaker=breaker)

    def asked(self) -> list[str]:
        """The calls about refunds."""
        return [call for call in self.channel.calls if call.endswith("refund")]


@pytest.fixture
def house(store: Store) -> RefundHouse:
    return RefundHouse(store)


def later(answer: RefundAnswer, release: asyncio.Event) -> Callable[[], Awaitable[RefundAnswer]]:
    """An answer that comes when it is let go."""

    async def says() -> RefundAnswer:
        await release.wait()
        return answer

    return says


def stands(refund: Refund) -> tuple[RefundStatus, str]:
    return refund.standing.status, refund.standing.parked_reason


async def open_refund(house: RefundHouse) -> tuple[Payment, Refund]:
    """A refund that was sent, and nobody has answered."""
    house.refunder.refunds, house.refunder.refund_queries = [LOST], [LOST]
    payment = await house.paid()
    refund = await house.refunded(payment)
    assert stands(refund) == (RefundStatus.UNKNOWN, "")
    return payment, refund


async def taken_up(house: House, refund: Refund) -> Refund:
    """One turn of a worker that leased it."""
    await house.refund_settlement.finish(await house.leased(JobKind.REFUND))
    return await house.refund_now(refund)


async def test_a_refund_that_nobody_answers_is_parked_in_the_end(house: RefundHouse) -> None:
    """Its amount stays reserved: a person finds out what became of it."""
    payment, refund = await open_refund(house)
    house.clock.later_s = DAY_S - 60
    assert stands(await taken_up(house, refund)) == (RefundStatus.UNKNOWN, "")
    house.clock.later_s = DAY_S + 60
    parked = await taken_up(house, refund)
    assert stands(parked) == (RefundStatus.UNKNOWN, "refund_not_answered")
    assert (await house.now(payment)).standing.refunding_fen == 500
    assert await house.store.jobs(JobKind.REFUND, "", 9) == []


async def test_so_it_is_where_its_channel_is_held_back(store: Store) -> None:
    house = RefundHouse(store, (1, FOR_EVER_S))
    _, refund = await open_refund(house)
    house.fall_silent()
    asked = house.asked()
    assert stands(await taken_up(house, refund)) == (RefundStatus.UNKNOWN, "")
    house.clock.later_s = DAY_S + 60
    parked = await taken_up(house, refund)
    assert stands(parked) == (RefundStatus.UNKNOWN, "refund_not_answered")
    assert house.asked() == asked


@pytest.mark.parametrize("has", [None, FakeChannel()], ids=["no account", "no refunds"])
async def test_a_refund_whose_account_is_gone_is_parked_in_the_end(
    house: RefundHouse, has: FakeChannel | None
) -> None:
    _, refund = await open_refund(house)
    other = House(house.flaky._real, has)
    if has is None:
        other.routes._by_account = {}
    assert stands(await taken_up(other, refund)) == (RefundStatus.UNKNOWN, "")
    assert len(other.said("account gone")) == 1
    other.clock.later_s = DAY_S + 60
    parked = await taken_up(other, refund)
    assert stands(parked) == (RefundStatus.UNKNOWN, "account_gone")
    assert len(other.said("refund parked")) == 1
    assert await other.store.jobs(JobKind.REFUND, "", 9) == []


async def taken_while_sent(house: RefundHouse, answer: RefundAnswer) -> tuple[Refund, Job]:
    """Its worker slept beyond the lease: another has it when the answer is booked."""
    release = asyncio.Event()
    house.refunder.refunds = [later(answer, release), YES]
    house.refunder.refund_queries = [MISSING]
    refund = await house.refunding(await house.paid())
    await eventually(lambda: house.asked() == ["refund"])
    job = await house.leased(JobKind.REFUND)
    release.set()
    await eventually(lambda: not house.refunds.in_flight())
    return await house.refund_now(refund), job


ENDS = [
    (NO, (RefundStatus.FAILED, "")),
    (YES, (RefundStatus.SUCCEEDED, "")),
    (WRONG, (RefundStatus.SUBMITTED, "refund_amount_mismatch")),
]


@pytest.mark.parametrize(("answer", "end"), ENDS, ids=["failed", "succeeded", "parked"])
async def test_what_is_over_is_not_sent_again_by_who_leased_it_meanwhile(
    house: RefundHouse, answer: RefundAnswer, end: tuple[RefundStatus, str]
) -> None:
    """What it had reserved may be refunded under another number by now."""
    refund, job = await taken_while_sent(house, answer)
    assert stands(refund) == end
    asked = house.asked()
    await house.refund_settlement.finish(job)
    assert stands(await house.refund_now(refund)) == end
    assert house.asked() == asked


@pytest.mark.parametrize(("answer", "end"), ENDS, ids=["failed", "succeeded", "parked"])
async def test_nor_by_who_asked_about_it_before_it_was_over(
    house: RefundHouse, answer: RefundAnswer, end: tuple[RefundStatus, str]
) -> None:
    """ "Not found" was true when it was said."""
    sent, asked = asyncio.Event(), asyncio.Event()
    house.refunder.refunds = [later(answer, sent), YES]
    house.refunder.refund_queries = [later(MISSING, asked), MISSING]
    refund = await house.refunding(await house.paid())
    await eventually(lambda: house.asked() == ["refund"])
    job = await house.leased(JobKind.REFUND)
    other = asyncio.create_task(house.refund_settlement.finish(job))
    await eventually(lambda: house.asked() == ["refund", "query_refund"])
    sent.set()
    await eventually(lambda: not house.refunds.in_flight())
    asked.set()
    await other
    assert stands(await house.refund_now(refund)) == end
    assert house.asked().count("refund") == 1


async def test_nor_by_its_own_worker_that_could_not_send_it_before(house: RefundHouse) -> None:
    """It slept in the pause before its second try; another sent it and heard the no."""
    woken = asyncio.Event()

    async def asleep(*_renewed: object) -> None:
        await woken.wait()

    house.flaky.after["renew"] = asleep
    house.refunder.schedule = TWICE
    house.refunder.refunds, house.refunder.refund_queries = [UNSENT, NO, YES], [MISSING]
    refund = await house.refunding(await house.paid())
    await eventually(lambda: house.asked() == ["refund"])
    await eventually(lambda: "renew" not in house.flaky.after)
    assert stands(await taken_up(house, refund)) == (RefundStatus.FAILED, "")
    woken.set()
    await eventually(lambda: not house.refunds.in_flight())
    assert house.asked().count("refund") == 2
    assert stands(await house.refund_now(refund)) == (RefundStatus.FAILED, "")


@pytest.mark.parametrize(
    ("found", "status", "refunding_fen"),
    [
        (MISSING, RefundStatus.FAILED, 0),
        (LOST, RefundStatus.UNKNOWN, 500),
        (YES, RefundStatus.SUCCEEDED, 0),
    ],
    ids=["not found", "not answered", "returned"],
)
async def test_a_no_is_believed_once_the_channel_knows_no_such_refund(
    house: RefundHouse, found: RefundAnswer, status: RefundStatus, refunding_fen: int
) -> None:
    """One that another worker sent may have been paid out unheard: what it reserved stays."""
    house.refunder.refunds, house.refunder.refund_queries = [NO], [found]
    payment = await house.paid()
    refund = await house.refunded(payment)
    assert refund.standing.status is status
    assert house.asked() == ["refund", "query_refund"]
    assert (await house.now(payment)).standing.refunding_fen == refunding_fen


async def test_what_may_have_been_sent_before_is_marked_so_and_is_otherwise_the_same(
    house: RefundHouse,
) -> None:
    """For a channel that cannot be asked: it reads a "no" to a repeat with more care."""
    house.refunder.schedule = TWICE
    house.refunder.refunds, house.refunder.refund_queries = [UNSENT, LOST, YES], [MISSING]
    refund = await house.refunded(await house.paid())
    assert stands(await taken_up(house, refund)) == (RefundStatus.SUCCEEDED, "")
    unsent, first, again = house.refunder.refund_requests
    assert [unsent.repeated, first.repeated, again.repeated] == [False, False, True]
    assert replace(again, repeated=False) == first == unsent


async def test_a_twin_that_reserved_all_that_was_left_is_the_same_refund(store: Store) -> None:
    """The same message at two processes: who looks last finds it, and is not told "too much"."""
    one, two = RefundHouse(store), RefundHouse(store)
    payment = await one.paid()
    twins = []

    async def overtaken(*_: object) -> None:
        twins.append(await two.refunding(payment, amount_fen=1990))

    one.flaky.before["payment"] = overtaken
    mine = await one.refunding(payment, amount_fen=1990)
    assert [mine.order.id] == [twin.order.id for twin in twins]
    await eventually(lambda: two.refunds.in_flight() == 0)
    assert (one.asked(), two.asked()) == ([], ["refund"])
