"""A payment's states and the one table that moves it.

Rules:

* The table is total: every state meets every event on purpose. A cell holds the
  next state, ``SAME`` (a repeat or a late message: nothing changes) or ``ILLEGAL``
  (our own code is wrong: :class:`IllegalTransition`).
* Nothing is failed or closed by a timer: a deadline only *asks* for an undo, and
  only the channel's answer ends it.
* Money that arrives late is never dropped: ``PAID`` on a closed or failed payment
  makes it ``reversing``, and recovery gives the money back.
* From ``reversing`` a payment can only end ``closed`` (nothing was paid) or
  ``reversed`` (it was paid and went back).
* A hold (a card pre-authorisation) is a payment that rests ``authorized``: nothing was
  taken, so it has no ledger entry and its undo always ends ``closed``. What is taken of it
  later is a payment of its own, a completion; the hold stays ``authorized``.

The diagram in ``docs/payment_states.md`` is generated from this table.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from domain.decline import Decline
from domain.record import brief, record


class Status(enum.Enum):
    """Where a payment stands; the values are the API's words."""

    __hash__ = object.__hash__  # as ``==``, by identity: an enumeration's own costs ten times it

    CREATED = "created"
    SUBMITTED = "submitted"
    PENDING = "pending"
    UNKNOWN = "unknown"
    AUTHORIZED = "authorized"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REVERSING = "reversing"
    REVERSED = "reversed"
    CLOSED = "closed"


class Event(enum.Enum):
    """What can happen to a payment."""

    __hash__ = object.__hash__  # as ``==``, by identity: an enumeration's own costs ten times it

    SUBMIT = "submit"
    """The request is about to leave; persisted before it does."""
    PAYER_ACTING = "payer_acting"
    """The channel says that the payer is still acting."""
    ANSWER_LOST = "answer_lost"
    """Sent, and no trustworthy answer."""
    AUTHORIZE = "authorize"
    """The channel holds the amount; capture comes later."""
    PAID = "paid"
    """The channel's verified, definitive yes."""
    DECLINE = "decline"
    """The channel's verified, definitive no."""
    NOT_SENT = "not_sent"
    """No byte left us: nothing can have been charged."""
    UNDO = "undo"
    """A terminal reversed or a merchant cancelled: even a paid one goes back."""
    GIVE_UP = "give_up"
    """The till's patience ended: undo unless it is paid by now."""
    UNDONE_UNPAID = "undone_unpaid"
    """The channel undid it and says that nothing had been paid."""
    UNDONE_PAID = "undone_paid"
    """The channel gave the money back."""


class Deed(enum.Enum):
    """What else a payment's history holds: its numbers or its case moved, not its status."""

    RESERVE = "reserve"
    """A refund reserved its amount."""
    REFUND_SUCCEEDED = "refund_succeeded"
    """A refund's money is with the payer."""
    REFUND_FAILED = "refund_failed"
    """The channel refused a refund; its reservation went back."""
    RETRY = "retry"
    """A person sent a parked payment back to be asked about again."""
    ATTEMPT_REFUND = "attempt_refund"
    """A refund of the attempt that paid this checkout moved; the numbers are the attempt's."""


class IllegalTransition(Exception):
    """An event that this state can never meet: a defect of ours, never of the channel."""

    def __init__(self, status: Status, event: Event) -> None:
        super().__init__(f"{event.value} cannot happen to a payment that is {status.value}")
        self.status = status
        self.event = event


_S, _E = Status, Event
SAME: Final = "same"
ILLEGAL: Final = "illegal"
Cell = Status | str

