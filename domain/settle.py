"""One step of a payment: event in, new standing and its postings out.

Rules: pure; the postings belong to the transition and are written in its commit;
a step that changes nothing returns ``None``. What a channel says is compared with
the order here, and a contradiction is *parked*: never paid, never dropped, a human
decides. Of a hold nothing is taken, so whoever books the channel's word about one asks
:func:`meant` first what it is.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from domain.decline import Decline
from domain.ledger import Posting, capture, channel_receivable, merchant_payable, reversal
from domain.payment import HOLD_METHOD, Event, Order, Payment, Standing, Status, apply
from domain.record import brief, record


@record
class Happened:
    """An event with what the channel said beside it."""

    event: Event
    at_ms: int
    trade_no: str = ""
    reference: str = ""
    paid_at_ms: int = 0
    card_organisation: str = ""
    decline: Decline | None = None
    asked_version: int = 0
    """The payment's version when the channel was asked for an undo that did not tell of money;
    0 where its word holds whenever it was given."""


_FOR_A_PARKED_ONE: Final = frozenset({Event.UNDO, Event.UNDONE_PAID, Event.UNDONE_UNPAID})
"""A parked payment waits for a person, who may undo it; nothing else moves it."""


_OF_A_HOLD: Final[Mapping[Event, Event]] = MappingProxyType(
    {Event.PAID: Event.AUTHORIZE, Event.UNDONE_PAID: Event.UNDONE_UNPAID}
)
"""A channel that says yes to a hold holds; one that undid it had taken nothing."""

_PROOFS: Final = frozenset({Event.PAID, Event.AUTHORIZE})

_SUCCEEDED: Final = Status.SUCCEEDED
_CLOSED: Final = Status.CLOSED
_REVERSED: Final = Status.REVERSED
_REVERSING: Final = Status.REVERSING
"""Looked up with every payment: a global is, a member of an enumeration is not, cheap."""

_UNDOES: Final = frozenset({Event.UNDO, Event.GIVE_UP})

_TOLD_NOT_PAID: Final = frozenset({Status.FAILED, Status.CLOSED, Status.REVERSING})
"""The till heard that it is not paid: no answer and no person can make it succeed."""

TOLD: Final = {
    Status.SUCCEEDED: "payment.succeeded",
    Status.FAILED: "payment.failed",
    Status.CLOSED: "payment.closed",
    Status.REVERSED: "payment.reversed",
}
"""What a merchant is sent; a state that is not here is on the way to one that is."""


@brief
class Step:
    """The standing after an event, and the ledger lines that go with it.

    ``notice`` is the type of the notification that is due, ``""`` for none; its sequence
    number is ``standing.notices``.
    """

    standing: Standing
    postings: Sequence[Posting] = ()
    notice: str = ""


def meant(order: Order, event: Event) -> Event:
    """What ``event`` is for this payment, where its channel has one word for two things."""
    return _OF_A_HOLD.get(event, event) if order.method == HOLD_METHOD else event


def step(payment: Payment, happened: Happened) -> Step | None:
    """What ``happened`` makes of ``payment``; ``None`` when it changes nothing.

    Raises:
        IllegalTransition: see :func:`domain.payment.apply`.
    """
    now = payment.standing
    if now.parked_reason and happened.event not in _FOR_A_PARKED_ONE:
        return None
    if happened.event in _UNDOES and has_refunds(now):
        return None
    status = apply(now.status, happened.event)
    if status is now.status:
        return _seen(now, happened) if status is _REVERSING else None
    if happened.asked_version and _is_outdated(now, happened):
        return None
    if status is _CLOSED and (now.captured_fen > now.returned_fen or now.paid_at_ms):
        return parked(payment, "undone_as_unpaid_after_payment")
    if status is _REVERSED and now.refunding_fen:
        # the whole came back while parts of it are on their way: who holds what is not known
        return None if now.parked_reason else parked(payment, "undone_with_open_refunds")
    return _moved(payment, status, happened)


def has_refunds(standing: Standing) -> bool:
    """Whether a part of it was returned or is being so.

    An undo takes a whole payment back: what is left of this one is refunded instead.
    """
    return standing.status is not _REVERSED and (
        standing.returned_fen > 0 or standing.refunding_fen > 0
    )


def _moved(payment: Payment, status: Status, happened: Happened) -> Step:
    """The payment in a new ``status``, its postings and its notice."""
    order, now = payment.order, payment.standing
    captured_fen, returned_fen = now.captured_fen, now.returned_fen
    postings: tuple[Posting, ...] = ()
    if status is _SUCCEEDED and captured_fen == 0:
        captured_fen = order.amount_fen
        postings = capture(*accounts(order), captured_fen, order.currency)
    elif status is _REVERSED:
        if captured_fen == 0:
            captured_fen = order.amount_fen
            postings = capture(*accounts(order), captured_fen, order.currency)
        postings += reversal(*accounts(order), captured_fen - returned_fen, order.currency)
        returned_fen = captured_fen
    notice = TOLD.get(status, "") if order.notify_url else ""
    return Step(
        Standing(
            status=status,
            version=now.version + 1,
            channel_trade_no=happened.trade_no or now.channel_trade_no,
            channel_reference=happened.reference or now.channel_reference,
            paid_at_ms=happened.paid_at_ms or now.paid_at_ms,
            captured_fen=captured_fen,
            returned_fen=returned_fen,
            refunding_fen=now.refunding_fen,
            notices=now.notices + 1 if notice else now.notices,
            decline=(happened.decline or now.decline) if status in _TOLD_NOT_PAID else now.decline,
            card_organisation=happened.card_organisation or now.card_organisation,
        ),
        postings,
        notice,
    )


def _is_outdated(now: Standing, happened: Happened) -> bool:
    """Whether an undo speaks of what was there before the payment moved once more.

    "Nothing was there" is true of the moment it was asked: a yes that became known since may have
    come to the channel after it. Such an undo is asked for again.
    """
    return happened.asked_version != now.version


def _seen(now: Standing, happened: Happened) -> Step | None:
    """The channel said yes while the undo was under way: an undo asked for from now on ends it."""
    if happened.event is Event.PAID:
        return None if now.paid_at_ms else _seen_yes(now, happened)
    if happened.event is not Event.AUTHORIZE:
        return None
    is_known = bool(happened.reference) and happened.reference == now.channel_reference
    return None if is_known else _seen_yes(now, happened)


def _seen_yes(now: Standing, happened: Happened) -> Step:
    is_paid = happened.event is Event.PAID
    return Step(
        replace(
            now,
            version=now.version + 1,
            channel_trade_no=happened.trade_no or now.channel_trade_no,
            channel_reference=happened.reference or now.channel_reference,
            paid_at_ms=(happened.paid_at_ms or happened.at_ms) if is_paid else now.paid_at_ms,
        )
    )


def contradiction(order: Order, *, amount_fen: int | None, currency: str, order_no: str) -> str:
    """What in the channel's words does not fit the order; ``""`` when all does.

    Its number comes first: what is said of another order says nothing of this one.
    """
    if order_no and order_no != order.channel_order_no:
        return "order_mismatch"
    if amount_fen is not None and amount_fen != order.amount_fen:
        return "amount_mismatch"
    if currency and currency != order.currency:
        return "currency_mismatch"
    return ""


def parked(payment: Payment, reason: str, proof: Happened | None = None) -> Step:
    """The payment set aside for a human: unknown, or reversing, with the reason.

    ``proof`` is the channel's word that money was taken, under this payment's own number
    though it does not fit otherwise: an undo that finds nothing must not outlast it.

    What was told as not paid, or is being undone, can end closed or reversed only.
    """
    now = payment.standing
    status = Status.REVERSING if now.status in _TOLD_NOT_PAID else Status.UNKNOWN
    standing = replace(now, status=status, version=now.version + 1, parked_reason=reason)
    if proof is not None and proof.event in _PROOFS:
        standing = replace(
            standing,
            channel_trade_no=proof.trade_no or now.channel_trade_no,
            channel_reference=proof.reference or now.channel_reference,
        )
    if proof is not None and proof.event is Event.PAID:
        paid_at_ms = now.paid_at_ms or proof.paid_at_ms or proof.at_ms
        standing = replace(standing, paid_at_ms=paid_at_ms)
    return Step(standing)


def accounts(order: Order) -> tuple[str, str]:
    """What the order's channel owes us, and what we owe its merchant."""
    return (
        channel_receivable(order.channel, order.account_id),
        merchant_payable(order.merchant_no),
    )


