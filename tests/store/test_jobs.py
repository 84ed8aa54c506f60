"""What is still to be done rests in ``jobs``: opened, moved, leased, hastened and ended."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.store.port import Job, JobKind, Store
from tests.store.conftest import ACCOUNT, Look, OpenStore, lease_settle
from tests.support.payments import sample_advance, sample_claim, sample_notice, sample_order

JOBS = "SELECT id, kind, lane, subject, due_at_ms, fence, tries FROM jobs ORDER BY id"
SETTLE, NOTIFY = JobKind.SETTLE, JobKind.NOTIFY


def _job(number: int, due_at_ms: int, fence: int = 0, lane: str = ACCOUNT) -> tuple[Any, ...]:
    payment_id = sample_order(number).id
    return (f"settle:{payment_id}", "settle", lane, payment_id, due_at_ms, fence, fence)


async def _renew(store: Store, number: int, due_at_ms: int, fence: int, **how: bool) -> bool:
    return await store.renew(SETTLE, sample_order(number).id, due_at_ms, fence, **how)


async def test_a_claim_opens_one_job_and_settling_leaves_only_history(
    store: Store, look: Look
) -> None:
    """The job goes with the settling commit, the attempt stays for ever."""
    await store.claim(sample_claim(1))
    assert await look(JOBS) == [_job(1, 5_000)]
    await store.advance(sample_advance(1))
    assert await look(JOBS) == []
    assert await look("SELECT payment_id, attempt_no, channel_order_no FROM attempts") == [
        (sample_order(1).id, 1, sample_order(1).channel_order_no)
    ]


async def test_an_order_that_is_born_final_has_no_job(store: Store, look: Look) -> None:
    """Nothing is due, and its number at the channel is taken all the same."""
    await store.claim(sample_claim(1, due_at_ms=None))
    assert await look(JOBS) == []
    assert await look("SELECT count(*) FROM attempts") == [(1,)]


async def test_a_claim_that_lost_opens_no_job(store: Store, look: Look) -> None:
    """Neither under its own id nor under the winner's."""
    await store.claim(sample_claim(1))
    await store.claim(sample_claim(2, order_key="T1/1/1", due_at_ms=1))
    await store.claim(sample_claim(1, due_at_ms=1))
    assert await look(JOBS) == [_job(1, 5_000)]


async def test_an_advance_that_lost_neither_moves_nor_ends_the_job(
    store: Store, look: Look
) -> None:
    """Not even in a batch with one that won."""
    await asyncio.gather(store.claim(sample_claim(1)), store.claim(sample_claim(2)))
    outcomes = await asyncio.gather(
        store.advance(sample_advance(1, version=3, due_at_ms=None)),
        store.advance(sample_advance(2, version=2, due_at_ms=None)),
        store.advance(sample_advance(1, version=7, due_at_ms=1)),
    )
    assert list(outcomes) == [False, True, False]
    assert await look(JOBS) == [_job(1, 5_000)]


async def test_moving_a_job_keeps_its_fence_and_every_lease_raises_it(
    store: Store, look: Look
) -> None:
    """A lease is known by its fence, however often the due time moves meanwhile."""
    await store.claim(sample_claim(1))
    await lease_settle(store, 5_000, 1_000, 10)
    assert await _renew(store, 1, 7_000, 1)
    await store.advance(sample_advance(1, version=2, due_at_ms=8_000))
    assert await look(JOBS) == [_job(1, 8_000, fence=1)]
    await lease_settle(store, 8_000, 1_000, 10)
    assert await look(JOBS) == [_job(1, 9_000, fence=2)]


async def test_a_payment_that_opens_again_gets_a_job_that_can_be_leased_and_renewed(
    store: Store, look: Look
) -> None:
    """Settled, renewed in vain, then reopened by money that came late."""
    await store.claim(sample_claim(1))
    await store.advance(sample_advance(1, version=2))
    assert not await _renew(store, 1, 6_000, 0)
    assert await look(JOBS) == []
    await store.advance(sample_advance(1, version=3, due_at_ms=7_000))
    assert [job.fence for job in await lease_settle(store, 7_000, 1_000, 10)] == [1]
    assert await _renew(store, 1, 20_000, 1)
    assert await look(JOBS) == [_job(1, 20_000, fence=1)]


