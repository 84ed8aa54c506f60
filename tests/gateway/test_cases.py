"""What is parked for a person is seen, understood and settled, once, with a reason."""

import asyncio
from collections.abc import Sequence

import pytest

from domain.errors import Conflict, InvalidRequest, NotFound
from domain.payment import Deed, Event, Payment, Status
from domain.refund import Refund, RefundEvent, RefundStatus
from domain.settle import Decision
from gateway.cases import Cases, CaseView
from gateway.ledger_proof import LedgerProof
from gateway.store.port import Job, JobKind, Store
from tests.gateway.booked import Shop, all_of, notice_writer

NOW_MS = 1_795_320_000_000
WHO = {"by": "wang", "why": "seen in the portal"}


class Noon:
    """A clock that stands."""

    def now_ms(self) -> int:
        return NOW_MS

    def monotonic_s(self) -> float:
        return 0.0


@pytest.fixture
def shop(store: Store) -> Shop:
    return Shop(store)


@pytest.fixture
def cases(store: Store) -> Cases:
    return Cases(store=store, clock=Noon(), notices=notice_writer())


def case_id(subject: str) -> str:
    return f"case_{subject[4:]}"


async def parked_payment(shop: Shop, *events: Event) -> Payment:
    """A payment whose answer contradicted its order."""
    return await shop.park(await shop.move(await shop.submitted(), *events), Event.PAID)


async def parked_refund(shop: Shop) -> tuple[Payment, Refund]:
    """A refund of 500 that the channel never settled."""
    payment = await shop.move(await shop.submitted(), Event.PAID)
    return await shop.park_refund(*await shop.refunded(payment, 500, RefundEvent.ANSWER_LOST))


async def job_of(store: Store, kind: JobKind) -> Sequence[Job]:
    return await store.jobs(kind, "", 10)


async def assert_books_agree(store: Store) -> None:
    assert (await LedgerProof(store).run()).named == []


async def test_a_parked_payment_is_an_open_case(shop: Shop, cases: Cases) -> None:
    payment = await parked_payment(shop)
    [case] = await all_of(cases.listed(is_open=True))
    assert (case.case_id, case.subject) == (case_id(payment.order.id), payment.order.id)
    assert (case.reason, case.merchant_no) == ("why", "m1")
    assert await all_of(cases.listed(is_open=True, merchant_no="m2")) == []
    assert await all_of(cases.listed(is_open=False)) == []


def choices(view: CaseView) -> dict[Decision, tuple[str, int, str]]:
    return {
        choice.decision: (choice.status, len(choice.postings), choice.notice)
        for choice in view.choices
    }


async def test_a_case_shows_what_may_be_decided_and_what_it_would_do(
    shop: Shop, cases: Cases
) -> None:
    payment = await parked_payment(shop)
    view = await cases.show(case_id(payment.order.id))
    assert choices(view) == {
        Decision.RETRY: ("unknown", 0, ""),
        Decision.PAID: ("succeeded", 2, "payment.succeeded"),
        Decision.NOT_PAID: ("closed", 0, "payment.closed"),
        Decision.RETURNED: ("reversed", 4, "payment.reversed"),
    }
    assert [line.event for line in view.history] == [Event.SUBMIT, Event.PAID]


async def test_a_card_number_in_a_reason_is_kept_masked(shop: Shop, cases: Cases) -> None:
    payment = await parked_payment(shop)
    view = await cases.resolve(
        case_id(payment.order.id), Decision.RETRY, by="wang", why="card 9900000000000010 called"
    )
    [kept] = view.decisions
    assert kept.why == "card 990000******0010 called"


async def test_what_the_till_heard_as_not_paid_is_not_offered_as_paid(
    shop: Shop, cases: Cases
) -> None:
    payment = await parked_payment(shop, Event.UNDO)
    found = case_id(payment.order.id)
    assert Decision.PAID not in choices(await cases.show(found))
    with pytest.raises(Conflict, match="retry, not-paid, returned"):
        await cases.resolve(found, Decision.PAID, **WHO)
    assert (await cases.show(found)).decisions == []


@pytest.mark.parametrize(
    ("decision", "status", "event"),
    [
        (Decision.PAID, Status.SUCCEEDED, Event.PAID),
        (Decision.NOT_PAID, Status.CLOSED, Event.UNDONE_UNPAID),
        (Decision.RETURNED, Status.REVERSED, Event.UNDONE_PAID),
    ],
)
async def test_a_decision_ends_a_payment_tells_its_merchant_and_is_kept(
    shop: Shop, cases: Cases, store: Store, decision: Decision, status: Status, event: Event
) -> None:
    payment = await parked_payment(shop)
    view = await cases.resolve(case_id(payment.order.id), decision, **WHO)
    assert view.payment.standing.status is status
    assert (view.case.is_open, view.choices) == (False, ())
    assert view.history[-1].event is event
    [kept] = view.decisions
    assert (kept.decision, kept.by, kept.why) == (decision.value, "wang", "seen in the portal")
    assert (kept.number, kept.at_ms) == (1, NOW_MS)
    [told] = await job_of(store, JobKind.NOTIFY)
    notice = await store.notice(told.subject)
    assert notice is not None
    assert notice.notice.type == f"payment.{status.value}"
    assert notice.notice.sequence == view.payment.standing.notices == 1
    assert await job_of(store, JobKind.SETTLE) == []
    await assert_books_agree(store)


