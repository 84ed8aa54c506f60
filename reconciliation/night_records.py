"""What reconciliation keeps: nights, differences with their decisions, rates, statements.

Rules: everything is frozen; money is integer fen; a day is a date, ``YYYY-MM-DD`` at rest.
"""

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from reconciliation.differences import Difference, Repair
from reconciliation.rates import MerchantRate
from reconciliation.settlement import Statement

DIFFERENCE_PREFIX: Final = "dif_"
"""How the id of a difference begins."""


class NightState(enum.Enum):
    """How far a night is; each step is repeatable until the next one is reached."""

    WAITING = "waiting"
    """The bill is not there yet."""
    REFUSED = "refused"
    """The bill cannot be believed; ``error`` says file, line and reason."""
    MATCHED = "matched"
    POSTED = "posted"
    """The channel's fee is in the ledger."""
    DONE = "done"
    """Exported."""
    CHANGED = "changed"
    """Done, and the channel delivers another bill for that day now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """An account's business day; ``version`` rises by one with every change."""

    account_id: str
    day: date
    version: int
    state: NightState
    bill_sha256: str = ""
    error: str = ""
    totals_json: str = "{}"
    updated_at_ms: int = 0


class DifferenceState(enum.Enum):
    """Where a difference stands."""

    OPEN = "open"
    PROPOSED = "proposed"
    """One person proposed a repair; another one approves or refuses it."""
    APPROVED = "approved"
    """To be carried out."""
    CLOSED = "closed"
    SUPERSEDED = "superseded"
    """Its night was matched again with another bill, and does not tell it any more."""


class Deed(enum.Enum):
    """What somebody did about a difference."""

    PROPOSE = "propose"
    APPROVE = "approve"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"
    """A proposal, or an approved question that nobody answers, is taken back: it is open again."""
    CARRY_OUT = "carry_out"
    FAIL = "fail"
    """The channel refuses what was approved: it is open again."""
    SUPERSEDE = "supersede"
    """The night was matched again: it is gone, or has other figures now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDifference:
    """A difference of an account's night; ``repair`` is what is proposed for it."""

    id: str
    account_id: str
    channel: str
    currency: str
    found: Difference
    opened_at_ms: int
    version: int
    state: DifferenceState
    repair: Repair


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceDecision:
    """Who did what about a difference, when and why; append-only, numbered from 1."""

    difference_id: str
    number: int
    deed: Deed
    repair: Repair
    by: str
    why: str
    at_ms: int


class SurplusState(enum.Enum):
    """Where the refund of a surplus stands; the values are those of a refund."""

    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SurplusRefund:
    """The refund of what a channel collected beyond ``payment_id``, approved as a repair.

    ``id`` is its difference's and the approval's number; ``channel_refund_no`` is written before
    anything is sent and serves every repeat. ``done_at_ms`` is 0 until it is over.
    """

    id: str
    difference_id: str
    payment_id: str
    channel: str
    account_id: str
    channel_refund_no: str
    amount_fen: int
    currency: str
    created_at_ms: int
    state: SurplusState = SurplusState.SUBMITTED
    done_at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRate:
    """A merchant's rate; ``bears_channel_fee``: the channel's fee is on top of ours."""

    merchant_no: str
    rate: MerchantRate
    bears_channel_fee: bool
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStatement:
    """A merchant's settled day."""

    merchant_no: str
    day: date
    currency: str
    statement: Statement
    created_at_ms: int


def difference_id(account_id: str, found: Difference) -> str:
    """The same for the same difference, however often its night is matched."""
    parts = (
        account_id,
        found.day.isoformat(),
        found.kind.value,
        found.order_no,
        found.refund_no,
        str(found.number),
    )
    return f"{DIFFERENCE_PREFIX}{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"


def surplus_refund_ids(identity: str, decisions: Sequence[DifferenceDecision]) -> Sequence[str]:
    """Of the refund that each approval of a difference would mean, the last one's last."""
    return [f"{identity}.{each.number}" for each in decisions if each.deed is Deed.APPROVE]
