"""A checkout's states and the one table that moves it: one order, several wallets that may pay.

Rules:

* The table is total, as that of a payment (``domain/payment.py``). A checkout follows its
  *current* attempt (an ordinary payment) in the commit that moves the attempt; only
  ``BEGIN``, and ``CLOSE`` where no attempt is to be undone, move it alone.
* An attempt is begun only while none is under way: the former one has verifiably ended, or
  ``BEGIN`` is illegal. Money of an attempt that was given up goes back by the rules of that
  payment, whatever the checkout does.
* Nothing is closed by time alone where something may still be paid: from ``CLOSING`` only
  the channel's answer about the attempt leads on.
* To its merchant a checkout is a payment: :data:`SHOWN` is what that payment's status is,
  and every move of it is legal in the payment's own table (a test holds that).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from domain.doors import ATTEMPT_DOOR
from domain.payment import Order, Status


class CheckoutStatus(enum.Enum):
    """Where a checkout stands."""

    WAITING = "waiting"
    """For a payer: no attempt is under way."""
    PAYING = "paying"
    """An attempt is under way."""
    PAID = "paid"
    CLOSING = "closing"
    """Over for every payer; what its attempt came to is still being settled."""
    CLOSED = "closed"
    """Nothing was paid, or all went back before anybody was told "paid"."""
    FAILED = "failed"
    """The one wallet that was asked for refused."""
    REVERSED = "reversed"
    """It was paid and went back."""


class CheckoutEvent(enum.Enum):
    """What can happen to a checkout."""

    BEGIN = "begin"
    """An attempt was claimed."""
    PAID = "paid"
    """The current attempt succeeded."""
    UNPAID = "unpaid"
    """The current attempt has ended, and nothing was taken."""
    REFUSED = "refused"
    """The same of the only attempt that there can be."""
    RETURNED = "returned"
    """The current attempt's money went back."""
    LATE = "late"
    """The current attempt had ended unpaid, and money came: it is being returned."""
    CLOSE = "close"
    """Expired, cancelled or undone by the merchant."""


class IllegalCheckout(Exception):
    """An event that this state can never meet: a defect of ours."""

    def __init__(self, status: CheckoutStatus, event: CheckoutEvent) -> None:
        super().__init__(f"{event.value} cannot happen to a checkout that is {status.value}")
        self.status = status
        self.event = event


_S, _E = CheckoutStatus, CheckoutEvent
SAME: Final = "same"
ILLEGAL: Final = "illegal"
Cell = CheckoutStatus | str

TRANSITIONS: Final[Mapping[CheckoutStatus, Mapping[CheckoutEvent, Cell]]] = MappingProxyType(
    {
        _S.WAITING: {
            _E.BEGIN: _S.PAYING,
            _E.PAID: ILLEGAL,
            _E.UNPAID: SAME,
            _E.REFUSED: SAME,
            _E.RETURNED: SAME,
            _E.LATE: SAME,
            _E.CLOSE: _S.CLOSED,
        },
        _S.PAYING: {
            _E.BEGIN: ILLEGAL,
            _E.PAID: _S.PAID,
            _E.UNPAID: _S.WAITING,
            _E.REFUSED: _S.FAILED,
            _E.RETURNED: _S.WAITING,
            _E.LATE: SAME,
            _E.CLOSE: _S.CLOSING,
        },
        _S.PAID: {
            _E.BEGIN: ILLEGAL,
            _E.PAID: SAME,
            _E.UNPAID: ILLEGAL,
            _E.REFUSED: ILLEGAL,
            _E.RETURNED: _S.REVERSED,
            _E.LATE: SAME,
            _E.CLOSE: _S.CLOSING,
        },
        _S.CLOSING: {
            _E.BEGIN: ILLEGAL,
            _E.PAID: SAME,
            _E.UNPAID: _S.CLOSED,
            _E.REFUSED: _S.CLOSED,
            _E.RETURNED: _S.REVERSED,
            _E.LATE: SAME,
            _E.CLOSE: SAME,
        },
        _S.CLOSED: {
            _E.BEGIN: ILLEGAL,
            _E.PAID: ILLEGAL,
            _E.UNPAID: SAME,
            _E.REFUSED: SAME,
            _E.RETURNED: _S.REVERSED,
            _E.LATE: _S.CLOSING,
            _E.CLOSE: SAME,
        },
        _S.FAILED: {
            _E.BEGIN: ILLEGAL,
            _E.PAID: ILLEGAL,
            _E.UNPAID: SAME,
            _E.REFUSED: SAME,
            _E.RETURNED: _S.REVERSED,
            _E.LATE: _S.CLOSING,
            _E.CLOSE: SAME,
        },
        _S.REVERSED: {
            _E.BEGIN: ILLEGAL,
            _E.PAID: SAME,
            _E.UNPAID: SAME,
            _E.REFUSED: SAME,
            _E.RETURNED: SAME,
            _E.LATE: SAME,
            _E.CLOSE: SAME,
        },
    }
)