async def test_one_batch_may_end_some_jobs_and_move_others(store: Store, look: Look) -> None:
    """Each by its own due time."""
    await asyncio.gather(*(store.claim(sample_claim(n)) for n in range(20)))
    await asyncio.gather(
        *(store.advance(sample_advance(n, due_at_ms=n if n % 2 else None)) for n in range(20))
    )
    assert await look(JOBS) == [_job(n, n) for n in range(1, 20, 2)]


async def test_settling_and_leasing_at_once_leave_no_job_behind(
    url: str, open_store: OpenStore, look: Look
) -> None:
    """A lease that comes between neither keeps a settled payment nor revives it."""
    till, recoverer = await open_store(url), await open_store(url)
    await asyncio.gather(*(till.claim(sample_claim(n)) for n in range(200)))

    async def recover() -> None:
        for now_ms in range(5_000, 5_400, 20):
            for job in await lease_settle(recoverer, now_ms, 20, 40):
                await recoverer.renew(SETTLE, job.subject, now_ms, job.fence)

    async def settle(numbers: range) -> None:
        for number in numbers:
            assert await till.advance(sample_advance(number))

    await asyncio.gather(recover(), recover(), *(settle(range(n, 200, 8)) for n in range(8)))
    assert await look(JOBS) == []
    assert not await lease_settle(recoverer, 10**12, 1, 10)


async def test_a_job_opened_without_an_account_is_found_all_the_same(
    store: Store, look: Look
) -> None:
    """No lane is a lane of its own, never one that no worker asks for."""
    await store.claim(sample_claim(1, account_id=""))
    await store.claim(sample_claim(2))
    await store.advance(sample_advance(2))
    await store.advance(replace(sample_advance(2, version=3, due_at_ms=1), account_id=""))
    assert await look(JOBS) == [_job(1, 5_000, lane="-"), _job(2, 1, lane="-")]
    assert await store.due_lanes(SETTLE, 5_000, "", 10) == ["-"]


async def test_a_lease_tells_all_about_the_job(store: Store) -> None:
    """Fence and tries rise with every lease; the due time is the lease's end."""
    await store.claim(sample_claim(1))
    expected = Job(
        kind=SETTLE,
        subject=sample_order(1).id,
        lane=ACCOUNT,
        due_at_ms=6_000,
        fence=1,
        tries=1,
    )
    assert await lease_settle(store, 5_000, 1_000, 10) == [expected]
    again = replace(expected, due_at_ms=7_000, fence=2, tries=2)
    assert await lease_settle(store, 6_000, 1_000, 10) == [again]


async def test_a_lost_lease_renews_nothing(store: Store, look: Look) -> None:
    """The live worker holds fence 0 until a lease; then only the lease's own fence counts."""
    await store.claim(sample_claim(1))
    assert await _renew(store, 1, 5_500, 0)
    await lease_settle(store, 5_500, 1_000, 10)
    assert not await _renew(store, 1, 1, 0)
    await lease_settle(store, 6_500, 1_000, 10)
    assert not await _renew(store, 1, 1, 1, given_back=True)
    assert await _renew(store, 1, 9_000, 2)
    assert await look(JOBS) == [_job(1, 9_000, fence=2)]


async def test_only_what_was_given_back_is_hastened(store: Store, look: Look) -> None:
    """Not a fresh claim, not a kept lease, not another lane or kind, not what is due."""
    await asyncio.gather(*(store.claim(sample_claim(n)) for n in range(1, 6)))
    await store.claim(sample_claim(6, account_id="a2"))
    await lease_settle(store, 5_000, 1_000, 10)
    assert await _renew(store, 1, 60_000, 1, given_back=True)
    assert await _renew(store, 2, 60_000, 1)
    assert await _renew(store, 3, 60_000, 1, given_back=True)
    assert await _renew(store, 4, 6_500, 1, given_back=True)
    assert await _renew(store, 6, 60_000, 0, given_back=True)
    assert await store.hasten(NOTIFY, ACCOUNT, 7_000) == 0
    assert await store.hasten(SETTLE, ACCOUNT, 7_000) == 2
    assert await store.hasten(SETTLE, ACCOUNT, 7_000) == 0
    dues = {row[3]: row[4] for row in await look(JOBS)}
    assert [dues[sample_order(n).id] for n in range(1, 7)] == [
        7_000,
        60_000,
        7_000,
        6_500,
        6_000,
        60_000,
    ]


