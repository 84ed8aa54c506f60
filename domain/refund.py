"""A refund's states, the one table that moves it, and what it does to its payment.

Rules:

* The table is total, as the payment's is (``domain/payment.py``).
* A refund reserves its amount on the payment before anything is sent: the store
  moves the payment by compare-and-set, so that open and finished refunds together
  never exceed what was captured.
* One ``channel_refund_no`` serves every repeat. Silence, a time-out or "not found"
  never ends a refund: it is asked again, sent again under its number, and at last
  parked for a person. Only the channel's own words end it.
* A reservation goes back only with the channel's definitive no.

The diagram in ``docs/refund_states.md`` is generated from this table.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from domain.decline import Decline, DeclineReason
from domain.ledger import Posting
from domain.ledger import refund as refund_postings
from domain.payment import Payment, Standing, Status
from domain.settle import Decision, accounts


class RefundStatus(enum.Enum):
    """Where a refund stands; the values are the API's words."""

    CREATED = "created"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class RefundEvent(enum.Enum):
    """What can happen to a refund."""

    SUBMIT = "submit"
    """Reserved, and about to leave; persisted before it does."""
    ACCEPTED = "accepted"
    """The channel took it and has not paid it out yet."""
    ANSWER_LOST = "answer_lost"
    """Sent, and no trustworthy answer."""
    NOT_SENT = "not_sent"
    """No byte left us: it is sent again later."""
    RETURNED = "returned"
    """The channel's verified yes: the payer has the money."""
    DECLINE = "decline"
    """The channel's verified, definitive no."""


class IllegalRefundTransition(Exception):
    """An event that this state can never meet: a defect of ours, never of the channel."""

    def __init__(self, status: RefundStatus, event: RefundEvent) -> None:
        super().__init__(f"{event.value} cannot happen to a refund that is {status.value}")
        self.status = status
        self.event = event


_S, _E = RefundStatus, RefundEvent
SAME: Final = "same"
ILLEGAL: Final = "illegal"

TRANSITIONS: Final[Mapping[RefundStatus, Mapping[RefundEvent, RefundStatus | str]]] = (
    MappingProxyType(
        {
            _S.CREATED: {
                _E.SUBMIT: _S.SUBMITTED,
                _E.ACCEPTED: _S.SUBMITTED,
                _E.ANSWER_LOST: _S.UNKNOWN,
                _E.NOT_SENT: SAME,
                _E.RETURNED: _S.SUCCEEDED,
                _E.DECLINE: _S.FAILED,
            },
            _S.SUBMITTED: {
                _E.SUBMIT: SAME,
                _E.ACCEPTED: SAME,
                _E.ANSWER_LOST: _S.UNKNOWN,
                _E.NOT_SENT: SAME,
                _E.RETURNED: _S.SUCCEEDED,
                _E.DECLINE: _S.FAILED,
            },
            _S.UNKNOWN: {
                _E.SUBMIT: ILLEGAL,
                _E.ACCEPTED: _S.SUBMITTED,
                _E.ANSWER_LOST: SAME,
                _E.NOT_SENT: SAME,
                _E.RETURNED: _S.SUCCEEDED,
                _E.DECLINE: _S.FAILED,
            },
            _S.SUCCEEDED: {
                _E.SUBMIT: ILLEGAL,
                _E.ACCEPTED: SAME,
                _E.ANSWER_LOST: SAME,
                _E.NOT_SENT: SAME,
                _E.RETURNED: SAME,
                _E.DECLINE: SAME,
            },
            _S.FAILED: {
                _E.SUBMIT: ILLEGAL,
                _E.ACCEPTED: SAME,
                _E.ANSWER_LOST: SAME,
                _E.NOT_SENT: SAME,
                _E.RETURNED: _S.SUCCEEDED,
                _E.DECLINE: SAME,
            },
        }
    )
)

_BY_A_PERSON: Final = Decline(DeclineReason.DECLINED)
_BEYOND_CAPTURE: Final = "returned_beyond_capture"

REFUND_FINAL: Final = frozenset({_S.SUCCEEDED, _S.FAILED})
"""Nothing more is asked of the channel (a late yes still counts)."""


def apply(status: RefundStatus, event: RefundEvent) -> RefundStatus:
    """The state after ``event``; the same state when the event changes nothing.

    Raises:
        IllegalRefundTransition: the cell is ``ILLEGAL``.
    """
    cell = TRANSITIONS[status][event]
    if isinstance(cell, RefundStatus):
        return cell
    if cell == SAME:
        return status
    raise IllegalRefundTransition(status, event)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder:
    """What never changes about a refund; written once, before anything is sent.

    Unique by ``merchant_no`` and ``merchant_refund_no``; ``fingerprint`` tells a repeat
    from a conflict; ``channel_refund_no`` is the number that its channel knows.
    """

    id: str
    payment_id: str
    merchant_no: str
    merchant_refund_no: str
    fingerprint: bytes
    amount_fen: int
    currency: str
    reason: str
    channel: str
    account_id: str
    channel_refund_no: str
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundStanding:
    """What changes about a refund; ``version`` rises by one with every change."""

    status: RefundStatus
    version: int
    done_at_ms: int = 0
    decline: Decline | None = None
    parked_reason: str = ""


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund and where it stands."""

    order: RefundOrder
    standing: RefundStanding


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundHappened:
    """An event of a refund with what the channel said beside it."""

    event: RefundEvent
    at_ms: int
    decline: Decline | None = None


@dataclass(frozen=True, slots=True)
class RefundStep:
    """The refund after an event, and what moves with it in the same commit.

    ``payment`` is the payment's new standing, ``None`` where it does not move;
    ``notice`` the type of the notification that is due, ``""`` for none.
    """

    standing: RefundStanding
    payment: Standing | None = None
    postings: Sequence[Posting] = ()
    notice: str = ""


def refundable_fen(standing: Standing) -> int:
    """What may still be refunded of a payment; 0 unless it has succeeded."""
    if standing.status is not Status.SUCCEEDED or standing.parked_reason:
        return 0
    return standing.captured_fen - standing.returned_fen - standing.refunding_fen


def reserve(payment: Payment, amount_fen: int) -> Standing | None:
    """The payment's standing with ``amount_fen`` reserved; ``None`` when that exceeds the rest."""
    now = payment.standing
    if not 0 < amount_fen <= refundable_fen(now):
        return None
    return replace(now, version=now.version + 1, refunding_fen=now.refunding_fen + amount_fen)


