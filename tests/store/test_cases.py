"""What is parked becomes a case; a decision frees it, in one commit, on both engines."""

import asyncio
from dataclasses import replace

from domain.payment import Deed, Event, Standing, Status
from domain.refund import Refund
from gateway.store.port import Advance, Case, CaseDecision, RefundClaimed, Store
from tests.support.payments import (
    MERCHANT,
    sample_advance,
    sample_claim,
    sample_order,
    sample_parking,
    sample_postings,
)
from tests.support.refunds import (
    sample_refund_advance,
    sample_refund_claim,
    sample_refund_parking,
)


def _case(number: int, **changes: object) -> Case:
    values: dict[str, object] = {
        "case_id": f"case_{number:028d}",
        "subject": sample_order(number).id,
        "merchant_no": MERCHANT,
        "reason": "amount_mismatch",
        "opened_at_ms": 2_500,
        "is_open": True,
    }
    return Case(**(values | changes))  # type: ignore[arg-type]


def _decision(number: int, place: int = 1, **changes: object) -> CaseDecision:
    values: dict[str, object] = {
        "case_id": f"case_{number:028d}",
        "number": place,
        "decision": "paid",
        "by": "li.wei",
        "why": "银行流水已核对",
        "at_ms": 9_000,
    }
    return CaseDecision(**(values | changes))  # type: ignore[arg-type]


def _freeing(number: int, version: int = 3) -> Advance:
    """The parked payment was paid after all."""
    paid = sample_advance(number, version=version)
    return replace(paid, previous=Status.UNKNOWN, at_ms=9_000)


async def _park(store: Store, *numbers: int) -> None:
    for number in numbers:
        await store.claim(sample_claim(number))
        assert await store.advance(sample_parking(number))


async def _cases(store: Store, *, is_open: bool) -> list[Case]:
    return list(await store.cases(is_open=is_open, after="", limit=10))


async def test_parking_opens_a_case_in_its_commit(store: Store) -> None:
    """And ends the job: nothing is asked until a person decides."""
    await asyncio.gather(*(store.claim(sample_claim(n)) for n in range(3)))
    await asyncio.gather(
        store.advance(sample_parking(0)),
        store.advance(sample_advance(1)),
        store.advance(sample_parking(2, version=7)),
    )
    assert await _cases(store, is_open=True) == [_case(0)]
    assert await store.case(_case(0).case_id) == (_case(0), [])
    assert await store.case(_case(1).case_id) is None
    assert [job.subject for job in await store.jobs(None, "", 10)] == [sample_order(2).id]


async def test_a_decision_closes_the_case_and_moves_the_payment(store: Store) -> None:
    """With its postings, and who decided it and why."""
    await _park(store, 1)
    assert await store.decide_payment(_decision(1), _freeing(1))
    payment = await store.payment(sample_order(1).id)
    assert payment is not None
    assert payment.standing == _freeing(1).standing
    assert tuple(await store.postings(sample_order(1).id)) == sample_postings()
    assert await store.case(_case(1).case_id) == (_case(1, is_open=False), [_decision(1)])
    assert await _cases(store, is_open=True) == []
    assert await _cases(store, is_open=False) == [_case(1, is_open=False)]


async def test_a_decision_that_came_late_writes_nothing(store: Store) -> None:
    """The payment moved, the case is closed, is another's, or the number is taken."""
    await _park(store, 1, 2)
    before = await store.payment(sample_order(1).id)
    assert not await store.decide_payment(_decision(1), _freeing(1, version=4))
    assert not await store.decide_payment(_decision(2), _freeing(1))
    assert not await store.decide_payment(_decision(3), _freeing(1))
    assert await store.payment(sample_order(1).id) == before
    assert await store.case(_case(1).case_id) == (_case(1), [])
    assert await store.case(_case(2).case_id) == (_case(2), [])
    assert await store.decide_payment(_decision(1), _freeing(1))
    assert not await store.decide_payment(_decision(1, 2), _freeing(1, version=4))
    assert await store.decide_payment(_decision(2), _freeing(2))
    assert await store.advance(sample_parking(2, version=4))
    assert not await store.decide_payment(_decision(2), _freeing(2, version=5))
    assert len(await store.postings(sample_order(1).id)) == 2


async def test_of_twenty_concurrent_decisions_one_wins(store: Store) -> None:
    """Also when each takes a number of its own."""
    await _park(store, 1)
    outcomes = await asyncio.gather(
        *(store.decide_payment(_decision(1, n), _freeing(1)) for n in range(1, 21))
    )
    assert sum(outcomes) == 1
    found = await store.case(_case(1).case_id)
    assert found is not None
    assert [d.number for d in found[1]] == [outcomes.index(True) + 1]


