"""How a checkout follows its attempt: one move of the attempt in, the checkout's move out.

Rules: pure; what comes out is committed with what came in. A move of an attempt that was
given up moves no checkout. Whoever undoes an attempt before its time is over hands the
checkout to another wallet; an undo of the merchant's, or one when the time is over, ends it.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from domain.checkout import SHOWN, Checkout, CheckoutEvent, CheckoutStatus, apply
from domain.decline import Decline
from domain.payment import FINAL, Event, Order, Payment, Standing, Status
from domain.record import brief
from domain.settle import TOLD

_ENDED_UNPAID: Final = frozenset({Status.FAILED, Status.CLOSED})
_OF_ATTEMPT: Final[Mapping[Status, CheckoutEvent]] = MappingProxyType(
    {
        Status.SUCCEEDED: CheckoutEvent.PAID,
        Status.FAILED: CheckoutEvent.UNPAID,
        Status.CLOSED: CheckoutEvent.UNPAID,
        Status.REVERSED: CheckoutEvent.RETURNED,
    }
)
"""What the end of an attempt is to its checkout."""
_EVENTS: Final[Mapping[CheckoutStatus, Event]] = MappingProxyType(
    {
        CheckoutStatus.PAID: Event.PAID,
        CheckoutStatus.CLOSED: Event.UNDONE_UNPAID,
        CheckoutStatus.FAILED: Event.DECLINE,
        CheckoutStatus.REVERSED: Event.UNDONE_PAID,
    }
)
"""What a checkout's new state is in its payment's history; ``CLOSING`` has several causes."""


@brief
class CheckoutStep:
    """The checkout after an event, and its payment where that moves too.

    ``notice`` is the type of what the merchant is told, ``""`` for nothing; its number is
    ``standing.notices``.
    """

    checkout: Checkout
    standing: Standing | None = None
    event: Event | None = None
    notice: str = ""


def concerns_checkout(status: Status) -> bool:
    """Whether an attempt's move to ``status`` can be anything for its checkout at all."""
    return status is Status.REVERSING or status in _OF_ATTEMPT


def event_of(
    checkout: Checkout, attempt: Order, previous: Status, status: Status, cause: Event, at_ms: int
) -> CheckoutEvent | None:
    """What an attempt's move from ``previous`` is for its checkout; ``None``: nothing."""
    if attempt.id != checkout.current_id:
        return None
    if status is Status.FAILED and checkout.is_single:
        return CheckoutEvent.REFUSED
    if status is not Status.REVERSING:
        return _OF_ATTEMPT.get(status)
    if previous in _ENDED_UNPAID:
        return CheckoutEvent.LATE
    is_over = at_ms >= attempt.till_deadline_ms
    ends = cause is Event.UNDO or (cause is Event.GIVE_UP and is_over)
    return CheckoutEvent.CLOSE if ends else None


def checkout_step(
    base: Payment,
    checkout: Checkout,
    event: CheckoutEvent,
    *,
    attempt: Standing | None,
    cause: Event,
    decline: Decline | None,
) -> CheckoutStep | None:
    """What ``event`` makes of a checkout and its payment; ``None`` when it changes nothing.

    ``attempt`` is where the current attempt stands after its move, ``cause`` what moved it.

    Raises:
        IllegalCheckout: see :func:`domain.checkout.apply`.
    """
    status = apply(checkout.status, event)
    if status is checkout.status:
        return None
    moved = replace(checkout, status=status, version=checkout.version + 1)
    now, shown = base.standing, SHOWN[status]
    if shown is now.status:
        return CheckoutStep(moved)
    notice = TOLD.get(shown, "") if base.order.notify_url else ""
    told = max(now.notices, 0 if attempt is None else attempt.notices)
    reason = None if attempt is None else attempt.decline
    standing = replace(
        now,
        status=shown,
        version=now.version + 1,
        channel_trade_no=now.channel_trade_no if attempt is None else attempt.channel_trade_no,
        paid_at_ms=now.paid_at_ms if attempt is None else attempt.paid_at_ms,
        notices=told + 1 if notice else now.notices,
        decline=None if shown is Status.SUCCEEDED else decline or reason or now.decline,
    )
    return CheckoutStep(moved, standing, _EVENTS.get(status, cause), notice)


def seen_payment(base: Payment, attempt: Payment | None) -> Payment:
    """The checkout's payment as its merchant sees it, with what its current attempt adds.

    An attempt that is parked, or unknown while the checkout is open, shows through; one that
    was given up while another may come does not.
    """
    if attempt is None:
        return base
    order, theirs, ours = attempt.order, attempt.standing, base.standing
    is_open = ours.status is Status.PENDING
    if is_open and theirs.status in FINAL and theirs.status is not Status.SUCCEEDED:
        return base
    unknown = is_open and theirs.status is Status.UNKNOWN
    return Payment(
        replace(
            base.order,
            channel=order.channel,
            account_id=order.account_id,
            channel_order_no=order.channel_order_no,
        ),
        replace(
            ours,
            status=Status.UNKNOWN if unknown else ours.status,
            captured_fen=theirs.captured_fen,
            returned_fen=theirs.returned_fen,
            refunding_fen=theirs.refunding_fen,
            parked_reason=theirs.parked_reason,
        ),
    )
