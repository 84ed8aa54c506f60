"""Refunds and their payment move together or not at all, on both engines."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from domain.decline import Decline, DeclineReason
from domain.errors import Conflict
from domain.ledger import is_balanced
from domain.payment import Deed, Payment, Status
from domain.refund import Refund, RefundEvent, RefundStatus, refundable_fen
from gateway.store.port import JobKind, RefundAdvance, RefundClaimed, Store
from tests.store.conftest import Look, OpenStore
from tests.support.payments import (
    MERCHANT,
    sample_advance,
    sample_claim,
    sample_notice,
    sample_order,
    sample_postings,
)
from tests.support.refunds import (
    sample_refund_advance,
    sample_refund_claim,
    sample_refund_parking,
    sample_refund_postings,
)

REFUND_EVENTS = (
    "SELECT sequence, event, previous, status, at_ms FROM refund_events ORDER BY sequence"
)


async def _paid(store: Store, number: int = 1) -> Payment:
    await store.claim(sample_claim(number))
    await store.advance(sample_advance(number))
    return await _payment(store, number)


async def _payment(store: Store, number: int = 1) -> Payment:
    payment = await store.payment(sample_order(number).id)
    assert payment is not None
    return payment


async def _claimed(store: Store, number: int = 1, amount_fen: int = 500) -> Refund:
    claim = sample_refund_claim(number, await _payment(store), amount_fen)
    assert await store.claim_refund(claim) is RefundClaimed.WON
    return claim.refund


async def test_a_refund_is_read_back_exactly_and_reserved(store: Store, look: Look) -> None:
    """By id, by number and by payment; reservation, histories and job in the same commit."""
    payment = await _paid(store)
    claim = sample_refund_claim(1, payment)
    assert await store.claim_refund(claim) is RefundClaimed.WON
    order = claim.refund.order
    assert await store.refund(order.id) == claim.refund
    assert await store.refund_by_number(MERCHANT, "R1") == claim.refund
    assert await store.refund_by_channel_number("a1", order.channel_refund_no) == claim.refund
    assert await store.refunds(payment.order.id) == [claim.refund]
    assert await _payment(store) == claim.payment
    assert (await _payment(store)).standing.refunding_fen == 500
    last = (await store.events(payment.order.id))[-1]
    assert (last.sequence, last.event, last.status) == (3, Deed.RESERVE, Status.SUCCEEDED)
    assert await look(REFUND_EVENTS) == [(1, "submit", "created", "submitted", 3_001)]
    (job,) = await store.lease(JobKind.REFUND, "a1", 6_000, 7_000, 10)
    assert job.subject == order.id


async def test_unknown_refunds_are_none(store: Store) -> None:
    """Reading what does not exist gives nothing; a number is its merchant's own."""
    await _paid(store)
    await _claimed(store)
    assert await store.refund("ref_none") is None
    assert await store.refund_by_number(MERCHANT, "R2") is None
    assert await store.refund_by_number("m2", "R1") is None
    known = (await store.refunds(sample_order(1).id))[0].order.channel_refund_no
    assert await store.refund_by_channel_number("a2", known) is None
    assert await store.refund_by_channel_number("a1", known + "0") is None
    assert await store.refunds("PAYNONE") == []


async def test_a_number_that_is_taken_is_told_from_a_payment_that_moved(store: Store) -> None:
    """Also when both are so; nothing is written either way."""
    old = await _paid(store)
    await _claimed(store)
    before = await _payment(store)
    assert await store.claim_refund(sample_refund_claim(1, old)) is RefundClaimed.EXISTS
    assert await store.claim_refund(sample_refund_claim(1, before)) is RefundClaimed.EXISTS
    assert await store.claim_refund(sample_refund_claim(2, old)) is RefundClaimed.MOVED
    assert await _payment(store) == before
    assert len(await store.refunds(before.order.id)) == 1
    assert len(await store.events(before.order.id)) == 3
    assert len(await store.jobs(JobKind.REFUND, "", 10)) == 1