def refund_step(payment: Payment, refund: Refund, happened: RefundHappened) -> RefundStep | None:
    """What ``happened`` makes of a refund and its payment; ``None`` when nothing changes.

    Raises:
        IllegalRefundTransition: see :func:`apply`.
    """
    now = refund.standing
    if now.parked_reason and happened.event is not RefundEvent.RETURNED:
        return None
    return _moved(payment, refund, happened)


def parked_refund(refund: Refund, reason: str) -> RefundStep:
    """The refund set aside for a person; what it reserved stays reserved."""
    now = refund.standing
    return RefundStep(replace(now, version=now.version + 1, parked_reason=reason))


def decided_refund(
    payment: Payment, refund: Refund, decision: Decision, at_ms: int
) -> RefundStep | None:
    """What a person's decision makes of a parked refund; ``None`` where it cannot be.

    A refund that had failed before it was parked stays so by ``NOT_PAID``: what the
    channel returned beyond our books is for an adjustment of the ledger.
    """
    now = refund.standing
    if not now.parked_reason:
        return None
    freed = replace(now, parked_reason="")
    match decision:
        case Decision.RETRY:
            if now.status in REFUND_FINAL:
                return None
            return RefundStep(replace(freed, version=now.version + 1))
        case Decision.RETURNED:
            event = RefundEvent.RETURNED
        case Decision.NOT_PAID:
            if now.status is RefundStatus.FAILED:
                return RefundStep(replace(freed, version=now.version + 1))
            event = RefundEvent.DECLINE
        case Decision.PAID:
            return None
    happened = RefundHappened(event=event, at_ms=at_ms, decline=now.decline or _BY_A_PERSON)
    step = _moved(payment, Refund(refund.order, freed), happened)
    return None if step is None or step.standing.parked_reason else step


def _moved(payment: Payment, refund: Refund, happened: RefundHappened) -> RefundStep | None:
    now, order = refund.standing, refund.order
    status = apply(now.status, happened.event)
    if status is now.status:
        return None
    reserved_fen = 0 if now.status is RefundStatus.FAILED else order.amount_fen
    match status:
        case RefundStatus.SUCCEEDED:
            return _returned(payment, refund, happened, reserved_fen)
        case RefundStatus.FAILED:
            standing = replace(
                now,
                status=status,
                version=now.version + 1,
                done_at_ms=happened.at_ms,
                decline=happened.decline,
            )
            return _told(payment, standing, refunding_fen=-reserved_fen, notice="refund.failed")
        case RefundStatus.CREATED | RefundStatus.SUBMITTED | RefundStatus.UNKNOWN:
            return RefundStep(replace(now, status=status, version=now.version + 1))


def _returned(
    payment: Payment, refund: Refund, happened: RefundHappened, reserved_fen: int
) -> RefundStep | None:
    """The money is with the payer: booked, unless that is more than there was."""
    order, paid = refund.order, payment.standing
    rest_fen = paid.captured_fen - paid.returned_fen - paid.refunding_fen + reserved_fen
    if rest_fen < order.amount_fen:
        if refund.standing.parked_reason == _BEYOND_CAPTURE:
            return None  # heard before
        return parked_refund(refund, _BEYOND_CAPTURE)
    standing = replace(
        refund.standing,
        status=RefundStatus.SUCCEEDED,
        version=refund.standing.version + 1,
        done_at_ms=happened.at_ms,
        decline=None,
        parked_reason="",
    )
    postings = refund_postings(*accounts(payment.order), order.amount_fen, order.currency)
    return _told(
        payment,
        standing,
        refunding_fen=-reserved_fen,
        returned_fen=order.amount_fen,
        postings=postings,
        notice="refund.succeeded",
    )


def _told(
    payment: Payment,
    standing: RefundStanding,
    *,
    refunding_fen: int,
    notice: str,
    returned_fen: int = 0,
    postings: Sequence[Posting] = (),
) -> RefundStep:
    """The step with its payment moved along."""
    paid = payment.standing
    told = notice if payment.order.notify_url else ""
    moved = replace(
        paid,
        version=paid.version + 1,
        refunding_fen=paid.refunding_fen + refunding_fen,
        returned_fen=paid.returned_fen + returned_fen,
        notices=paid.notices + 1 if told else paid.notices,
    )
    return RefundStep(standing, moved, postings, told)
