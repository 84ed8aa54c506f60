"""What is still to be done rests in ``jobs``: opened, moved, leased and ended there."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import pytest

from gateway.store.port import Store
from tests.store.conftest import OpenStore
from tests.support.payments import sample_advance, sample_claim, sample_order

Look = Callable[[str], Awaitable[Sequence[tuple[Any, ...]]]]
JOBS = "SELECT id, kind, subject, due_at_ms, fence FROM jobs ORDER BY id"


@pytest.fixture
def look(url: str) -> Look:
    """Reads the tables themselves, past the store."""

    async def read(sql: str) -> Sequence[tuple[Any, ...]]:
        if url.startswith("sqlite"):
            with sqlite3.connect(url.removeprefix("sqlite://")) as file:
                return file.execute(sql).fetchall()
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return read


def _job(number: int, due_at_ms: int, fence: int = 0) -> tuple[Any, ...]:
    payment_id = sample_order(number).id
    return (f"settle:{payment_id}", "settle", payment_id, due_at_ms, fence)


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
    await store.lease_due(5_000, 1_000, 10)
    await store.renew_lease(sample_order(1).id, 7_000)
    await store.advance(sample_advance(1, version=2, due_at_ms=8_000))
    assert await look(JOBS) == [_job(1, 8_000, fence=1)]
    await store.lease_due(8_000, 1_000, 10)
    assert await look(JOBS) == [_job(1, 9_000, fence=2)]


async def test_a_payment_that_opens_again_gets_a_job_that_can_be_leased_and_renewed(
    store: Store, look: Look
) -> None:
    """Settled, renewed in vain, then reopened by money that came late."""
    await store.claim(sample_claim(1))
    await store.advance(sample_advance(1, version=2))
    await store.renew_lease(sample_order(1).id, 6_000)
    assert await look(JOBS) == []
    await store.advance(sample_advance(1, version=3, due_at_ms=7_000))
    assert [p.standing.version for p in await store.lease_due(7_000, 1_000, 10)] == [3]
    await store.renew_lease(sample_order(1).id, 20_000)
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
            for payment in await recoverer.lease_due(now_ms, 20, 40):
                await recoverer.renew_lease(payment.order.id, now_ms)

    async def settle(numbers: range) -> None:
        for number in numbers:
            assert await till.advance(sample_advance(number))

    await asyncio.gather(recover(), recover(), *(settle(range(n, 200, 8)) for n in range(8)))
    assert await look(JOBS) == []
    assert not await recoverer.lease_due(10**12, 1, 10)