class Decision(enum.Enum):
    """What a person may decide about a parked payment or refund."""

    RETRY = "retry"
    """Ask the channel again, as if it had never been parked."""
    PAID = "paid"
    """The channel has the money and keeps it: the payment succeeded (a hold: it holds)."""
    NOT_PAID = "not-paid"
    """The channel never took the money, or has nothing of it."""
    RETURNED = "returned"
    """The payer has the money back."""


DECIDED: Final[Mapping[Decision, Event]] = MappingProxyType(
    {
        Decision.PAID: Event.PAID,
        Decision.NOT_PAID: Event.UNDONE_UNPAID,
        Decision.RETURNED: Event.UNDONE_PAID,
    }
)
"""What a decision stands for (by :func:`meant`) in a history; ``RETRY`` is a deed, no event."""


def decided(payment: Payment, decision: Decision, at_ms: int) -> Step | None:
    """What a person's decision makes of a parked payment; ``None`` where it cannot be.

    An undo that was begun can end closed or reversed only: the till was told so.
    """
    now = payment.standing
    if not now.parked_reason:
        return None
    freed = replace(now, parked_reason="", version=now.version + 1)
    if decision is Decision.RETRY:
        return Step(freed)
    event = meant(payment.order, DECIDED[decision])
    status = apply(now.status, event)
    if status is now.status:
        return None
    if status is Status.CLOSED and now.captured_fen > now.returned_fen:
        return None
    if status is Status.REVERSED and now.refunding_fen:
        return None  # its refunds end first
    took_money = event is Event.PAID or event is Event.UNDONE_PAID
    paid_at_ms = (now.paid_at_ms or at_ms) if took_money else 0
    before = replace(now, parked_reason="", paid_at_ms=paid_at_ms)
    happened = Happened(event=event, at_ms=at_ms, paid_at_ms=paid_at_ms)
    return _moved(Payment(payment.order, before), status, happened)
