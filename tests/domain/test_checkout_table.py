"""The checkouts' table is total, and legal in the table of the payment that a merchant sees."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import payment as payments
from domain.checkout import (
    ILLEGAL,
    OPEN,
    SAME,
    SHOWN,
    TRANSITIONS,
    Checkout,
    CheckoutEvent,
    CheckoutStatus,
    IllegalCheckout,
    apply,
    attempt_id,
    attempt_key,
    is_attempt,
    is_checkout,
    shown_id,
)
from domain.checkout_step import checkout_step, concerns_checkout, event_of
from domain.decline import Decline, DeclineReason
from domain.payment import Event, Order, Payment, Standing, Status
from domain.settle import Happened, step
from tests.support.payments import sample_order

CELLS = list(itertools.product(CheckoutStatus, CheckoutEvent))
BASE = sample_order(
    1, id="pay_ABC", door="api", order_key="o1", method="qr", channel="", account_id="",
    channel_order_no="", notify_url="https://shop.example/n",
)  # fmt: skip
DEADLINE = BASE.till_deadline_ms


def order_of_attempt(number: int) -> Order:
    return sample_order(
        number, id=attempt_id(BASE.id, number), door="checkout",
        order_key=attempt_key(BASE, number), method="jsapi", notify_url=BASE.notify_url,
    )  # fmt: skip


def checkout(status: CheckoutStatus, attempts: int = 1, **changes: object) -> Checkout:
    values: dict[str, object] = {
        "id": BASE.id, "merchant_no": BASE.merchant_no, "status": status, "version": 1,
        "attempts": attempts, "wallets": (), "is_single": False, "created_at_ms": 1_000,
        "expires_at_ms": DEADLINE,
    }  # fmt: skip
    return Checkout(**(values | changes))  # type: ignore[arg-type]


def test_every_state_meets_every_event() -> None:
    assert TRANSITIONS.keys() == set(CheckoutStatus)
    for row in TRANSITIONS.values():
        assert row.keys() == set(CheckoutEvent)
        cells = row.values()
        assert all(isinstance(one, CheckoutStatus) or one in (SAME, ILLEGAL) for one in cells)


@pytest.mark.parametrize(("status", "event"), CELLS, ids=lambda one: one.value)
def test_apply_follows_its_cell(status: CheckoutStatus, event: CheckoutEvent) -> None:
    cell = TRANSITIONS[status][event]
    if cell == ILLEGAL:
        with pytest.raises(IllegalCheckout, match=f"{event.value}.*{status.value}"):
            apply(status, event)
    else:
        assert apply(status, event) is (status if cell == SAME else cell)


def test_nobody_begins_but_while_nobody_pays() -> None:
    legal = {status for status in CheckoutStatus if TRANSITIONS[status][_B] != ILLEGAL}
    assert legal == {CheckoutStatus.WAITING}


_B = CheckoutEvent.BEGIN


def test_what_is_over_is_never_open_again() -> None:
    for status, event in CELLS:
        cell = TRANSITIONS[status][event]
        if status not in OPEN and isinstance(cell, CheckoutStatus):
            assert cell not in OPEN


@pytest.mark.parametrize(("status", "event"), CELLS, ids=lambda one: one.value)
def test_a_merchant_sees_legal_moves_only(status: CheckoutStatus, event: CheckoutEvent) -> None:
    """Each move of the payment that stands for it is in the payments' own table."""
    if TRANSITIONS[status][event] == ILLEGAL:
        return
    before = Payment(BASE, Standing(status=SHOWN[status], version=1))
    causes = {
        CheckoutEvent.CLOSE: (Event.UNDO, Event.GIVE_UP),
        CheckoutEvent.LATE: (Event.PAID,),
    }.get(event, (Event.PAID,))
    for cause in causes:
        if status is CheckoutStatus.PAID and cause is Event.GIVE_UP:
            continue  # nobody gives up what is paid
        moved = checkout_step(
            before, checkout(status), event, attempt=None, cause=cause, decline=None
        )
        if moved is not None and moved.standing is not None:
            assert moved.event is not None
            assert payments.apply(SHOWN[status], moved.event) is moved.standing.status
            assert moved.standing.version == 2


