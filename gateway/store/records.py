"""What the store is told of payments and tells of them: changes, rows as values, their enums.

Rules: everything is frozen; everything sensitive arrives sealed; what the hot path makes
is a ``record``, the rest a frozen dataclass.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from domain.checkout import Checkout
from domain.ledger import Posting
from domain.payment import Deed, Event, Order, Payment, Standing, Status
from domain.record import record
from domain.refund import Refund, RefundEvent, RefundOrder, RefundStanding, RefundStatus


@record
class TerminalReply:
    """A reply as it went to a terminal, kept for identical repeats.

    ``key`` is terminal, batch, trace and message type; ``reply_sealed`` the encrypted
    frame.
    """

    merchant_no: str
    key: str
    fingerprint: bytes
    reply_sealed: bytes
    created_at_ms: int


@record
class Notice:
    """A notification to a merchant, written in the commit of what it tells.

    ``sequence`` is dense per payment (its refunds included) and starts at 1; ``body`` is
    the JSON as it is sent, the very bytes on every attempt. Its job is ``notify:EVENT_ID``
    in the lane of ``endpoint`` (merchant and host), due at ``created_at_ms``.
    """

    event_id: str
    merchant_no: str
    payment_id: str
    sequence: int
    type: str
    url: str
    endpoint: str
    body: bytes
    created_at_ms: int


@record
class TakenHold:
    """A hold, and the number under which a change takes it (from 1, without a gap)."""

    hold_id: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """Who took a hold under ``number``: a completion's payment, or the hold's own, released."""

    hold_id: str
    number: int
    payment_id: str


@record
class Spend:
    """What a claim adds to a day's sum of a merchant or a store; refused beyond the limit."""

    merchant_no: str
    store_id: str
    day: str
    amount_fen: int
    limit_fen: int


@record
class CheckoutMove:
    """Insert a checkout (version 1), or move it from ``checkout.version - 1``.

    ``base`` moves its payment in the same commit, ``None`` where that stays. The job
    ``checkout:ID`` is due at ``due_at_ms``; ``None`` ends it.
    """

    checkout: Checkout
    due_at_ms: int | None
    base: "Advance | None" = None


@record
class Claim:
    """Insert an order, its standing (version 1), its first attempt and event.

    Refused when ``(merchant_no, door, order_key)`` exists, what it ``takes`` is taken, one of
    the ``spends`` is too much, or the checkout that it ``moves`` (or inserts, with its payment)
    has moved; what takes a hold has neither of these.
    ``due_at_ms`` opens the payment's settle job and is when recovery may take it over;
    ``None`` for an order that is born final (a reversal that came before its sale): it
    gets no job.
    """

    order: Order
    standing: Standing
    event: Event
    due_at_ms: int | None
    reply: TerminalReply | None = None
    takes: TakenHold | None = None
    spends: Sequence[Spend] = ()
    moves: CheckoutMove | None = None


@record
class Advance:
    """Move a payment from ``standing.version - 1`` to ``standing``.

    Refused when the payment is no longer at that version, what it ``takes`` is taken, or the
    checkout that it ``moves`` has moved.
    Event, postings and reply are written in the same commit; ``due_at_ms`` moves the
    payment's settle job, or opens one anew, and ``None`` ends it.
    """

    payment_id: str
    merchant_no: str
    previous: Status
    event: Event | Deed
    standing: Standing
    at_ms: int
    due_at_ms: int | None
    account_id: str = ""
    """The lane of a job that is opened anew."""
    postings: Sequence[Posting] = ()
    reply: TerminalReply | None = None
    notice: Notice | None = None
    takes: TakenHold | None = None
    moves: CheckoutMove | None = None
    is_told: bool = True
    """Whether tills may be told of the payment (``told.is_told``); decides nothing but the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundClaim:
    """Insert a refund (version 1) and reserve its amount on the payment, in one commit.

    ``payment`` is the payment's standing with the reservation (from
    :func:`domain.refund.reserve`); its deed is ``RESERVE``. The job ``refund:ID`` is due
    at ``due_at_ms``, in the lane of the refund's account; ``None`` for a refund that is
    born failed (it was taken back before it came): it gets no job and reserves nothing.
    """

    refund: Refund
    payment: Payment
    due_at_ms: int | None


def pos_refund_number(order_key: str) -> str:
    """``merchant_refund_no`` of a terminal's void or refund; no merchant can write a colon."""
    return f"pos:{order_key}"