SHOWN: Final[Mapping[CheckoutStatus, Status]] = MappingProxyType(
    {
        _S.WAITING: Status.PENDING,
        _S.PAYING: Status.PENDING,
        _S.PAID: Status.SUCCEEDED,
        _S.CLOSING: Status.REVERSING,
        _S.CLOSED: Status.CLOSED,
        _S.FAILED: Status.FAILED,
        _S.REVERSED: Status.REVERSED,
    }
)
"""What the merchant's payment is."""

OPEN: Final = frozenset({_S.WAITING, _S.PAYING})
"""Somebody may still pay it."""


def apply(status: CheckoutStatus, event: CheckoutEvent) -> CheckoutStatus:
    """The state after ``event``; the same state when the event changes nothing.

    Raises:
        IllegalCheckout: the cell is ``ILLEGAL``.
    """
    cell = TRANSITIONS[status][event]
    if isinstance(cell, CheckoutStatus):
        return cell
    if cell == SAME:
        return status
    raise IllegalCheckout(status, event)


CHECKOUT_METHOD: Final = "qr"
"""The ``Order.method`` of a checkout; it has no account and no number at a channel."""
CODE_ATTEMPT: Final = "qr"
PAGE_ATTEMPT: Final = "jsapi"
"""The ``Order.method`` of an attempt, as its channel knows it."""
ATTEMPT_MARK: Final = "-"
_KEY_MARK: Final = ":"
"""No merchant's number has a colon, and no number of ours a hyphen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """What a checkout is beside its payment; ``version`` rises with every change.

    ``attempts`` counts those that were begun: the last one is current. ``wallets`` are the
    channels that may take it; none named: all that are open to the merchant.
    ``is_single``: one wallet's own code was asked for, which is ``code`` once it is there.
    """

    id: str
    merchant_no: str
    status: CheckoutStatus
    version: int
    attempts: int
    wallets: tuple[str, ...]
    is_single: bool
    code: str = field(default="", repr=False)
    code_id: str = ""
    created_at_ms: int
    expires_at_ms: int

    @property
    def current_id(self) -> str:
        """The payment of the current attempt; ``""`` before the first."""
        return attempt_id(self.id, self.attempts) if self.attempts else ""


def attempt_id(checkout_id: str, number: int) -> str:
    """The id of an attempt."""
    return f"{checkout_id}{ATTEMPT_MARK}{number}"


def attempt_key(base: Order, number: int) -> str:
    """The order key of an attempt; its checkout's is unique within its own door only."""
    return _KEY_MARK.join((base.order_key, base.door, str(number)))


def shown_id(payment_id: str) -> str:
    """The id that a merchant knows a payment by: an attempt's is its checkout's."""
    return payment_id.partition(ATTEMPT_MARK)[0]


def is_checkout(order: Order) -> bool:
    """Whether a payment is a checkout: its money, if any, is in its attempts' books."""
    return order.method == CHECKOUT_METHOD and not order.account_id


def is_attempt(order: Order) -> bool:
    """Whether a payment is an attempt, which its merchant never sees as such."""
    return order.door == ATTEMPT_DOOR