@pytest.mark.parametrize("change", [{"channel_refund_no": f"RF{1:030d}"}, {"id": f"ref_{1:028d}"}])
async def test_a_channel_number_used_before_is_a_conflict(
    store: Store, change: dict[str, Any]
) -> None:
    """The payment keeps no reservation of it."""
    await _paid(store)
    await _claimed(store)
    before = await _payment(store)
    with pytest.raises(Conflict):
        await store.claim_refund(sample_refund_claim(2, before, **change))
    assert await _payment(store) == before
    assert await store.refund_by_number(MERCHANT, "R2") is None


async def test_of_two_refunds_of_one_version_one_wins(url: str, open_store: OpenStore) -> None:
    """Each alone is affordable, both together are not."""
    stores = [await open_store(url), await open_store(url)]
    payment = await _paid(stores[0])
    claims = [sample_refund_claim(n, payment, 1_500) for n in range(2)]
    outcomes = await asyncio.gather(
        *(store.claim_refund(claim) for store, claim in zip(stores, claims, strict=True))
    )
    assert sorted(outcome.value for outcome in outcomes) == ["moved", "won"]
    assert (await _payment(stores[0])).standing.refunding_fen == 1_500


async def test_fifty_concurrent_refunds_never_exceed_the_capture(
    url: str, open_store: OpenStore
) -> None:
    """Each tries again while it finds room: 1,990 fen hold six refunds of 300."""
    stores = [await open_store(url), await open_store(url)]
    await _paid(stores[0])

    async def refund(number: int) -> bool:
        store = stores[number % 2]
        while True:
            payment = await _payment(store)
            if refundable_fen(payment.standing) < 300:
                return False
            match await store.claim_refund(sample_refund_claim(number, payment, 300)):
                case RefundClaimed.WON:
                    return True
                case RefundClaimed.MOVED:
                    continue
                case RefundClaimed.EXISTS:
                    raise AssertionError("no number is used twice")

    outcomes = await asyncio.gather(*(refund(n) for n in range(50)))
    payment = await _payment(stores[0])
    assert sum(outcomes) == 6
    assert payment.standing.refunding_fen == 1_800
    assert sum(r.order.amount_fen for r in await stores[0].refunds(payment.order.id)) == 1_800


async def test_a_refund_that_is_done_moves_its_payment_and_the_ledger(
    store: Store, look: Look
) -> None:
    """Standing, histories, postings, notice; the job is gone."""
    await _paid(store)
    refund = await _claimed(store)
    payment = await _payment(store)
    notice = sample_notice(1, type="refund.succeeded")
    move = sample_refund_advance(refund, payment.standing, notice=notice)
    assert await store.advance_refund(move)
    assert await store.refund(refund.order.id) == Refund(refund.order, move.standing)
    assert (await _payment(store)).standing == move.payment
    last = (await store.events(payment.order.id))[-1]
    assert (last.sequence, last.event) == (4, Deed.REFUND_SUCCEEDED)
    postings = await store.postings(payment.order.id)
    assert tuple(postings) == (*sample_postings(), *sample_refund_postings(500))
    assert is_balanced(postings)
    assert (await look(REFUND_EVENTS))[1:] == [(2, "returned", "submitted", "succeeded", 7_000)]
    assert await store.jobs(JobKind.REFUND, "", 10) == []
    stored = await store.notice(notice.event_id)
    assert stored is not None
    assert stored.notice == notice


async def test_a_refused_refund_gives_its_reservation_back(store: Store) -> None:
    """The decline is kept with the channel's code."""
    await _paid(store)
    refund = await _claimed(store)
    standing = (await _payment(store)).standing
    move = RefundAdvance(
        refund=refund.order,
        previous=RefundStatus.SUBMITTED,
        event=RefundEvent.DECLINE,
        standing=replace(
            refund.standing,
            status=RefundStatus.FAILED,
            version=2,
            decline=Decline(DeclineReason.DECLINED, "NO"),
        ),
        at_ms=7_000,
        due_at_ms=None,
        payment=replace(standing, version=standing.version + 1, refunding_fen=0),
    )
    assert await store.advance_refund(move)
    assert await store.refund(refund.order.id) == Refund(refund.order, move.standing)
    assert (await _payment(store)).standing.refunding_fen == 0
    events = await store.events(refund.order.payment_id)
    assert events[-1].event is Deed.REFUND_FAILED