class RefundClaimed(enum.Enum):
    """What became of a :class:`RefundClaim`; nothing is written but for ``WON``."""

    WON = "won"
    EXISTS = "exists"
    """``(merchant_no, merchant_refund_no)`` is taken."""
    MOVED = "moved"
    """The payment is no longer at ``payment.standing.version - 1``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundAdvance:
    """Move a refund from ``standing.version - 1``, and its payment with it, or neither.

    ``payment`` is the payment's new standing, ``None`` where it does not move.
    ``due_at_ms`` moves the job or opens it anew; ``None`` ends it. A standing with a
    ``parked_reason`` opens its case. Event lines: ``event`` on the refund's history,
    and ``Deed.REFUND_SUCCEEDED`` or ``REFUND_FAILED`` on the payment's.
    """

    refund: RefundOrder
    previous: RefundStatus
    event: RefundEvent
    standing: RefundStanding
    at_ms: int
    due_at_ms: int | None
    payment: Standing | None = None
    postings: Sequence[Posting] = ()
    notice: Notice | None = None


class JobKind(enum.Enum):
    """The work that outlives a request."""

    SETTLE = "settle"
    """Bring a payment to its end; subject: the payment; lane: its account."""
    REFUND = "refund"
    """Bring a refund to its end; subject: the refund; lane: its account."""
    NOTIFY = "notify"
    """Deliver a notice; subject: the event; lane: its endpoint."""
    CHECKOUT = "checkout"
    """End a checkout when its time is over; subject: the checkout; one lane for all."""
    NIGHT = "night"
    """Run the nights that are due; one for the whole installation, which never ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it is leased: ``fence`` is the lease's own, ``tries`` counts the leases."""

    kind: JobKind
    subject: str
    lane: str
    due_at_ms: int
    fence: int
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Something parked for a person: a payment or a refund (``subject``), and why.

    ``case_id`` is ``case_`` and what follows ``pay_`` or ``ref_`` in the subject. A case
    is open until a decision frees its subject; parked again, it opens again.
    """

    case_id: str
    subject: str
    merchant_no: str
    reason: str
    opened_at_ms: int
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDecision:
    """Who decided what about a case, when and why; append-only."""

    case_id: str
    number: int
    decision: str
    by: str
    why: str
    at_ms: int


class NoticeState(enum.Enum):
    """Where a notice stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    """The schedule is over, or the URL is refused: on the dead-letter list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredNotice:
    """A notice and what became of it; ``last_error`` is safe to show."""

    notice: Notice
    state: NoticeState
    attempts: int
    last_error: str
    done_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """An entry that goes with no payment's transition: an adjustment or a fee.

    ``entry_id`` is unique; ``by`` and ``why`` are kept with it.
    """

    entry_id: str
    postings: Sequence[Posting]
    by: str
    why: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """A posting with where it stands: a payment's id (or an entry's), sequence and line."""

    subject: str
    sequence: int
    line: int
    posting: Posting
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentEvent:
    """One line of a payment's history; ``sequence`` is the version it made."""

    sequence: int
    event: Event | Deed
    previous: Status
    status: Status
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TillEvent:
    """A payment of a shop moved: what a store's stream and a terminal are told of.

    ``position`` rises in the order in which commits became visible, over the whole
    installation. ``previous`` and ``status`` are a payment's own words; ``unknown`` while a
    person is needed.
    """

    position: int
    merchant_no: str
    store_id: str
    terminal_id: str
    payment_id: str
    previous: str
    status: str