@pytest.mark.parametrize("taken_by", ["lease", "advance", "renewal"])
async def test_a_job_taken_again_is_no_longer_hastened(store: Store, taken_by: str) -> None:
    """It was given back once; who holds it now must not be overtaken."""
    await store.claim(sample_claim(1))
    assert await _renew(store, 1, 6_000, 0, given_back=True)
    match taken_by:
        case "lease":
            assert await lease_settle(store, 6_000, 60_000, 10)
        case "advance":
            assert await store.advance(sample_advance(1, due_at_ms=60_000))
        case _:
            assert await _renew(store, 1, 60_000, 0)
    assert await store.hasten(SETTLE, ACCOUNT, 7_000) == 0


async def test_due_lanes_come_by_name_in_pages(store: Store) -> None:
    """Only those of the kind with something due; a lane of many jobs is named once."""
    lanes = ["a1", "a2", "b", "c", "中"]
    claims = [
        sample_claim(
            10 * place + number, account_id=lane, due_at_ms=9_000 if lane == "b" else 5_000
        )
        for place, lane in enumerate(lanes)
        for number in range(3)
    ]
    assert all(await asyncio.gather(*map(store.claim, claims)))
    assert await store.due_lanes(SETTLE, 4_999, "", 10) == []
    assert await store.due_lanes(SETTLE, 5_000, "", 10) == ["a1", "a2", "c", "中"]
    assert await store.due_lanes(SETTLE, 9_000, "", 3) == ["a1", "a2", "b"]
    assert await store.due_lanes(SETTLE, 9_000, "b", 3) == ["c", "中"]
    assert await store.due_lanes(NOTIFY, 9_000, "", 10) == []


async def test_what_is_open_is_listed_by_kind_and_subject(store: Store) -> None:
    """In pages, of one kind or of all."""
    await asyncio.gather(*(store.claim(sample_claim(n)) for n in range(3)))
    await store.advance(sample_advance(0, due_at_ms=9_000, notice=sample_notice(0)))
    everything = await store.jobs(None, "", 10)
    assert [(job.kind, job.subject) for job in everything] == [
        (NOTIFY, sample_notice(0).event_id),
        *((SETTLE, sample_order(n).id) for n in range(3)),
    ]
    after = f"settle:{sample_order(0).id}"
    assert await store.jobs(None, after, 1) == everything[2:3]
    assert await store.jobs(SETTLE, "", 2) == everything[1:3]
    assert await store.jobs(SETTLE, after, 10) == everything[2:]
    assert await store.jobs(NOTIFY, "", 10) == everything[:1]
    assert await store.jobs(JobKind.REFUND, "", 10) == []


async def test_two_workers_never_get_the_same_job(url: str, open_store: OpenStore) -> None:
    """Leases, renewals and hastenings of two stores at once; every due job is had once."""
    stores = [await open_store(url), await open_store(url)]
    await asyncio.gather(*(stores[0].claim(sample_claim(n)) for n in range(120)))
    seen: list[tuple[str, int]] = []

    async def work(store: Store) -> None:
        for now_ms in range(5_000, 5_400, 20):
            await store.hasten(SETTLE, ACCOUNT, now_ms)
            for job in await lease_settle(store, now_ms, 1_000, 15):
                seen.append((job.subject, job.fence))
                if job.fence == 1:
                    again = now_ms + 600
                    assert await store.renew(SETTLE, job.subject, again, job.fence, given_back=True)

    await asyncio.gather(*(work(store) for store in stores * 3))
    assert len(seen) == len(set(seen))
    assert {subject for subject, _ in seen} == {sample_order(n).id for n in range(120)}