async def test_a_case_parked_again_opens_again(store: Store) -> None:
    """A retry is decided, and the channel contradicts itself again."""
    await _park(store, 1)
    retry = replace(
        _freeing(1),
        event=Deed.RETRY,
        standing=Standing(status=Status.UNKNOWN, version=3),
        due_at_ms=9_000,
        postings=(),
    )
    assert await store.decide_payment(_decision(1, decision="retry"), retry)
    assert (await store.events(sample_order(1).id))[-1].event is Deed.RETRY
    assert len(await store.jobs(None, "", 10)) == 1
    again = replace(sample_parking(1, version=4, reason="order_mismatch"), at_ms=9_500)
    assert await store.advance(again)
    reopened = _case(1, reason="order_mismatch", opened_at_ms=9_500)
    assert await _cases(store, is_open=True) == [reopened]
    assert await store.decide_payment(_decision(1, 2), _freeing(1, version=5))
    found = await store.case(_case(1).case_id)
    assert found is not None
    assert [d.decision for d in found[1]] == ["retry", "paid"]


async def test_a_change_of_what_is_parked_keeps_the_cases_age(store: Store) -> None:
    """Parked on: the reason follows, the time it was opened stays."""
    await _park(store, 1)
    on = sample_parking(1, version=3, reason="undo_refused")
    assert await store.advance(replace(on, previous=Status.UNKNOWN, at_ms=9_000))
    assert await _cases(store, is_open=True) == [_case(1, reason="undo_refused")]


async def test_what_frees_a_parked_payment_closes_its_case(store: Store) -> None:
    """An undo that a merchant asked for needs no decision any more."""
    await _park(store, 1, 2)
    undo = Advance(
        payment_id=sample_order(1).id,
        merchant_no=MERCHANT,
        previous=Status.UNKNOWN,
        event=Event.UNDO,
        standing=Standing(status=Status.REVERSING, version=3),
        at_ms=9_000,
        due_at_ms=9_500,
    )
    assert await store.advance(undo)
    assert await _cases(store, is_open=True) == [_case(2)]
    assert await _cases(store, is_open=False) == [_case(1, is_open=False)]


async def test_a_parked_refund_is_a_case_too(store: Store) -> None:
    """It is decided together with its payment, or not at all."""
    await store.claim(sample_claim(1))
    await store.advance(sample_advance(1))
    paid = await store.payment(sample_order(1).id)
    assert paid is not None
    claim = sample_refund_claim(8, paid)
    assert await store.claim_refund(claim) is RefundClaimed.WON
    parking = sample_refund_parking(claim.refund)
    assert await store.advance_refund(parking)
    refund_id = claim.refund.order.id
    case = _case(8, subject=refund_id, reason="not_answered", opened_at_ms=6_500)
    assert await _cases(store, is_open=True) == [case]
    parked = Refund(claim.refund.order, parking.standing)
    standing = claim.payment.standing
    stale = sample_refund_advance(parked, replace(standing, version=2))
    assert not await store.decide_refund(_decision(8), stale)
    assert await _cases(store, is_open=True) == [case]
    assert await store.refund(refund_id) == parked
    move = sample_refund_advance(parked, standing)
    assert await store.decide_refund(_decision(8), move)
    assert await store.case(case.case_id) == (replace(case, is_open=False), [_decision(8)])
    assert await store.refund(refund_id) == Refund(parked.order, move.standing)
    assert not await store.decide_refund(_decision(8, 2), move)


async def test_a_parked_refund_that_ends_by_itself_closes_its_case(store: Store) -> None:
    """The channel's late yes still counts."""
    await store.claim(sample_claim(1))
    await store.advance(sample_advance(1))
    paid = await store.payment(sample_order(1).id)
    assert paid is not None
    claim = sample_refund_claim(8, paid)
    await store.claim_refund(claim)
    parking = sample_refund_parking(claim.refund)
    await store.advance_refund(parking)
    parked = Refund(claim.refund.order, parking.standing)
    assert await store.advance_refund(sample_refund_advance(parked, claim.payment.standing))
    assert await _cases(store, is_open=True) == []


async def test_cases_come_in_pages(store: Store) -> None:
    """By id, open and closed apart."""
    await _park(store, *range(5))
    await store.decide_payment(_decision(2), _freeing(2))
    first = await store.cases(is_open=True, after="", limit=3)
    assert first == [_case(0), _case(1), _case(3)]
    assert await store.cases(is_open=True, after=first[-1].case_id, limit=3) == [_case(4)]
    assert await _cases(store, is_open=False) == [_case(2, is_open=False)]