TRANSITIONS: Final[Mapping[Status, Mapping[Event, Cell]]] = MappingProxyType(
    {
        _S.CREATED: {
            _E.SUBMIT: _S.SUBMITTED,
            _E.PAYER_ACTING: _S.PENDING,
            _E.ANSWER_LOST: _S.UNKNOWN,
            _E.AUTHORIZE: _S.AUTHORIZED,
            _E.PAID: _S.SUCCEEDED,
            _E.DECLINE: _S.FAILED,
            _E.NOT_SENT: SAME,
            _E.UNDO: _S.CLOSED,
            _E.GIVE_UP: _S.CLOSED,
            _E.UNDONE_UNPAID: _S.CLOSED,
            _E.UNDONE_PAID: _S.REVERSED,
        },
        _S.SUBMITTED: {
            _E.SUBMIT: SAME,
            _E.PAYER_ACTING: _S.PENDING,
            _E.ANSWER_LOST: _S.UNKNOWN,
            _E.AUTHORIZE: _S.AUTHORIZED,
            _E.PAID: _S.SUCCEEDED,
            _E.DECLINE: _S.FAILED,
            _E.NOT_SENT: _S.FAILED,
            _E.UNDO: _S.REVERSING,
            _E.GIVE_UP: _S.REVERSING,
            _E.UNDONE_UNPAID: _S.CLOSED,
            _E.UNDONE_PAID: _S.REVERSED,
        },
        _S.PENDING: {
            _E.SUBMIT: ILLEGAL,
            _E.PAYER_ACTING: SAME,
            _E.ANSWER_LOST: SAME,
            _E.AUTHORIZE: _S.AUTHORIZED,
            _E.PAID: _S.SUCCEEDED,
            _E.DECLINE: _S.FAILED,
            _E.NOT_SENT: SAME,
            _E.UNDO: _S.REVERSING,
            _E.GIVE_UP: _S.REVERSING,
            _E.UNDONE_UNPAID: _S.CLOSED,
            _E.UNDONE_PAID: _S.REVERSED,
        },
        _S.UNKNOWN: {
            _E.SUBMIT: ILLEGAL,
            _E.PAYER_ACTING: _S.PENDING,
            _E.ANSWER_LOST: SAME,
            _E.AUTHORIZE: _S.AUTHORIZED,
            _E.PAID: _S.SUCCEEDED,
            _E.DECLINE: _S.FAILED,
            _E.NOT_SENT: SAME,
            _E.UNDO: _S.REVERSING,
            _E.GIVE_UP: _S.REVERSING,
            _E.UNDONE_UNPAID: _S.CLOSED,
            _E.UNDONE_PAID: _S.REVERSED,
        },
        _S.AUTHORIZED: {
            _E.SUBMIT: ILLEGAL,
            _E.PAYER_ACTING: SAME,
            _E.ANSWER_LOST: SAME,
            _E.AUTHORIZE: SAME,
            _E.PAID: _S.SUCCEEDED,
            _E.DECLINE: SAME,
            _E.NOT_SENT: SAME,
            _E.UNDO: _S.REVERSING,
            _E.GIVE_UP: SAME,
            _E.UNDONE_UNPAID: _S.CLOSED,
            _E.UNDONE_PAID: _S.REVERSED,
        },
        _S.SUCCEEDED: {
            _E.SUBMIT: ILLEGAL,
            _E.PAYER_ACTING: SAME,
            _E.ANSWER_LOST: SAME,
            _E.AUTHORIZE: SAME,
            _E.PAID: SAME,
            _E.DECLINE: SAME,
            _E.NOT_SENT: SAME,
            _E.UNDO: _S.REVERSING,
            _E.GIVE_UP: SAME,
            _E.UNDONE_UNPAID: SAME,
            _E.UNDONE_PAID: _S.REVERSED,
        },
        _S.FAILED: {
            _E.SUBMIT: ILLEGAL,
            _E.PAYER_ACTING: SAME,
            _E.ANSWER_LOST: SAME,
            _E.AUTHORIZE: _S.REVERSING,
            _E.PAID: _S.REVERSING,
            _E.DECLINE: SAME,
            _E.NOT_SENT: SAME,
            _E.UNDO: SAME,
            _E.GIVE_UP: SAME,
            _E.UNDONE_UNPAID: SAME,
            _E.UNDONE_PAID: _S.REVERSED,
        },
        _S.REVERSING: {
            _E.SUBMIT: ILLEGAL,
            _E.PAYER_ACTING: SAME,
            _E.ANSWER_LOST: SAME,
            _E.AUTHORIZE: SAME,
            _E.PAID: SAME,
            _E.DECLINE: SAME,
            _E.NOT_SENT: SAME,
            _E.UNDO: SAME,
            _E.GIVE_UP: SAME,
            _E.UNDONE_UNPAID: _S.CLOSED,
            _E.UNDONE_PAID: _S.REVERSED,
        },
        _S.REVERSED: {
            _E.SUBMIT: ILLEGAL,
            _E.PAYER_ACTING: SAME,
            _E.ANSWER_LOST: SAME,
            _E.AUTHORIZE: SAME,
            _E.PAID: SAME,
            _E.DECLINE: SAME,
            _E.NOT_SENT: SAME,
            _E.UNDO: SAME,
            _E.GIVE_UP: SAME,
            _E.UNDONE_UNPAID: SAME,
            _E.UNDONE_PAID: SAME,
        },
        _S.CLOSED: {
            _E.SUBMIT: ILLEGAL,
            _E.PAYER_ACTING: SAME,
            _E.ANSWER_LOST: SAME,
            _E.AUTHORIZE: _S.REVERSING,
            _E.PAID: _S.REVERSING,
            _E.DECLINE: SAME,
            _E.NOT_SENT: SAME,
            _E.UNDO: SAME,
            _E.GIVE_UP: SAME,
            _E.UNDONE_UNPAID: SAME,
            _E.UNDONE_PAID: _S.REVERSED,
        },
    }
)

