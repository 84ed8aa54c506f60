"""A checkout is made with its payment and moves with its attempt, or not at all; both engines."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from domain.checkout import Checkout, CheckoutStatus, attempt_id, attempt_key
from domain.errors import Conflict
from domain.ledger import capture
from domain.payment import Event, Standing, Status
from gateway.store.port import Advance, CaseDecision, CheckoutMove, Claim, JobKind, Store
from tests.store.conftest import Look, OpenStore
from tests.support.payments import MERCHANT, sample_claim, sample_notice, sample_order

BASE = sample_order(
    1, id="pay_ABC", door="api", order_key="o1", method="qr", channel="", account_id="",
    channel_order_no="", created_at_ms=1_000, till_deadline_ms=9_000,
)  # fmt: skip
ROW = Checkout(
    id=BASE.id, merchant_no=MERCHANT, status=CheckoutStatus.WAITING, version=1, attempts=0,
    wallets=("alipay", "wechat"), is_single=False, code_id="q1", created_at_ms=1_000,
    expires_at_ms=9_000,
)  # fmt: skip


def opening(row: Checkout = ROW) -> Claim:
    """The claim of the checkout and its payment."""
    return Claim(
        order=BASE,
        standing=Standing(status=Status.PENDING, version=1),
        event=Event.PAYER_ACTING,
        due_at_ms=None,
        moves=CheckoutMove(checkout=row, due_at_ms=row.expires_at_ms),
    )


def beginning(number: int = 1, version: int = 2) -> Claim:
    """The claim of an attempt, which the checkout moves with."""
    row = replace(ROW, status=CheckoutStatus.PAYING, version=version, attempts=number)
    claim = sample_claim(
        number + 1, id=attempt_id(BASE.id, number), door="checkout",
        order_key=attempt_key(BASE, number),
    )  # fmt: skip
    return replace(claim, moves=CheckoutMove(checkout=row, due_at_ms=9_000))


def paid(version: int = 3) -> Advance:
    """The attempt is paid, and with it the checkout and its payment."""
    row = replace(ROW, status=CheckoutStatus.PAID, version=version, attempts=1)
    told = sample_notice(1, payment_id=BASE.id)
    base = Advance(
        payment_id=BASE.id, merchant_no=MERCHANT, previous=Status.PENDING, event=Event.PAID,
        standing=Standing(status=Status.SUCCEEDED, version=2, notices=1), at_ms=2_000,
        due_at_ms=None, notice=told,
    )  # fmt: skip
    return Advance(
        payment_id=attempt_id(BASE.id, 1), merchant_no=MERCHANT, previous=Status.SUBMITTED,
        event=Event.PAID, standing=Standing(status=Status.SUCCEEDED, version=2), at_ms=2_000,
        due_at_ms=None, account_id="a1",
        moves=CheckoutMove(checkout=row, due_at_ms=None, base=base),
    )  # fmt: skip


async def test_a_checkout_is_made_with_its_payment(store: Store) -> None:
    assert await store.checkout(BASE.id) is None
    assert await store.claim(opening())
    assert await store.checkout(BASE.id) == ROW
    base = await store.payment(BASE.id)
    assert base is not None
    assert base.order == BASE
    [job] = await store.jobs(None, "", 9)
    assert (job.kind, job.subject, job.due_at_ms) == (JobKind.CHECKOUT, BASE.id, 9_000)


async def test_a_number_that_is_taken_makes_no_checkout(store: Store) -> None:
    assert await store.claim(sample_claim(7, door="api", order_key="o1"))
    assert not await store.claim(opening())
    assert await store.checkout(BASE.id) is None
    assert [job.kind for job in await store.jobs(None, "", 9)] == [JobKind.SETTLE]


async def test_a_checkouts_number_keeps_out_a_payment(store: Store) -> None:
    assert await store.claim(opening())
    assert not await store.claim(sample_claim(7, door="api", order_key="o1"))


async def test_an_attempt_moves_its_checkout(store: Store) -> None:
    assert await store.claim(opening())
    claim = beginning()
    assert await store.claim(claim)
    assert claim.moves is not None
    assert await store.checkout(BASE.id) == claim.moves.checkout
    attempt = await store.payment(attempt_id(BASE.id, 1))
    assert attempt is not None
    assert await store.payment_by_channel_order("a1", claim.order.channel_order_no) == attempt


async def test_a_checkout_is_read_with_its_payments(store: Store) -> None:
    """Its own payment and its current attempt, neither an earlier one nor another's."""
    assert await store.checkout_with_payments(BASE.id) is None
    assert await store.claim(opening())
    base = await store.payment(BASE.id)
    assert await store.checkout_with_payments(BASE.id) == (ROW, base, None)
    for number in (1, 2):
        claim = beginning(number, version=number + 1)
        assert await store.claim(claim)
        assert claim.moves is not None
        attempt = await store.payment(attempt_id(BASE.id, number))
        assert attempt is not None
        expected = (claim.moves.checkout, base, attempt)
        assert await store.checkout_with_payments(BASE.id) == expected
    assert await store.checkout_with_payments(attempt_id(BASE.id, 1)) is None


