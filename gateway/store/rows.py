"""Rows of the store ↔ the frozen types of the port.

Rules: one list of columns per table, in the order in which rows are read and
written; enums rest as ``value`` and an unknown one refuses to load; a missing
decline rests as two empty texts. Everything here is pure.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final

from domain.checkout import Checkout, CheckoutStatus
from domain.decline import Decline, DeclineReason
from domain.ledger import Entry, Posting
from domain.payment import Deed, Event, Order, Payment, Standing, Status
from gateway.store.records import JobKind, Notice, NoticeState, PaymentEvent, TerminalReply

Row = Sequence[Any]

ORDER_COLUMNS: Final = (
    "id",
    "merchant_no",
    "door",
    "order_key",
    "fingerprint",
    "amount_fen",
    "currency",
    "subject",
    "method",
    "channel",
    "account_id",
    "channel_order_no",
    "terminal_id",
    "store_id",
    "notify_url",
    "pan_sealed",
    "pan_token",
    "metadata_json",
    "details_json",
    "created_at_ms",
    "till_deadline_ms",
)
STANDING_COLUMNS: Final = (
    "status",
    "version",
    "channel_trade_no",
    "channel_reference",
    "paid_at_ms",
    "captured_fen",
    "returned_fen",
    "decline_reason",
    "decline_channel_code",
    "parked_reason",
    "refunding_fen",
    "notices",
    "card_organisation",
)
PAYMENT_COLUMNS: Final = ORDER_COLUMNS + STANDING_COLUMNS
CLAIM_COLUMNS: Final = PAYMENT_COLUMNS[:-3]
"""What a new payment has: no refund, notice or organisation yet, which the database fills in."""
REPLY_COLUMNS: Final = ("merchant_no", "key", "fingerprint", "reply_sealed", "created_at_ms")
POSTING_COLUMNS: Final = (
    "payment_id",
    "sequence",
    "line",
    "account",
    "amount_fen",
    "currency",
    "at_ms",
    "entry",
)
NOTICE_COLUMNS: Final = (
    "event_id",
    "merchant_no",
    "payment_id",
    "sequence",
    "type",
    "url",
    "endpoint",
    "body",
    "created_at_ms",
)
NOTICE_STATE_COLUMNS: Final = ("state", "attempts", "last_error", "done_at_ms")
NEW_NOTICE: Final = (NoticeState.PENDING.value, 0, "", 0)
"""The state that a notice is written with."""

CHECKOUT_FIXED: Final = (
    "id",
    "merchant_no",
    "wallets",
    "is_single",
    "code_id",
    "created_at_ms",
    "expires_at_ms",
)
CHECKOUT_MOVING: Final = ("status", "version", "attempts", "code")
CHECKOUT_COLUMNS: Final = CHECKOUT_FIXED + CHECKOUT_MOVING
TILL_EVENT_COLUMNS: Final = (
    "position",
    "merchant_no",
    "store_id",
    "terminal_id",
    "payment_id",
    "previous",
    "status",
)
EVENT_COLUMNS: Final = ("sequence", "event", "previous", "status", "at_ms")
CASE_COLUMNS: Final = ("case_id", "subject", "merchant_no", "reason", "opened_at_ms", "is_open")
JOB_COLUMNS: Final = ("id", "kind", "lane", "subject", "due_at_ms", "fence", "tries", "given_back")

FIRST_ATTEMPT: Final = 1
"""A payment has one attempt so far; routing to a second channel would add more."""

SETTLE: Final = JobKind.SETTLE.value
NOTIFY: Final = JobKind.NOTIFY.value

NO_LANE: Final = "-"
"""The lane of a job that was opened without one: never empty, or no worker would find it."""

CASE_PREFIX: Final = "case_"
SUBJECT_PREFIX_LENGTH: Final = 4
"""``pay_`` and ``ref_``, which the id of a case leaves out."""

MAY_BE_PARKED: Final = (Status.UNKNOWN, Status.REVERSING)
"""Where a payment stands while it waits for a person (``domain.settle.parked``)."""

order_row = attrgetter(*ORDER_COLUMNS)
"""An order as a row."""

reply_row = attrgetter(*REPLY_COLUMNS)
"""A kept reply as a row."""


notice_row = attrgetter(*NOTICE_COLUMNS)
"""A notice as a row, without its state."""


def job_id(kind: JobKind, subject: str) -> str:
    """The id of a job."""
    return f"{kind.value}:{subject}"


def settle_job(payment_id: str) -> str:
    """The id of a payment's settle job."""
    return f"{SETTLE}:{payment_id}"


def case_id(subject: str) -> str:
    """The id of the case of a payment or a refund."""
    return CASE_PREFIX + subject[SUBJECT_PREFIX_LENGTH:]