FINAL: Final = frozenset({_S.SUCCEEDED, _S.FAILED, _S.REVERSED, _S.CLOSED})
"""Nothing more is asked of the channel (a late success can still reopen)."""

RESTING: Final = FINAL | {_S.AUTHORIZED}
"""Nobody asks the channel about these: final, or held until somebody takes or releases it."""

UNSETTLED: Final = frozenset({_S.SUBMITTED, _S.PENDING, _S.UNKNOWN, _S.REVERSING})
"""Recovery owns these until the channel has answered."""

UNDECIDED: Final = UNSETTLED - {_S.REVERSING}
"""The channel has not answered and no undo has begun: it may still be paid."""

HOLD_METHOD: Final = "card_authorisation"
"""The ``Order.method`` of a hold."""
COMPLETION_METHOD: Final = "card_completion"
"""The ``Order.method`` of a payment that takes its money from a hold."""
OFFLINE_METHOD: Final = "card_offline"
"""The ``Order.method`` of a sale that was approved at the counter and told afterwards."""
ADJUSTMENT_METHOD: Final = "card_adjustment"
"""The ``Order.method`` of what is added to such a sale."""
TIP_METHOD: Final = "card_tip"
ADDITION_METHODS: Final = frozenset({ADJUSTMENT_METHOD, TIP_METHOD})
"""A payment of its own each, beside the sale that it adds to."""
ADVICE_METHODS: Final = ADDITION_METHODS | {OFFLINE_METHOD}
"""What tells of something that is done: the channel is told until it answers, and nothing
is undone."""


def apply(status: Status, event: Event) -> Status:
    """The state after ``event``; the same state when the event changes nothing.

    Raises:
        IllegalTransition: the cell is ``ILLEGAL``.
    """
    cell = TRANSITIONS[status][event]
    if isinstance(cell, Status):
        return cell
    if cell == SAME:
        return status
    raise IllegalTransition(status, event)


@record
class Order:
    """What never changes about a payment; written once, before anything is sent.

    ``door`` is one of ``domain/doors.py``; ``order_key`` is unique within merchant and door
    (HTTPS: the ``merchant_order_no``; a terminal: terminal, batch and trace) and
    ``fingerprint`` tells a repeat from a conflict. ``details_json`` holds what the
    channel needs to query and undo after a restart, nothing sensitive in it.
    """

    id: str
    merchant_no: str
    door: str
    order_key: str
    fingerprint: bytes
    amount_fen: int
    currency: str
    subject: str
    method: str
    channel: str
    account_id: str
    channel_order_no: str
    terminal_id: str
    store_id: str
    notify_url: str
    pan_sealed: bytes
    pan_token: bytes
    metadata_json: str
    details_json: str
    created_at_ms: int
    till_deadline_ms: int


@record
class Standing:
    """What changes about a payment; ``version`` rises by one with every change.

    ``captured_fen`` is what the ledger holds as captured; ``returned_fen`` what has
    gone back; ``refunding_fen`` what open refunds have reserved, so that
    ``returned_fen + refunding_fen`` never exceeds ``captured_fen``. ``notices`` counts
    what the merchant was sent about it. ``decline`` says why it is not paid; it is set with a
    move to failed, closed or reversing. ``card_organisation`` is whose card it is, in the
    channel's words (``CUP``, ``VIS`` …).
    """

    status: Status
    version: int
    channel_trade_no: str = ""
    channel_reference: str = ""
    paid_at_ms: int = 0
    captured_fen: int = 0
    returned_fen: int = 0
    refunding_fen: int = 0
    notices: int = 0
    decline: Decline | None = None
    parked_reason: str = ""
    card_organisation: str = ""


@brief
class Payment:
    """An order and where it stands."""

    order: Order
    standing: Standing
