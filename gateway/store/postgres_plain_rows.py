"""What is plain, and the rows of it, as PostgreSQL takes them.

Rules: those of ``postgres_rows.py``, and:

* A plain change is one that nobody but its caller hears of: no till, no merchant's endpoint, no
  person. Its row leaves out what it never has; ``postgres_plain.py`` writes that as constants.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from domain.payment import Event, Standing, Status
from gateway.store.port import Advance, Claim
from gateway.store.postgres_rows import RowType, prefixed
from gateway.store.rows import ORDER_COLUMNS, REPLY_COLUMNS, STANDING_COLUMNS, order_row
from gateway.store.told import is_told

BEGUN: Final = Standing(status=Status.SUBMITTED, version=1)
"""Where a payment stands that begins plainly."""
_SUBMIT: Final = Event.SUBMIT
_SUBMITTED: Final = Status.SUBMITTED
_PENDING: Final = Status.PENDING
_ENTRY_LINES: Final = 2
LEFT_OUT: Final[Mapping[str, str | int]] = MappingProxyType(
    {"returned_fen": 0, "refunding_fen": 0, "notices": 0, "parked_reason": ""}
)
"""What a payment that ends plainly has had none of, and what none of it is."""
_REPLY: Final = REPLY_COLUMNS[1:]
"""Its merchant is the payment's."""
_NO_ENTRY: Final = (None,) * 5
_NO_REPLY: Final = (None,) * len(_REPLY)


def is_plain_claim(claim: Claim) -> bool:
    """Whether it begins a payment that tills are not told of, and keeps no reply yet."""
    return (
        claim.event is _SUBMIT
        and claim.standing == BEGUN
        and claim.reply is None
        and claim.moves is None
        and not is_told(claim.order)
    )


def is_plain_advance(change: Advance) -> bool:
    """Whether a payment that nobody looked into ends, and nobody but its caller hears of it."""
    standing, previous, reply = change.standing, change.previous, change.reply
    return (
        not change.is_told
        and change.due_at_ms is None
        and change.notice is None
        and change.moves is None
        and (previous is _SUBMITTED or previous is _PENDING)
        and not standing.parked_reason
        and not (standing.returned_fen or standing.refunding_fen or standing.notices)
        and (reply is None or reply.merchant_no == change.merchant_no)
        and (not change.postings or _is_entry(change))
    )


def _is_entry(change: Advance) -> bool:
    """Whether its lines are two: one debits, the other credits the same amount."""
    postings = change.postings
    if len(postings) != _ENTRY_LINES:
        return False
    first, second = postings
    return (
        first.entry is second.entry
        and first.amount_fen == -second.amount_fen
        and first.currency == second.currency
    )


def _claim_row(claim: Claim) -> tuple[Any, ...]:
    return (*order_row(claim.order), claim.due_at_ms)


def _advance_row(change: Advance) -> tuple[Any, ...]:
    standing, decline, reply = change.standing, change.standing.decline, change.reply
    return (
        change.payment_id,
        change.merchant_no,
        standing.status._value_,
        standing.version,
        standing.channel_trade_no,
        standing.channel_reference,
        standing.paid_at_ms,
        standing.captured_fen,
        "" if decline is None else decline.reason._value_,
        "" if decline is None else decline.channel_code,
        standing.card_organisation,
        change.event._value_,
        change.previous._value_,
        change.at_ms,
        *(_entry_row(change) if change.postings else _NO_ENTRY),
        *(
            _NO_REPLY
            if reply is None
            else (reply.key, reply.fingerprint, reply.reply_sealed, reply.created_at_ms)
        ),
    )


def _entry_row(change: Advance) -> tuple[Any, ...]:
    """Both lines of an entry; amount, currency and entry are theirs together."""
    first, second = change.postings
    return first.account, second.account, first.amount_fen, first.currency, first.entry._value_


PLAIN_CLAIMS: Final = RowType(
    "posgate_plain_claims", (*prefixed("payments", *ORDER_COLUMNS), "jobs.due_at_ms"), _claim_row
)
PLAIN_ADVANCES: Final = RowType(
    "posgate_plain_advances",
    (
        *prefixed(
            "payments",
            "id",
            "merchant_no",
            *(column for column in STANDING_COLUMNS if column not in LEFT_OUT),
        ),
        *prefixed("payment_events", "event", "previous", "at_ms"),
        "postings.account AS account_0",
        "postings.account AS account_1",
        *prefixed("postings", "amount_fen", "currency", "entry"),
        *(f"terminal_replies.{column} AS reply_{column}" for column in _REPLY),
    ),
    _advance_row,
)