def test_what_an_attempt_does_is_its_checkouts_only_while_it_is_current() -> None:
    first, now = order_of_attempt(1), checkout(CheckoutStatus.PAYING, attempts=2)
    for status in Status:
        assert event_of(now, first, Status.CLOSED, status, Event.PAID, 1) is None


def test_what_cannot_concern_a_checkout_is_nothing_for_it() -> None:
    """Whatever the checkout and the cause: so it need not be looked up."""
    attempt = order_of_attempt(1)
    told = {
        status: event_of(checkout(stands, is_single=single), attempt, before, status, cause, DEADLINE)
        for status in Status if not concerns_checkout(status)
        for stands in CheckoutStatus for single in (False, True)
        for before in Status for cause in Event
    }  # fmt: skip
    assert set(told) == {Status.CREATED, Status.SUBMITTED, Status.PENDING, Status.UNKNOWN} | {
        Status.AUTHORIZED
    }
    assert set(told.values()) == {None}


@pytest.mark.parametrize(
    ("cause", "at_ms", "event"),
    [
        (Event.UNDO, 1, CheckoutEvent.CLOSE),
        (Event.GIVE_UP, DEADLINE, CheckoutEvent.CLOSE),
        (Event.GIVE_UP, DEADLINE - 1, None),
        (Event.PAID, 1, None),
    ],
)
def test_an_undo_ends_the_checkout_or_hands_it_on(
    cause: Event, at_ms: int, event: CheckoutEvent | None
) -> None:
    """The merchant's, and that of the time that is over; not the one for another wallet."""
    paying = checkout(CheckoutStatus.PAYING)
    attempt = order_of_attempt(1)
    assert event_of(paying, attempt, Status.PENDING, Status.REVERSING, cause, at_ms) is event


def test_the_only_wallet_that_refuses_ends_it() -> None:
    attempt = order_of_attempt(1)
    single = checkout(CheckoutStatus.PAYING, is_single=True)
    asked = (attempt, Status.SUBMITTED, Status.FAILED, Event.DECLINE, 1)
    assert event_of(single, *asked) is CheckoutEvent.REFUSED
    assert event_of(checkout(CheckoutStatus.PAYING), *asked) is CheckoutEvent.UNPAID


@given(
    st.lists(st.sampled_from([event for event in Event if event is not Event.SUBMIT]), max_size=12),
    st.booleans(),
)
def test_a_checkout_never_contradicts_its_attempt(events: Sequence[Event], late: bool) -> None:
    """Whatever happens to the only attempt: paid is paid, ended is ended, nothing is illegal."""
    attempt = Payment(order_of_attempt(1), Standing(status=Status.SUBMITTED, version=1))
    base = Payment(BASE, Standing(status=Status.PENDING, version=1))
    row, at_ms = checkout(CheckoutStatus.PAYING), DEADLINE if late else 1
    for event in events:
        decline = Decline(DeclineReason.CANCELLED)
        move = step(attempt, Happened(event=event, at_ms=at_ms, decline=decline))
        if move is None:
            continue
        said = event_of(
            row, attempt.order, attempt.standing.status, move.standing.status, event, at_ms
        )
        attempt = Payment(attempt.order, move.standing)
        if said is None:
            continue
        follows = checkout_step(
            base, row, said, attempt=attempt.standing, cause=event, decline=None
        )
        if follows is None:
            continue
        row = follows.checkout
        if follows.standing is not None and follows.event is not None:
            assert payments.apply(base.standing.status, follows.event) is follows.standing.status
            base = Payment(BASE, follows.standing)
        assert SHOWN[row.status] is base.standing.status
    paid = attempt.standing.status is Status.SUCCEEDED
    assert paid == (row.status is CheckoutStatus.PAID)
    if row.status in (CheckoutStatus.CLOSED, CheckoutStatus.REVERSED, CheckoutStatus.WAITING):
        assert attempt.standing.status in (Status.CLOSED, Status.FAILED, Status.REVERSED,
                                           Status.REVERSING)  # fmt: skip


def test_names_lead_back_to_the_checkout() -> None:
    attempt = order_of_attempt(2)
    assert is_attempt(attempt)
    assert not is_checkout(attempt)
    assert is_checkout(BASE)
    assert not is_checkout(sample_order(3))
    assert shown_id(attempt.id) == shown_id(BASE.id) == BASE.id
