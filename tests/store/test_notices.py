"""Notices are written with what they tell, delivered under a lease, and replayed."""

import asyncio
from dataclasses import replace

import pytest

from domain.errors import Conflict
from gateway.store.port import Job, JobKind, Notice, NoticeState, Store, StoredNotice
from tests.support.payments import sample_advance, sample_claim, sample_notice, sample_order

LANE = "m1 shop.example"


def _stored(notice: Notice, **changes: object) -> StoredNotice:
    values: dict[str, object] = {
        "notice": notice,
        "state": NoticeState.PENDING,
        "attempts": 0,
        "last_error": "",
        "done_at_ms": 0,
    }
    return StoredNotice(**(values | changes))  # type: ignore[arg-type]


async def _told(store: Store, number: int = 1, **changes: object) -> Notice:
    notice = replace(sample_notice(number), **changes)  # type: ignore[arg-type]
    await store.claim(sample_claim(number))
    assert await store.advance(sample_advance(number, notice=notice))
    return notice


async def _lease(store: Store, now_ms: int = 2_500) -> Job:
    (job,) = await store.lease(JobKind.NOTIFY, LANE, now_ms, now_ms + 1_000, 1)
    return job


async def test_a_notice_is_read_back_exactly_and_is_due_at_once(store: Store) -> None:
    """Its job waits in the lane of its endpoint."""
    notice = await _told(store, body=b'\x00\xff{"subject":"\\u5976"}')
    assert await store.notice(notice.event_id) == _stored(notice)
    assert await store.notice("evt_none") is None
    assert await store.due_lanes(JobKind.NOTIFY, 2_499, "", 10) == []
    assert await store.due_lanes(JobKind.NOTIFY, 2_500, "", 10) == [LANE]
    assert (await _lease(store)).subject == notice.event_id


async def test_an_advance_that_lost_tells_nothing(store: Store) -> None:
    """Not even in a batch with one that won."""
    await asyncio.gather(store.claim(sample_claim(1)), store.claim(sample_claim(2)))
    outcomes = await asyncio.gather(
        store.advance(sample_advance(1, version=3, notice=sample_notice(1))),
        store.advance(sample_advance(2, notice=sample_notice(2))),
    )
    assert list(outcomes) == [False, True]
    assert await store.notice(sample_notice(1).event_id) is None
    assert len(await store.jobs(JobKind.NOTIFY, "", 10)) == 1


async def test_a_sequence_number_is_given_once_per_payment(store: Store) -> None:
    """A second notice with it fails its advance, and its payment stays."""
    await _told(store)
    again = sample_advance(1, version=3, notice=sample_notice(1, event_id="evt_other"))
    with pytest.raises(Conflict):
        await store.advance(again)
    payment = await store.payment(sample_order(1).id)
    assert payment is not None
    assert payment.standing.version == 2


async def test_a_delivery_is_booked_and_ends_the_job(store: Store) -> None:
    """With the time and the number of attempts."""
    notice = await _told(store)
    assert await store.notice_delivered(await _lease(store), 3_000)
    delivered = _stored(notice, state=NoticeState.DELIVERED, attempts=1, done_at_ms=3_000)
    assert await store.notice(notice.event_id) == delivered
    assert await store.jobs(JobKind.NOTIFY, "", 10) == []


async def test_a_failure_is_booked_and_tried_again_later(store: Store) -> None:
    """Given back until then, so that a recovered endpoint is served at once."""
    notice = await _told(store)
    assert await store.notice_failed(await _lease(store), "timed out", 17_500, 3_000)
    assert await store.notice(notice.event_id) == _stored(
        notice, attempts=1, last_error="timed out"
    )
    assert not await store.lease(JobKind.NOTIFY, LANE, 17_499, 20_000, 1)
    assert await store.hasten(JobKind.NOTIFY, LANE, 9_000) == 1
    assert (await _lease(store, 9_000)).tries == 2


async def test_the_last_failure_puts_it_on_the_dead_list(store: Store) -> None:
    """And ends the job."""
    notice = await _told(store)
    assert await store.notice_failed(await _lease(store), "410", None, 3_000)
    dead = _stored(notice, state=NoticeState.DEAD, attempts=1, last_error="410", done_at_ms=3_000)
    assert await store.notice(notice.event_id) == dead
    assert await store.jobs(JobKind.NOTIFY, "", 10) == []


@pytest.mark.parametrize("due_at_ms", [20_000, None])
async def test_who_lost_the_lease_books_no_failure(store: Store, due_at_ms: int | None) -> None:
    """The one that took over goes on undisturbed."""
    notice = await _told(store)
    slow = await _lease(store)
    quick = await _lease(store, 4_000)
    assert not await store.notice_failed(slow, "timed out", due_at_ms, 4_100)
    assert await store.notice(notice.event_id) == _stored(notice)
    assert await store.notice_failed(quick, "500", 9_000, 4_200)