async def test_an_attempt_of_a_checkout_that_moved_is_not_there(store: Store) -> None:
    assert await store.claim(opening())
    assert await store.claim(beginning(1))
    assert not await store.claim(beginning(2))  # it would be the second, of the same version
    assert await store.payment(attempt_id(BASE.id, 2)) is None
    kept = await store.checkout(BASE.id)
    assert kept is not None
    assert kept.attempts == 1


async def test_a_checkout_never_moves_without_its_attempt(store: Store) -> None:
    """Its number is taken by another payment, which no gateway of ours does: nothing moves."""
    assert await store.claim(opening())
    assert await store.claim(replace(beginning(), moves=None))
    won = False
    with suppress(Conflict):
        won = await store.claim(beginning())
    assert not won
    assert await store.checkout(BASE.id) == ROW


async def test_many_are_made_and_begun_at_once(store: Store, look: Look) -> None:
    """In one batch or in several, each wins or loses by itself; what hangs on it is its own."""
    openings, beginnings = [], []
    for number in range(12):
        base = replace(BASE, id=f"pay_N{number}", order_key=f"n{number}", store_id="s1")
        row = replace(ROW, id=base.id, code_id=f"q{number}", expires_at_ms=9_000 + number)
        move = CheckoutMove(checkout=row, due_at_ms=row.expires_at_ms)
        openings.append(replace(opening(), order=base, moves=move))
        began = replace(row, status=CheckoutStatus.PAYING, version=2 + number % 2, attempts=1)
        claim = sample_claim(
            number + 50, id=attempt_id(base.id, 1), door="checkout", order_key=attempt_key(base, 1)
        )
        moves = CheckoutMove(checkout=began, due_at_ms=20_000 + number)
        beginnings.append(replace(claim, moves=moves))
    twice = openings + openings[:3]
    won = await asyncio.gather(*(store.claim(claim) for claim in twice))
    assert won == [True] * 12 + [False] * 3
    begun = await asyncio.gather(*(store.claim(claim) for claim in beginnings))
    assert begun == [
        number % 2 == 0 for number in range(12)
    ]  # every other one read another version
    for number, (made, claim) in enumerate(zip(openings, beginnings, strict=True)):
        kept = await store.checkout_with_payments(made.order.id)
        assert kept is not None
        assert made.moves is not None
        assert claim.moves is not None
        is_begun = number % 2 == 0
        assert kept[0] == (claim.moves if is_begun else made.moves).checkout
        assert (kept[2] is not None) is is_begun
        due = [job.due_at_ms for job in await store.jobs(None, "", 99) if job.subject == kept[0].id]
        assert due == [(20_000 if is_begun else 9_000) + number]
    told = await look("SELECT payment_id, previous, status FROM till_events ORDER BY payment_id")
    ids = sorted(made.order.id for made in openings)
    assert [tuple(one) for one in told] == [(one, "created", "pending") for one in ids]


async def test_paid_moves_attempt_checkout_and_payment_at_once(store: Store) -> None:
    assert await store.claim(opening())
    assert await store.claim(beginning())
    assert await store.advance(paid())
    kept, base = await store.checkout(BASE.id), await store.payment(BASE.id)
    assert kept is not None
    assert base is not None
    assert (kept.status, base.standing.status) == (CheckoutStatus.PAID, Status.SUCCEEDED)
    assert [line.event for line in await store.events(BASE.id)] == [Event.PAYER_ACTING, Event.PAID]
    assert [job.kind for job in await store.jobs(None, "", 9)] == [JobKind.NOTIFY]