async def test_a_refund_and_its_payment_move_together_or_not_at_all(store: Store) -> None:
    """Either version behind: nothing of either is written."""
    await _paid(store)
    refund = await _claimed(store)
    standing = (await _payment(store)).standing
    late = Refund(refund.order, replace(refund.standing, version=2))
    stale = replace(standing, version=standing.version - 1)
    foreign = replace(refund.order, merchant_no="m2")
    for move in (
        sample_refund_advance(late, standing),
        sample_refund_advance(refund, stale),
        sample_refund_advance(Refund(foreign, refund.standing), standing),
    ):
        assert not await store.advance_refund(move)
    assert await store.refund(refund.order.id) == refund
    assert (await _payment(store)).standing == standing
    assert len(await store.postings(refund.order.payment_id)) == 2
    assert len(await store.jobs(JobKind.REFUND, "", 10)) == 1


async def test_of_twenty_concurrent_moves_of_a_refund_one_wins(store: Store) -> None:
    """The payer's money is booked as returned once."""
    await _paid(store)
    refund = await _claimed(store)
    move = sample_refund_advance(refund, (await _payment(store)).standing)
    outcomes = await asyncio.gather(*(store.advance_refund(move) for _ in range(20)))
    assert sum(outcomes) == 1
    assert (await _payment(store)).standing.returned_fen == 500
    assert len(await store.postings(refund.order.payment_id)) == 4


async def test_a_refund_may_move_without_its_payment(store: Store) -> None:
    """Its job moves along, or ends."""
    await _paid(store)
    refund = await _claimed(store)
    before = await _payment(store)
    lost = RefundAdvance(
        refund=refund.order,
        previous=RefundStatus.SUBMITTED,
        event=RefundEvent.ANSWER_LOST,
        standing=replace(refund.standing, status=RefundStatus.UNKNOWN, version=2),
        at_ms=6_500,
        due_at_ms=9_000,
    )
    assert await store.advance_refund(lost)
    (job,) = await store.jobs(JobKind.REFUND, "", 10)
    assert job.due_at_ms == 9_000
    assert await _payment(store) == before
    moved = Refund(refund.order, lost.standing)
    assert await store.advance_refund(sample_refund_parking(moved))
    assert await store.jobs(JobKind.REFUND, "", 10) == []


async def test_postings_without_a_payment_are_a_defect(store: Store) -> None:
    """They belong to a sequence number of their payment."""
    await _paid(store)
    refund = await _claimed(store)
    move = sample_refund_advance(refund, (await _payment(store)).standing)
    with pytest.raises(ValueError, match="posted with the payment"):
        await store.advance_refund(replace(move, payment=None))
    assert await store.refund(refund.order.id) == refund


async def test_a_refund_meets_the_hot_path_at_the_payments_version(store: Store) -> None:
    """An undo and a refund of the same version: one of them moves the payment."""
    payment = await _paid(store)
    undo = sample_advance(1, version=3)
    outcomes: tuple[bool, RefundClaimed] = await asyncio.gather(
        store.advance(undo), store.claim_refund(sample_refund_claim(1, payment))
    )
    assert tuple(outcomes) in {(True, RefundClaimed.MOVED), (False, RefundClaimed.WON)}
    assert (await _payment(store)).standing.version == 3
    assert len(await store.refunds(payment.order.id)) == (not outcomes[0])


async def test_a_move_that_breaks_a_rule_is_a_conflict_and_writes_nothing(store: Store) -> None:
    """A sequence number of the payment's notices was given before."""
    await store.claim(sample_claim(1))
    await store.advance(sample_advance(1, notice=sample_notice(1)))
    refund = await _claimed(store)
    before = await _payment(store)
    twice = sample_notice(1, event_id="evt_other")
    with pytest.raises(Conflict):
        await store.advance_refund(sample_refund_advance(refund, before.standing, notice=twice))
    assert await store.refund(refund.order.id) == refund
    assert await _payment(store) == before
    assert await store.notice("evt_other") is None
    assert len(await store.jobs(JobKind.REFUND, "", 10)) == 1
