"""The worker over its lanes: bounded, fair, never busy, and stopped by a lost lease."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from channels.port import Answer, PollSchedule, Verdict
from domain.errors import Unavailable
from domain.payment import Payment
from gateway.recovery import Recovery
from gateway.store.port import Job, JobKind, Store
from tests.gateway.fakes import FakeChannel, House
from tests.support.waiting import eventually

PAID = Answer(verdict=Verdict.SUCCEEDED, amount_fen=1990, currency="CNY", trade_no="T1")
ACTING = Answer(verdict=Verdict.PENDING)
SLOW = PollSchedule(query_after_s=(30.0,) * 3, undo_retry_s=(30.0,))


@pytest.fixture
def house(store: Store) -> House:
    return House(store)


@asynccontextmanager
async def at_work(*workers: Recovery) -> AsyncIterator[None]:
    """Workers that run until the end of the block."""
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def left_open(house: House, count: int, merchant_no: str = "M1") -> list[Payment]:
    """Payments of a process that died, due."""
    payments = []
    for number in range(count):
        live = await house.begun(f"k{number}", merchant_no=merchant_no)
        payments.append(live.payment)
        house.payments._forget(live)
        await house.make_due(live.payment)
    return payments


async def test_it_looks_sooner_while_it_finds_something(house: House) -> None:
    """What comes in all the time is begun little by little, and an idle store is left alone."""
    worker = house.recovery(interval_s=10)
    await worker._round()
    assert worker.pause_s() == 10
    house.channel.queries = [PAID]
    await left_open(house, 1)
    await worker._round()
    assert worker.pause_s() == 2
    await eventually(lambda: not worker.working())
    await worker._round()
    assert worker.pause_s() == 10


async def test_it_begins_one_after_the_other(house: House) -> None:
    """Whoever pays meanwhile waits for one signature, not for all that are due at that look."""
    begun_s: list[float] = []

    async def query() -> Answer:
        begun_s.append(house.clock.monotonic_s())
        return PAID

    house.channel.queries = [query] * 5
    await left_open(house, 5)
    await house.recovery(starts_per_s=20)._round()
    await eventually(lambda: len(begun_s) == 5)
    assert begun_s[-1] - begun_s[0] >= 4 / 20 * 0.9


async def test_one_bad_round_does_not_end_recovery(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be read must not leave every other payment open for ever."""
    rounds: list[JobKind] = []

    async def due_lanes(kind: JobKind, *_rest: object) -> list[str]:
        rounds.append(kind)
        raise ValueError("a kind of a newer version")

    monkeypatch.setattr(house.flaky, "due_lanes", due_lanes, raising=False)
    async with at_work(house.recovery()):
        await eventually(lambda: len(rounds) > 4)
    assert set(rounds) == {JobKind.SETTLE, JobKind.REFUND}


async def test_a_payment_that_cannot_be_read_leaves_only_itself_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad, last = await left_open(house, 3)
    real = house.store.payment

    async def payments(_ids: Sequence[str]) -> list[Payment]:
        raise ValueError("a status of a newer version")

    async def payment(payment_id: str) -> Payment | None:
        if payment_id == bad.order.id and not house.channel.calls.count("done"):
            raise ValueError("a status of a newer version")
        found: Payment | None = await real(payment_id)
        return found

    monkeypatch.setattr(house.flaky, "payments", payments, raising=False)
    monkeypatch.setattr(house.flaky, "payment", payment, raising=False)
    house.channel.queries = [PAID]
    async with at_work(house.recovery()):
        await house.until(good, "succeeded")
        await house.until(last, "succeeded")
    assert await house.open_jobs() == [bad.order.id]


async def test_two_workers_never_take_one_payment_at_once(house: House) -> None:
    """A lease belongs to one; the channel is asked by one at a time."""
    asking = 0

    async def alone() -> Answer:
        nonlocal asking
        asking += 1
        assert asking == 1
        await asyncio.sleep(0.05)
        asking -= 1
        return PAID

    (payment,) = await left_open(house, 1)
    house.channel.queries = [alone]
    async with at_work(*(house.recovery() for _ in range(4))):
        await house.until(payment, "succeeded")
        await asyncio.sleep(0.1)
    assert house.channel.calls == ["query"]


async def test_recovery_works_on_a_bounded_number(house: House) -> None:
    """``max_at_once`` holds, and every payment has its turn."""
    payments = await left_open(house, 6)
    at_once: list[int] = []
    recovery = house.recovery(max_at_once=2)

    async def slow() -> Answer:
        at_once.append(recovery.working())
        await asyncio.sleep(0.01)
        return PAID

    house.channel.queries = [slow]
    async with at_work(recovery):
        for payment in payments:
            await house.until(payment, "succeeded")
    assert max(at_once) == 2
    assert len(at_once) == 6


