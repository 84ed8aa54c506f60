"""Leases, sequences, the bounds of the queue and the life cycle, on both engines."""

import asyncio

import pytest

from domain.errors import ConfigurationError, Unavailable
from gateway.store.engine import store_for
from gateway.store.migrate import migrate
from gateway.store.port import JobKind, Store
from gateway.store.schema import needed_migrations
from tests.store.conftest import OpenStore, lease_settle
from tests.support.payments import sample_advance, sample_claim, sample_order


async def test_only_due_attempts_are_leased_and_for_the_time_asked(store: Store) -> None:
    """Due at 5,000: not at 4,999, yes at 5,000, then not before the lease is over."""
    await store.claim(sample_claim(1))
    assert not await lease_settle(store, 4_999, 1_000, 10)
    assert [job.subject for job in await lease_settle(store, 5_000, 1_000, 10)] == [
        sample_order(1).id
    ]
    assert not await lease_settle(store, 5_999, 1_000, 10)
    assert len(await lease_settle(store, 6_000, 1_000, 10)) == 1


async def test_a_lease_takes_no_more_than_its_limit_oldest_due_first(store: Store) -> None:
    """Bounded, and nothing starves."""
    for number in range(5):
        await store.claim(sample_claim(number, due_at_ms=5_000 - number))
    leased = await lease_settle(store, 9_000, 1_000, 2)
    assert {job.subject for job in leased} == {sample_order(4).id, sample_order(3).id}


async def test_concurrent_leases_never_share_a_payment(url: str, open_store: OpenStore) -> None:
    """Two processes' worth of stores take 60 due payments, each exactly once."""
    stores = [await open_store(url), await open_store(url)]
    await asyncio.gather(*(stores[0].claim(sample_claim(n)) for n in range(60)))
    takers = (lease_settle(stores[n % 2], 9_000, 60_000, 7) for n in range(20))
    leased = [job.subject for taken in await asyncio.gather(*takers) for job in taken]
    rest = [job.subject for job in await lease_settle(stores[0], 9_000, 60_000, 100)]
    assert sorted(leased + rest) == sorted(sample_order(n).id for n in range(60))


async def test_renewing_moves_an_open_attempt_and_never_revives_a_settled_one(store: Store) -> None:
    """A slow recoverer cannot bring a finished payment back."""
    await store.claim(sample_claim(1))
    payment_id = sample_order(1).id
    assert await store.renew(JobKind.SETTLE, payment_id, 20_000, 0)
    assert not await lease_settle(store, 19_999, 1, 10)
    await store.advance(sample_advance(1, due_at_ms=None))
    assert not await store.renew(JobKind.SETTLE, payment_id, 1, 0)
    assert not await lease_settle(store, 10**12, 1, 10)


async def test_an_advance_may_reschedule_and_reopen_an_attempt(store: Store) -> None:
    """Money that arrives late makes a settled payment due again."""
    await store.claim(sample_claim(1))
    await store.advance(sample_advance(1, version=2, due_at_ms=None))
    await store.advance(sample_advance(1, version=3, due_at_ms=7_000))
    assert not await lease_settle(store, 6_999, 1, 10)
    assert len(await lease_settle(store, 7_000, 1, 10)) == 1


async def test_sequences_start_at_zero_and_never_repeat_across_stores(
    url: str, open_store: OpenStore
) -> None:
    """Two stores on one database hand out disjoint blocks, also after a restart."""
    first, second = await open_store(url), await open_store(url)
    blocks = await asyncio.gather(
        *((first, second)[n % 2].take_sequence("trace", 10) for n in range(20))
    )
    assert sorted(blocks) == list(range(0, 200, 10))
    third = await open_store(url)
    assert await third.take_sequence("trace", 1) == 200
    assert await third.take_sequence("other", 5) == 0


async def test_a_full_queue_refuses_at_once(url: str, open_store: OpenStore) -> None:
    """Beyond max_queued a caller is told Unavailable; those that wait are committed."""
    store = await open_store(url, max_queued=10)
    waiting = [asyncio.ensure_future(store.claim(sample_claim(n))) for n in range(30)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert len(refused) == 20
    assert outcomes.count(True) == 10
    assert store.queued() == 0


async def test_close_commits_what_waits(url: str, open_store: OpenStore) -> None:
    """Draining: every queued claim is durable, later ones are refused."""
    store = await open_store(url, max_batch=5)
    waiting = [asyncio.ensure_future(store.claim(sample_claim(n))) for n in range(40)]
    await asyncio.sleep(0)
    await store.close()
    assert all(await asyncio.gather(*waiting))
    with pytest.raises(Unavailable):
        await store.claim(sample_claim(99))
    reopened = await open_store(url)
    for number in range(40):
        assert await reopened.payment(sample_order(number).id) is not None


async def test_a_caller_that_gives_up_harms_nobody(store: Store) -> None:
    """A cancelled claim before its batch is dropped; the next ones commit."""
    task = asyncio.ensure_future(store.claim(sample_claim(1)))
    await asyncio.sleep(0)
    task.cancel()
    assert await store.claim(sample_claim(2))
    assert task.cancelled()


async def test_a_store_says_when_it_is_ready(store: Store) -> None:
    """An open store takes writes; a closed one does not."""
    assert await store.ready()
    await store.close()
    assert not await store.ready()


async def test_an_unmigrated_database_is_refused_with_the_command_that_mends_it(
    bare_url: str,
) -> None:
    """The operator reads what to run."""
    with pytest.raises(ConfigurationError, match="posgate migrate with the same configuration"):
        await store_for(bare_url).open()


async def test_migrating_is_idempotent_also_when_two_do_it_at_once(
    bare_url: str, open_store: OpenStore
) -> None:
    """Between two concurrent runs each migration is applied once; a third finds nothing."""
    runs = await asyncio.gather(migrate(bare_url), migrate(bare_url))
    assert sorted(runs[0] + runs[1]) == sorted(needed_migrations())
    assert await migrate(bare_url) == []
    store = await open_store(bare_url)
    assert await store.claim(sample_claim(1))


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://relative/path", "sqlite:///", "nonsense"])
def test_an_unknown_url_is_refused(url: str) -> None:
    """The message shows the two forms."""
    with pytest.raises(ConfigurationError, match="sqlite:///absolute/path"):
        store_for(url)
