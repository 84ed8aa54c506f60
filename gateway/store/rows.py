"""Rows of the store ↔ the frozen types of the port.

Rules: one list of columns per table, in the order in which rows are read and
written; enums rest as ``value`` and an unknown one refuses to load; a missing
decline rests as two empty texts. Everything here is pure.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

from domain.decline import Decline, DeclineReason
from domain.ledger import Posting
from domain.payment import Event, Order, Payment, Standing, Status
from gateway.store.port import PaymentEvent, TerminalReply

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
)
PAYMENT_COLUMNS: Final = ORDER_COLUMNS + STANDING_COLUMNS
REPLY_COLUMNS: Final = ("merchant_no", "key", "fingerprint", "reply_sealed", "created_at_ms")

FIRST_ATTEMPT: Final = 1
"""A payment has one attempt so far; routing to a second channel would add more."""

SETTLE: Final = "settle"
"""The kind of job that brings a payment to its end; its subject is the payment's id."""

order_row = attrgetter(*ORDER_COLUMNS)
"""An order as a row."""

reply_row = attrgetter(*REPLY_COLUMNS)
"""A kept reply as a row."""


def settle_job(payment_id: str) -> str:
    """The id of a payment's settle job."""
    return f"{SETTLE}:{payment_id}"


def standing_row(standing: Standing) -> tuple[Any, ...]:
    """A standing as a row of ``STANDING_COLUMNS``."""
    decline = standing.decline
    return (
        standing.status.value,
        standing.version,
        standing.channel_trade_no,
        standing.channel_reference,
        standing.paid_at_ms,
        standing.captured_fen,
        standing.returned_fen,
        "" if decline is None else decline.reason.value,
        "" if decline is None else decline.channel_code,
        standing.parked_reason,
    )


def read_payment(row: Row) -> Payment:
    """A row of ``PAYMENT_COLUMNS`` as a payment; ``ValueError`` for an unknown enum."""
    order = Order(**dict(zip(ORDER_COLUMNS, row, strict=False)))
    (status, version, trade_no, reference, paid_at_ms, captured, returned, reason, code, parked) = (
        row[len(ORDER_COLUMNS) :]
    )
    standing = Standing(
        status=Status(status),
        version=version,
        channel_trade_no=trade_no,
        channel_reference=reference,
        paid_at_ms=paid_at_ms,
        captured_fen=captured,
        returned_fen=returned,
        decline=Decline(DeclineReason(reason), code) if reason else None,
        parked_reason=parked,
    )
    return Payment(order, standing)


def read_reply(row: Row) -> TerminalReply:
    """A row of ``REPLY_COLUMNS`` as a kept reply."""
    return TerminalReply(**dict(zip(REPLY_COLUMNS, row, strict=True)))


def read_event(row: Row) -> PaymentEvent:
    """A row of sequence, event, previous, status and time."""
    sequence, event, previous, status, at_ms = row
    return PaymentEvent(
        sequence=sequence,
        event=Event(event),
        previous=Status(previous),
        status=Status(status),
        at_ms=at_ms,
    )


def read_posting(row: Row) -> Posting:
    """A row of account, amount and currency."""
    return Posting(*row)