async def test_a_lane_with_more_than_its_bound_does_not_wait_for_the_interval(
    house: House,
) -> None:
    """The next look is an hour away; what is due now is done now."""
    payments = await left_open(house, 9)
    house.channel.queries = [PAID]
    async with at_work(house.recovery(per_account=2, interval_s=3600)):
        for payment in payments:
            await house.until(payment, "succeeded")


async def test_with_nothing_due_it_looks_once_an_interval(house: House) -> None:
    looks: list[JobKind] = []

    async def look(kind: JobKind, *_rest: object) -> None:
        looks.append(kind)
        house.flaky.before["due_lanes"] = look

    house.flaky.before["due_lanes"] = look
    async with at_work(house.recovery(interval_s=3600)):
        await eventually(lambda: len(looks) >= 2)
        await asyncio.sleep(0.05)
    assert len(looks) == 2
    assert set(looks) == {JobKind.SETTLE, JobKind.REFUND}


def hanging() -> tuple[FakeChannel, Callable[[], int]]:
    """A channel that never answers, and how many wait for it."""
    channel, never = FakeChannel(), asyncio.Event()
    channel.timeout_s = 1000

    async def forever() -> Answer:
        await never.wait()
        return PAID

    channel.queries = [forever]
    return channel, lambda: channel.calls.count("query")


async def test_a_dead_account_delays_nobody(store: Store) -> None:
    """Its lane is full for ever; the other's payments are finished."""
    dead, asked = hanging()
    house = House(store, others={"M2": dead}, till_wait_s=5000)
    house.channel.queries = [PAID]
    await left_open(house, 12, "M2")
    worker = house.recovery(max_at_once=6, per_account=4)
    async with at_work(worker):
        await eventually(lambda: asked() == 4)
        for payment in await left_open(house, 12):
            await house.until(payment, "succeeded")
        assert asked() == 4
        assert worker.working() == 4


async def test_lanes_take_turns_where_the_bound_of_all_is_small(store: Store) -> None:
    """One place for two accounts, each with much to do: neither waits for the other's end."""
    order: list[str] = []

    def noting(name: str) -> FakeChannel:
        async def paid() -> Answer:
            order.append(name)
            return PAID

        channel = FakeChannel()
        channel.queries = [paid]
        return channel

    house = House(store, noting("a"), others={"M2": noting("b")})
    payments = [*await left_open(house, 5), *await left_open(house, 5, "M2")]
    async with at_work(house.recovery(max_at_once=1)):
        for payment in payments:
            await house.until(payment, "succeeded")
    assert set(order[:4]) == {"a", "b"}


async def test_recovery_waits_for_a_store_that_is_away(house: House) -> None:
    """It goes on by itself when the store is back."""
    (payment,) = await left_open(house, 1)
    house.channel.queries = [PAID]
    house.flaky.down["due_lanes"] = 3
    async with at_work(house.recovery()):
        await house.until(payment, "succeeded")
    assert len(house.said("recovery waits for the store")) == 3


async def test_recovery_survives_a_defect(house: House) -> None:
    """One payment's fault is logged and stops neither the worker nor the others."""
    first, second = await left_open(house, 2)
    house.channel.queries = [PAID]
    house.channel.timeout_s = 0

    async def fault(_change: Any) -> None:
        raise RuntimeError("defect")

    house.flaky.before["advance"] = fault
    async with at_work(house.recovery()):
        await eventually(lambda: bool(house.said("recovery fault")))
        for payment in (first, second):
            if payment.order.id in await house.open_jobs():
                (job,) = await house.store.jobs(JobKind.SETTLE, "", 10)
                assert await house.store.renew(JobKind.SETTLE, job.subject, 0, job.fence)
            await house.until(payment, "succeeded")
    assert len(house.said("recovery fault")) == 1


async def test_a_worker_that_lost_its_lease_stops(house: House) -> None:
    """It slept through it: another has the payment, and only that one goes on."""
    (payment,) = await left_open(house, 1)
    release = asyncio.Event()

    async def late() -> Answer:
        await release.wait()
        return ACTING

    house.channel.schedule = SLOW
    house.channel.queries = [late]
    async with at_work(house.recovery()):
        await eventually(lambda: "query" in house.channel.calls)
        (job,) = await house.store.lease(JobKind.SETTLE, "a1", 2**53, 2**53, 10)
        release.set()
        await eventually(lambda: bool(house.said("left to another worker")))
        await eventually(lambda: bool(house.said("recovery done")))
    assert house.channel.calls == ["query"]
    assert await house.store.renew(JobKind.SETTLE, payment.order.id, 0, job.fence)