async def test_retry_makes_the_payment_due_now_and_it_can_be_parked_again(
    shop: Shop, cases: Cases, store: Store
) -> None:
    payment = await parked_payment(shop)
    found = case_id(payment.order.id)
    view = await cases.resolve(found, Decision.RETRY, **WHO)
    assert (view.payment.standing.status, view.case.is_open) == (Status.UNKNOWN, False)
    assert view.history[-1].event is Deed.RETRY
    [job] = await job_of(store, JobKind.SETTLE)
    assert (job.subject, job.due_at_ms, job.lane) == (payment.order.id, NOW_MS, "a1")
    await shop.park(view.payment, Event.PAID, "amount_mismatch")
    again = await cases.resolve(found, Decision.NOT_PAID, **WHO)
    assert [kept.decision for kept in again.decisions] == ["retry", "not-paid"]
    await assert_books_agree(store)


async def test_a_refund_that_was_never_settled_is_a_case_of_its_own(
    shop: Shop, cases: Cases
) -> None:
    payment, refund = await parked_refund(shop)
    view = await cases.show(case_id(refund.order.id))
    assert view.refund is not None
    assert (view.case.subject, view.payment.order.id) == (refund.order.id, payment.order.id)
    assert choices(view) == {
        Decision.RETRY: ("unknown", 0, ""),
        Decision.NOT_PAID: ("failed", 0, "refund.failed"),
        Decision.RETURNED: ("succeeded", 2, "refund.succeeded"),
    }


@pytest.mark.parametrize(
    ("decision", "status", "returned_fen"),
    [
        (Decision.RETURNED, RefundStatus.SUCCEEDED, 500),
        (Decision.NOT_PAID, RefundStatus.FAILED, 0),
    ],
)
async def test_a_decision_ends_a_refund_and_frees_its_reservation(
    shop: Shop,
    cases: Cases,
    store: Store,
    decision: Decision,
    status: RefundStatus,
    returned_fen: int,
) -> None:
    _, refund = await parked_refund(shop)
    view = await cases.resolve(case_id(refund.order.id), decision, **WHO)
    assert view.refund is not None
    assert view.refund.standing.status is status
    standing = view.payment.standing
    assert (standing.returned_fen, standing.refunding_fen) == (returned_fen, 0)
    assert await job_of(store, JobKind.REFUND) == []
    types = {
        stored.notice.type
        for stored in await store.notices(
            merchant_no="", payment_id="", state=None, after="", limit=9
        )
    }
    assert types == {"payment.succeeded", f"refund.{status.value}"}
    await assert_books_agree(store)


async def test_retry_makes_a_refund_due_now_and_keeps_its_reservation(
    shop: Shop, cases: Cases, store: Store
) -> None:
    _, refund = await parked_refund(shop)
    view = await cases.resolve(case_id(refund.order.id), Decision.RETRY, **WHO)
    assert view.refund is not None
    assert view.refund.standing.parked_reason == ""
    assert view.payment.standing.refunding_fen == 500
    [job] = await job_of(store, JobKind.REFUND)
    assert (job.subject, job.due_at_ms) == (refund.order.id, NOW_MS)
    await assert_books_agree(store)


async def test_of_many_who_decide_at_once_one_does(shop: Shop, cases: Cases, store: Store) -> None:
    payment = await parked_payment(shop)
    found = case_id(payment.order.id)
    outcomes = await asyncio.gather(
        *(cases.resolve(found, decision, **WHO) for decision in [*Decision] * 3),
        return_exceptions=True,
    )
    won = [one for one in outcomes if isinstance(one, CaseView)]
    lost = [one for one in outcomes if isinstance(one, Conflict)]
    assert (len(won), len(lost)) == (1, len(outcomes) - 1)
    assert len((await cases.show(found)).decisions) == 1
    await assert_books_agree(store)


async def test_a_settled_case_is_not_settled_again(shop: Shop, cases: Cases) -> None:
    payment = await parked_payment(shop)
    found = case_id(payment.order.id)
    await cases.resolve(found, Decision.NOT_PAID, **WHO)
    with pytest.raises(Conflict, match="settled already"):
        await cases.resolve(found, Decision.PAID, **WHO)


async def test_no_such_case_is_not_found(cases: Cases) -> None:
    with pytest.raises(NotFound):
        await cases.show("case_nothing")
    with pytest.raises(NotFound):
        await cases.resolve("case_nothing", Decision.RETRY, **WHO)


@pytest.mark.parametrize("text", ["", "  ", "two\nlines", "x" * 501, "\x1b[2J"])
@pytest.mark.parametrize("name", ["by", "why"])
async def test_a_decision_needs_a_name_and_a_reason(
    shop: Shop, cases: Cases, name: str, text: str
) -> None:
    payment = await parked_payment(shop)
    with pytest.raises(InvalidRequest, match=name):
        await cases.resolve(case_id(payment.order.id), Decision.RETRY, **(WHO | {name: text}))
    assert (await cases.show(case_id(payment.order.id))).decisions == []
