"""What a checkout does when its attempt moves, ready for the attempt's own commit.

Rules: read here, decided by ``domain/checkout_step.py``, refused by the store when anything
moved meanwhile (the caller then computes the move anew). An attempt tells its merchant
nothing: the checkout does, in one sequence that the attempt's refunds go on with.
"""

from dataclasses import dataclass, replace

from domain.checkout import (
    OPEN,
    Checkout,
    CheckoutEvent,
    CheckoutStatus,
    is_attempt,
    shown_id,
)
from domain.checkout_step import (
    CheckoutStep,
    checkout_step,
    concerns_checkout,
    event_of,
    seen_payment,
)
from domain.decline import Decline
from domain.errors import Unavailable
from domain.payment import FINAL, Event, Payment
from domain.settle import Step
from gateway.notices import NoticeWriter
from gateway.store.port import Advance, CheckoutMove, Store


@dataclass(frozen=True, slots=True)
class Found:
    """A checkout with its payment and its current attempt, as they stood at one moment."""

    checkout: Checkout
    base: Payment
    attempt: Payment | None

    def is_under_way(self) -> bool:
        """Whether nobody can begin: the current attempt may be paid, or is being undone."""
        attempt, is_paying = self.attempt, self.checkout.status is CheckoutStatus.PAYING
        return is_paying and attempt is not None and attempt.standing.status not in FINAL


async def checkout_of(store: Store, payment_id: str) -> Found:
    """A checkout with its payments, by its own id or an attempt's.

    Raises:
        Unavailable: the store is away, or does not show them.
    """
    read = await store.checkout_with_payments(shown_id(payment_id))
    if read is None:
        raise Unavailable("the store does not show a checkout that it acknowledged")
    return Found(*read)


async def followed(
    store: Store, notices: NoticeWriter, before: Payment, move: Step, cause: Event, at_ms: int
) -> tuple[Step, CheckoutMove | None]:
    """A payment's move as it is committed, with its checkout's where it has one.

    Raises:
        Unavailable: see :func:`checkout_of`.
    """
    order, now = before.order, move.standing
    if not is_attempt(order):
        return move, None
    silent = Step(replace(now, notices=before.standing.notices), move.postings)
    if not concerns_checkout(now.status):
        return silent, None
    found = await checkout_of(store, order.id)
    base, checkout = found.base, found.checkout
    previous = before.standing.status
    event = event_of(checkout, order, previous, now.status, cause, at_ms)
    if event is None:
        return silent, None
    step = checkout_step(base, checkout, event, attempt=silent.standing, cause=cause, decline=None)
    if step is None:
        return silent, None
    if step.notice and step.standing is not None:
        silent = replace(silent, standing=replace(now, notices=step.standing.notices))
    after = Payment(order, silent.standing)
    return silent, checkout_move(notices, base, step, after, at_ms)


def checkout_move(
    notices: NoticeWriter, base: Payment, step: CheckoutStep, attempt: Payment | None, at_ms: int
) -> CheckoutMove:
    """A checkout's step as the store takes it."""
    checkout, advance = step.checkout, None
    if step.standing is not None and step.event is not None:
        notice = None
        if step.notice:
            seen = seen_payment(Payment(base.order, step.standing), attempt)
            notice = notices.of_payment(seen, step.notice, at_ms)
        advance = Advance(
            payment_id=base.order.id,
            merchant_no=base.order.merchant_no,
            previous=base.standing.status,
            event=step.event,
            standing=step.standing,
            at_ms=at_ms,
            due_at_ms=None,
            notice=notice,
        )
    due_at_ms = checkout.expires_at_ms if checkout.status in OPEN else None
    return CheckoutMove(checkout=checkout, due_at_ms=due_at_ms, base=advance)


def closing_move(
    notices: NoticeWriter,
    base: Payment,
    checkout: Checkout,
    attempt: Payment | None,
    *,
    cause: Event,
    decline: Decline,
    at_ms: int,
) -> CheckoutMove | None:
    """A checkout that ends, or begins to, though no attempt of it is to be undone first."""
    step = checkout_step(
        base,
        checkout,
        CheckoutEvent.CLOSE,
        attempt=None if attempt is None else attempt.standing,
        cause=cause,
        decline=decline,
    )
    return None if step is None else checkout_move(notices, base, step, attempt, at_ms)