async def test_many_are_paid_at_once(store: Store, look: Look) -> None:
    """Each whole or not at all, whichever part of it another has moved; nobody fails another."""
    changes = []
    for number in range(12):
        base = replace(BASE, id=f"pay_N{number}", order_key=f"n{number}", store_id="s1")
        row = replace(ROW, id=base.id, code_id=f"q{number}")
        opened = replace(opening(), order=base, moves=CheckoutMove(checkout=row, due_at_ms=9_000))
        began = replace(row, status=CheckoutStatus.PAYING, version=2, attempts=1)
        claim = sample_claim(
            number + 50, id=attempt_id(base.id, 1), door="checkout", order_key=attempt_key(base, 1)
        )
        moves = CheckoutMove(checkout=began, due_at_ms=9_000)
        assert await store.claim(opened)
        assert await store.claim(replace(claim, moves=moves))
        change = paid(version=4 if number % 4 == 1 else 3)
        assert change.moves is not None
        assert change.moves.base is not None
        ahead = 3 if number % 4 == 2 else 2
        told = sample_notice(number + 1, payment_id=base.id)
        after = replace(
            change.moves.base, payment_id=base.id, notice=told,
            standing=replace(change.moves.base.standing, version=ahead),
        )  # fmt: skip
        moves = CheckoutMove(
            checkout=replace(change.moves.checkout, id=base.id), due_at_ms=None, base=after
        )
        postings = capture("channel:a1", "merchant:m1", 1990, "CNY")
        standing = replace(change.standing, version=3 if number % 4 == 3 else 2)
        attempt = claim.order.id
        changes.append(
            replace(change, payment_id=attempt, moves=moves, standing=standing, postings=postings)
        )
    won = await asyncio.gather(*(store.advance(change) for change in changes))
    assert won == [number % 4 == 0 for number in range(12)]
    for is_paid, change in zip(won, changes, strict=True):
        read = await store.checkout_with_payments(change.payment_id.removesuffix("-1"))
        assert read is not None
        kept, base_now, attempt_now = read
        assert attempt_now is not None
        assert (kept.status is CheckoutStatus.PAID) is is_paid
        assert (base_now.standing.status is Status.SUCCEEDED) is is_paid
        assert (attempt_now.standing.status is Status.SUCCEEDED) is is_paid
        assert len(await store.postings(change.payment_id)) == (2 if is_paid else 0)
        jobs = {job.kind for job in await store.jobs(None, "", 99) if kept.id in job.subject}
        assert jobs == (set() if is_paid else {JobKind.CHECKOUT, JobKind.SETTLE})
    assert len(await store.jobs(JobKind.NOTIFY, "", 99)) == 3
    told_rows = await look("SELECT payment_id FROM till_events WHERE status = 'succeeded'")
    assert sorted(tuple(one) for one in told_rows) == [("pay_N0",), ("pay_N4",), ("pay_N8",)]


@pytest.mark.parametrize("stale", ["checkout", "payment", "attempt"])
async def test_whichever_moved_meanwhile_refuses_the_whole(store: Store, stale: str) -> None:
    assert await store.claim(opening())
    assert await store.claim(beginning())
    change = paid(version=4 if stale == "checkout" else 3)
    if stale == "attempt":
        change = replace(change, standing=replace(change.standing, version=3))
    if stale == "payment":
        assert change.moves is not None
        assert change.moves.base is not None
        base = change.moves.base
        later = replace(base, standing=replace(base.standing, version=3))
        change = replace(change, moves=replace(change.moves, base=later))
    assert not await store.advance(change)
    kept = await store.checkout(BASE.id)
    base_now, attempt = await store.payment(BASE.id), await store.payment(attempt_id(BASE.id, 1))
    assert kept is not None
    assert base_now is not None
    assert attempt is not None
    assert kept.status is CheckoutStatus.PAYING
    assert base_now.standing.status is Status.PENDING
    assert attempt.standing.status is Status.SUBMITTED
    assert await store.jobs(JobKind.NOTIFY, "", 9) == []


async def test_a_checkout_moves_alone(store: Store) -> None:
    assert await store.claim(opening())
    code = replace(ROW, version=2, code="wallet://1")
    assert await store.move_checkout(CheckoutMove(checkout=code, due_at_ms=9_000))
    assert not await store.move_checkout(CheckoutMove(checkout=code, due_at_ms=9_000))
    closed = replace(code, version=3, status=CheckoutStatus.CLOSED)
    assert await store.move_checkout(CheckoutMove(checkout=closed, due_at_ms=None))
    assert await store.checkout(BASE.id) == closed
    assert await store.jobs(None, "", 9) == []


async def test_a_decision_moves_the_checkout_too(store: Store) -> None:
    assert await store.claim(opening())
    assert await store.claim(beginning())
    parked = Standing(status=Status.UNKNOWN, version=2, parked_reason="amount_mismatch")
    park = replace(paid(), moves=None, standing=parked)
    assert await store.advance(park)
    change = replace(paid(), previous=Status.UNKNOWN)
    change = replace(change, standing=replace(change.standing, version=3))
    case_id = f"case_{attempt_id(BASE.id, 1)[4:]}"
    decision = CaseDecision(
        case_id=case_id, number=1, decision="paid", by="wang", why="so", at_ms=3_000
    )
    assert await store.decide_payment(decision, change)
    kept = await store.checkout(BASE.id)
    assert kept is not None
    assert kept.status is CheckoutStatus.PAID


async def test_of_two_wallets_at_once_one_begins(url: str, open_store: OpenStore) -> None:
    """Over three stores: one claim, one attempt."""
    stores = [await open_store(url) for _ in range(3)]
    assert await stores[0].claim(opening())
    claims = []
    for number in range(3):
        claim = beginning()
        order = replace(claim.order, channel_order_no=f"CH{number:030d}")
        claims.append(replace(claim, order=order))
    won = await asyncio.gather(
        *(one.claim(claim) for one, claim in zip(stores, claims, strict=True))
    )
    assert won.count(True) == 1