async def test_a_till_hears_of_what_another_worker_did(house: House) -> None:
    """The live worker lost its payment; its till is told all the same."""
    house.channel.schedule = PollSchedule(query_after_s=(0.05,) * 9, undo_retry_s=(30.0,))
    house.channel.pays, house.channel.queries = [ACTING], [ACTING]
    live = await house.begun()
    await house.payments.run(live)
    told = asyncio.create_task(live.told(60))
    other = House(house.store)
    other.channel.queries = [PAID]
    (job,) = await other.store.lease(JobKind.SETTLE, "a1", 2**53, 2**53, 1)
    assert await other.store.renew(JobKind.SETTLE, job.subject, 0, job.fence)
    async with at_work(other.recovery()):
        await told
    assert live.payment.standing.status.value == "succeeded"
    assert house.channel.calls.count("pay") == 1
    await eventually(lambda: not house.payments.in_flight())


async def test_a_payment_whose_job_ended_is_left_alone(house: House) -> None:
    """Finished between lease and reading: nothing is asked."""
    (payment,) = await left_open(house, 1)

    async def finish(_ids: object) -> None:
        other = House(house.flaky._real)
        other.channel.queries = [PAID]
        live = await other.payments.cancel(await other.now(payment))
        await other.until(live.payment, "reversing")
        async with at_work(other.recovery()):
            (job,) = await other.store.jobs(JobKind.SETTLE, "", 10)
            assert await other.store.renew(JobKind.SETTLE, job.subject, 0, job.fence)
            await other.until(payment, "closed")

    house.flaky.before["payments"] = finish
    async with at_work(house.recovery()):
        await eventually(lambda: bool(house.said("recovery done")))
    assert house.channel.calls == []


async def test_an_account_that_is_gone_is_named_and_left(store: Store) -> None:
    """Its payments wait for a process that has it; they are not asked for every second."""
    first = House(store, others={"M2": FakeChannel()})
    (payment,) = await left_open(first, 1, "M2")
    house = House(store)
    async with at_work(house.recovery()):
        await eventually(lambda: bool(house.said("account gone")))
        await asyncio.sleep(0.05)
    assert len(house.said("account gone")) == 1
    assert await house.open_jobs() == [payment.order.id]


def refund_job(number: int) -> Job:
    return Job(
        kind=JobKind.REFUND, subject=f"ref_{number}", lane="a1", due_at_ms=0, fence=1, tries=1
    )


async def test_refunds_are_finished_by_the_same_worker(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once; one that fails or meets a store that is away keeps nobody."""
    jobs = [refund_job(number) for number in range(5)]
    real_lanes, real_lease = house.store.due_lanes, house.store.lease
    done: list[str] = []

    async def due_lanes(kind: JobKind, *rest: Any) -> Any:
        return ["a1"] if kind is JobKind.REFUND and jobs else await real_lanes(kind, *rest)

    async def lease(kind: JobKind, *rest: Any) -> Any:
        if kind is not JobKind.REFUND:
            return await real_lease(kind, *rest)
        taken = jobs[: rest[-1]]
        del jobs[: rest[-1]]
        return taken

    async def finish(job: Job) -> None:
        done.append(job.subject)
        if job.subject == "ref_1":
            raise Unavailable("the store is down")
        if job.subject == "ref_2":
            raise RuntimeError("defect")

    monkeypatch.setattr(house.flaky, "due_lanes", due_lanes, raising=False)
    monkeypatch.setattr(house.flaky, "lease", lease, raising=False)
    monkeypatch.setattr(house, "finish_refund", finish)
    async with at_work(house.recovery(per_account=2)):
        await eventually(lambda: len(done) == 5)
    assert done == [f"ref_{number}" for number in range(5)]
    assert len(house.said("recovery gives way")) == 1
    assert len(house.said("recovery fault")) == 1


async def test_neither_kind_always_takes_the_last_free_place(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One place, much to pay and much to refund: both have their turns."""
    order: list[str] = []

    async def due_lanes(kind: JobKind, *_rest: object) -> list[str]:
        return ["a1"]

    async def lease(kind: JobKind, *_rest: object) -> list[Job]:
        order.append(kind.value)
        return [refund_job(len(order))] if kind is JobKind.REFUND else [payment_job]

    async def finish(_job: Job) -> None:
        await asyncio.sleep(0)

    async def settled(_live: object, *, at_once: bool) -> None:
        await asyncio.sleep(0)

    await left_open(house, 1)
    (payment_job,) = await house.store.jobs(JobKind.SETTLE, "", 10)
    monkeypatch.setattr(house.flaky, "due_lanes", due_lanes, raising=False)
    monkeypatch.setattr(house.flaky, "lease", lease, raising=False)
    monkeypatch.setattr(house, "finish_refund", finish)
    monkeypatch.setattr(house.settlement, "settle", settled)
    async with at_work(house.recovery(max_at_once=1)):
        await eventually(lambda: len(order) >= 8)
    assert abs(order[:8].count("refund") - order[:8].count("settle")) <= 2