def standing_row(standing: Standing) -> tuple[Any, ...]:
    """A standing as a row of ``STANDING_COLUMNS``."""
    decline = standing.decline
    return (
        standing.status._value_,
        standing.version,
        standing.channel_trade_no,
        standing.channel_reference,
        standing.paid_at_ms,
        standing.captured_fen,
        standing.returned_fen,
        "" if decline is None else decline.reason._value_,
        "" if decline is None else decline.channel_code,
        standing.parked_reason,
        standing.refunding_fen,
        standing.notices,
        standing.card_organisation,
    )


def checkout_moving_row(checkout: Checkout) -> tuple[Any, ...]:
    """What moves of a checkout, as a row of ``CHECKOUT_MOVING``."""
    return checkout.status.value, checkout.version, checkout.attempts, checkout.code


def checkout_row(checkout: Checkout) -> tuple[Any, ...]:
    """A checkout as a row of ``CHECKOUT_COLUMNS``."""
    return (
        checkout.id,
        checkout.merchant_no,
        ",".join(checkout.wallets),
        checkout.is_single,
        checkout.code_id,
        checkout.created_at_ms,
        checkout.expires_at_ms,
        *checkout_moving_row(checkout),
    )


def read_checkout(row: Row) -> Checkout:
    """A row of ``CHECKOUT_COLUMNS``; ``ValueError`` for an unknown status."""
    id_, merchant_no, wallets, is_single, code_id, created, expires, *moving = row
    status, version, attempts, code = moving
    return Checkout(
        id=id_,
        merchant_no=merchant_no,
        status=CheckoutStatus(status),
        version=version,
        attempts=attempts,
        wallets=tuple(wallets.split(",")) if wallets else (),
        is_single=bool(is_single),
        code=code,
        code_id=code_id,
        created_at_ms=created,
        expires_at_ms=expires,
    )


def posting_row(
    subject: str, sequence: int, line: int, posting: Posting, at_ms: int
) -> tuple[Any, ...]:
    """A ledger line as a row of ``POSTING_COLUMNS``."""
    return (
        subject,
        sequence,
        line,
        posting.account,
        posting.amount_fen,
        posting.currency,
        at_ms,
        posting.entry._value_,
    )


def read_payment(row: Row) -> Payment:
    """A row of ``PAYMENT_COLUMNS`` as a payment; ``ValueError`` for an unknown enum."""
    order = Order(**dict(zip(ORDER_COLUMNS, row, strict=False)))
    (
        status,
        version,
        trade_no,
        reference,
        paid_at_ms,
        captured,
        returned,
        reason,
        code,
        parked,
        refunding,
        notices,
        organisation,
    ) = row[len(ORDER_COLUMNS) :]
    standing = Standing(
        status=Status(status),
        version=version,
        channel_trade_no=trade_no,
        channel_reference=reference,
        paid_at_ms=paid_at_ms,
        captured_fen=captured,
        returned_fen=returned,
        refunding_fen=refunding,
        notices=notices,
        decline=read_decline(reason, code),
        parked_reason=parked,
        card_organisation=organisation,
    )
    return Payment(order, standing)


def read_decline(reason: str, code: str) -> Decline | None:
    """Two texts as a decline; two empty ones are none."""
    return Decline(DeclineReason(reason), code) if reason else None


def read_reply(row: Row) -> TerminalReply:
    """A row of ``REPLY_COLUMNS`` as a kept reply."""
    return TerminalReply(**dict(zip(REPLY_COLUMNS, row, strict=True)))


_WHAT_HAPPENED: Final[Mapping[str, Event | Deed]] = MappingProxyType(
    {kind.value: kind for kinds in (Event, Deed) for kind in kinds}
)


def read_event(row: Row) -> PaymentEvent:
    """A row of ``EVENT_COLUMNS``."""
    sequence, event, previous, status, at_ms = row
    return PaymentEvent(
        sequence=sequence,
        event=_WHAT_HAPPENED[event],
        previous=Status(previous),
        status=Status(status),
        at_ms=at_ms,
    )


def read_posting(row: Row) -> Posting:
    """A row of entry, account, amount and currency.

    A line without an entry is of a release that knew captures and their reversal only.
    """
    entry, account, amount_fen, currency = row
    if not entry:
        captured = account.startswith("channel:") == (amount_fen > 0)
        entry = Entry.CAPTURE if captured else Entry.REVERSAL
    return Posting(Entry(entry), account, amount_fen, currency)


def read_notice(row: Row) -> Notice:
    """A row of ``NOTICE_COLUMNS``."""
    return Notice(**dict(zip(NOTICE_COLUMNS, row, strict=True)))