async def test_a_delivery_counts_whoever_holds_the_lease(store: Store) -> None:
    """The merchant has it: the other's attempt comes to nothing, whatever it says."""
    notice = await _told(store)
    slow = await _lease(store)
    quick = await _lease(store, 4_000)
    assert not await store.notice_delivered(slow, 4_100)
    delivered = _stored(notice, state=NoticeState.DELIVERED, attempts=1, done_at_ms=4_100)
    assert await store.notice(notice.event_id) == delivered
    assert not await store.notice_failed(quick, "410", None, 4_200)
    assert await store.notice(notice.event_id) == delivered
    assert await store.jobs(JobKind.NOTIFY, "", 10) == []


@pytest.mark.parametrize("state", [NoticeState.DELIVERED, NoticeState.DEAD])
async def test_what_is_done_can_be_replayed(store: Store, state: NoticeState) -> None:
    """Pending and due now, as if it were new; no lease of before fits."""
    notice = await _told(store)
    old = await _lease(store)
    if state is NoticeState.DELIVERED:
        await store.notice_delivered(old, 3_000)
    else:
        await store.notice_failed(old, "410", None, 3_000)
    assert await store.replay_notice(notice.event_id, 90_000)
    assert await store.notice(notice.event_id) == _stored(notice)
    assert await store.due_lanes(JobKind.NOTIFY, 90_000, "", 10) == [LANE]
    job = await _lease(store, 90_000)
    assert job.tries == 1
    assert not await store.notice_failed(old, "500", None, 90_100)
    assert await store.notice_delivered(job, 90_200)


async def test_what_is_pending_or_unknown_is_not_replayed(store: Store) -> None:
    """Its schedule goes on."""
    notice = await _told(store)
    before = await store.jobs(None, "", 10)
    assert not await store.replay_notice(notice.event_id, 90_000)
    assert not await store.replay_notice("evt_none", 90_000)
    assert await store.jobs(None, "", 10) == before


async def test_of_ten_concurrent_replays_one_wins(store: Store) -> None:
    """One job, one schedule."""
    notice = await _told(store)
    await store.notice_delivered(await _lease(store), 3_000)
    outcomes = await asyncio.gather(
        *(store.replay_notice(notice.event_id, 90_000 + n) for n in range(10))
    )
    assert sum(outcomes) == 1
    assert len(await store.jobs(JobKind.NOTIFY, "", 10)) == 1


async def test_notices_are_listed_by_filter_and_in_pages(store: Store) -> None:
    """Merchant, payment and state narrow; the order is the event's id."""
    mine = [await _told(store, n) for n in range(4)]
    foreign = await _told(store, 4, merchant_no="m2", endpoint="m2 shop.example")
    for expected in (NoticeState.DELIVERED, NoticeState.DEAD):
        job = await _lease(store)
        if expected is NoticeState.DELIVERED:
            await store.notice_delivered(job, 3_000)
        else:
            await store.notice_failed(job, "410", None, 3_000)

    async def listed(
        merchant_no: str = "",
        payment_id: str = "",
        state: NoticeState | None = None,
        after: str = "",
        limit: int = 10,
    ) -> list[Notice]:
        found = await store.notices(
            merchant_no=merchant_no,
            payment_id=payment_id,
            state=state,
            after=after,
            limit=limit,
        )
        assert state is None or {stored.state for stored in found} <= {state}
        return [stored.notice for stored in found]

    assert await listed() == [*mine, foreign]
    assert await listed(merchant_no="m1") == mine
    assert await listed(merchant_no="m1", after=mine[1].event_id, limit=1) == [mine[2]]
    assert await listed(payment_id=mine[3].payment_id) == [mine[3]]
    assert await listed(payment_id=mine[3].payment_id, merchant_no="m2") == []
    assert len(await listed(state=NoticeState.DELIVERED)) == 1
    assert len(await listed(state=NoticeState.DEAD)) == 1
    pending = await listed(state=NoticeState.PENDING)
    assert len(pending) == 3
    assert await listed(state=NoticeState.PENDING, after=pending[0].event_id) == pending[1:]
    assert await listed(state=NoticeState.PENDING, merchant_no="m2") == [foreign]


async def test_a_dead_endpoints_backlog_delays_no_other(store: Store) -> None:
    """Lanes are told apart however many jobs one of them holds."""
    await asyncio.gather(*(store.claim(sample_claim(n)) for n in range(300)))
    advances = [
        sample_advance(
            n,
            notice=replace(
                sample_notice(n), endpoint="m1 dead.example" if n else "m1 quick.example"
            ),
        )
        for n in range(300)
    ]
    assert all(await asyncio.gather(*map(store.advance, advances)))
    lanes = await store.due_lanes(JobKind.NOTIFY, 2_500, "", 10)
    assert lanes == ["m1 dead.example", "m1 quick.example"]
    (job,) = await store.lease(JobKind.NOTIFY, "m1 quick.example", 2_500, 3_000, 10)
    assert job.subject == sample_notice(0).event_id
