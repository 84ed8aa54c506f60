"""One step of a payment: event in, new standing and its postings out.

Rules: pure; the postings belong to the transition and are written in its commit;
a step that changes nothing returns ``None``. What a channel says is compared with
the order here, and a contradiction is *parked*: never paid, never dropped, a human
decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from domain.decline import Decline
from domain.ledger import Posting, capture, channel_receivable, merchant_payable, reversal
from domain.payment import Event, Order, Payment, Standing, Status, apply
from domain.record import record


@record
class Happened:
    """An event with what the channel said beside it."""

    event: Event
    at_ms: int
    trade_no: str = ""
    reference: str = ""
    paid_at_ms: int = 0
    decline: Decline | None = None


_FOR_A_PARKED_ONE: Final = frozenset({Event.UNDO, Event.UNDONE_PAID, Event.UNDONE_UNPAID})
"""A parked payment waits for a person, who may undo it; nothing else moves it."""


@dataclass(frozen=True, slots=True)
class Step:
    """The standing after an event, and the ledger lines that go with it."""

    standing: Standing
    postings: Sequence[Posting] = ()


def step(payment: Payment, happened: Happened) -> Step | None:
    """What ``happened`` makes of ``payment``; ``None`` when it changes nothing.

    Raises:
        IllegalTransition: see :func:`domain.payment.apply`.
    """
    order, now = payment.order, payment.standing
    if now.parked_reason and happened.event not in _FOR_A_PARKED_ONE:
        return None
    status = apply(now.status, happened.event)
    if status is now.status:
        paid_meanwhile = status is Status.REVERSING and happened.event is Event.PAID
        return _seen_paid(now, happened) if paid_meanwhile and not now.paid_at_ms else None
    if status is Status.CLOSED and (now.captured_fen > now.returned_fen or now.paid_at_ms):
        return parked(payment, "undone_as_unpaid_after_payment")
    captured_fen, returned_fen = now.captured_fen, now.returned_fen
    postings: tuple[Posting, ...] = ()
    if status is Status.SUCCEEDED:
        captured_fen = order.amount_fen
        postings = _capture(order)
    elif status is Status.REVERSED:
        if captured_fen == 0:
            captured_fen = order.amount_fen
            postings = _capture(order)
        returned_fen = order.amount_fen
        postings += reversal(*_accounts(order), order.amount_fen, order.currency)
    ended = status in (Status.FAILED, Status.CLOSED, Status.REVERSING)
    return Step(
        Standing(
            status=status,
            version=now.version + 1,
            channel_trade_no=happened.trade_no or now.channel_trade_no,
            channel_reference=happened.reference or now.channel_reference,
            paid_at_ms=happened.paid_at_ms or now.paid_at_ms,
            captured_fen=captured_fen,
            returned_fen=returned_fen,
            decline=(happened.decline or now.decline) if ended else now.decline,
        ),
        postings,
    )


def _seen_paid(now: Standing, happened: Happened) -> Step:
    """The channel said "paid" while the undo was under way: an undo must return it."""
    return Step(
        replace(
            now,
            version=now.version + 1,
            channel_trade_no=happened.trade_no or now.channel_trade_no,
            channel_reference=happened.reference or now.channel_reference,
            paid_at_ms=happened.paid_at_ms or happened.at_ms,
        )
    )


def contradiction(order: Order, *, amount_fen: int | None, currency: str, order_no: str) -> str:
    """What in the channel's words does not fit the order; ``""`` when all does."""
    if amount_fen is not None and amount_fen != order.amount_fen:
        return "amount_mismatch"
    if currency and currency != order.currency:
        return "currency_mismatch"
    if order_no and order_no != order.channel_order_no:
        return "order_mismatch"
    return ""


def parked(payment: Payment, reason: str) -> Step:
    """The payment set aside for a human: unknown (or still reversing), with the reason."""
    now = payment.standing
    status = now.status if now.status is Status.REVERSING else Status.UNKNOWN
    return Step(replace(now, status=status, version=now.version + 1, parked_reason=reason))


def _accounts(order: Order) -> tuple[str, str]:
    return (
        channel_receivable(order.channel, order.account_id),
        merchant_payable(order.merchant_no),
    )


def _capture(order: Order) -> tuple[Posting, ...]:
    return capture(*_accounts(order), order.amount_fen, order.currency)
