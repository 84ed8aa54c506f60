"""A terminal's settled batches as they rest: totals, uploaded lines, differences.

Rules: everything is frozen; a card is never more than a keyed token; money is integer
fen, and nothing here knows how the wire writes it.
"""

import enum
from dataclasses import dataclass
from typing import NamedTuple

from domain.payment import Status
from domain.refund import RefundStatus


class BatchKey(NamedTuple):
    """Which batch; ``batch_no`` is 1 to 999999."""

    merchant_no: str
    terminal_id: str
    batch_no: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Sums and counts of one card class; credits are voids and refunds."""

    debit_fen: int = 0
    debit_count: int = 0
    credit_fen: int = 0
    credit_count: int = 0


@dataclass(frozen=True, slots=True)
class BatchTotals:
    """What one side says that a batch came to."""

    domestic: Sums = Sums()
    foreign: Sums = Sums()

    @property
    def net_fen(self) -> int:
        """Debits less credits, of both classes."""
        halves = (self.domestic, self.foreign)
        return sum(half.debit_fen - half.credit_fen for half in halves)


class BatchState(enum.Enum):
    """Where a settled batch stands."""

    UPLOADING = "uploading"
    """The totals differ: the terminal was asked for every line."""
    CLOSED = "closed"
    """The totals agree, or the upload ended, or the terminal went on without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch that its terminal settled; ``version`` rises by one with every change.

    ``terminal`` and ``host`` are the totals as they were compared; ``settlement_no``
    counts the comparisons (one more with each settlement of other totals).
    ``upload_expected`` is how many lines the terminal says it uploaded, ``None`` until
    it ended its upload; ``uploaded`` how many had come by then.
    """

    key: BatchKey
    version: int
    state: BatchState
    settlement_no: int
    settled_at_ms: int
    terminal: BatchTotals
    host: BatchTotals
    upload_expected: int | None = None
    uploaded: int = 0
    closed_at_ms: int = 0

    @property
    def totals_agree(self) -> bool:
        """Whether both sides said the same, in both card classes."""
        return self.terminal == self.host


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLine:
    """A transaction as its terminal uploaded it; unique by batch and ``trace``, append-only.

    ``management`` is the 60.3 it came with. ``pan_token`` is empty where no card was
    named; ``has_failed`` marks an attempt that moved no money.
    """

    key: BatchKey
    trace: str
    management: str
    amount_fen: int
    is_foreign: bool
    has_failed: bool
    pan_token: bytes
    at_ms: int


class DifferenceKind(enum.Enum):
    """How a terminal and the host disagree."""

    ONLY_TERMINAL = "only_terminal"
    """The terminal has it; here it is unknown, or no money stands behind it."""
    ONLY_HOST = "only_host"
    """Money stands here; the terminal, asked for everything, did not name it."""
    AMOUNT_DIFFERS = "amount_differs"
    CARD_DIFFERS = "card_differs"
    CLASS_DIFFERS = "class_differs"
    """Domestic on one side, foreign on the other."""
    TOTALS_DIFFER = "totals_differ"
    """Of the whole batch: no trace, the amounts are both sides' net."""
    COUNT_DIFFERS = "count_differs"
    """Of the whole batch: the lines that came are not as many as the terminal counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDifference:
    """One disagreement; append-only, unique by batch, settlement, trace and kind.

    ``payment_id`` is empty where the host knows no payment of that trace.
    """

    key: BatchKey
    settlement_no: int
    trace: str
    kind: DifferenceKind
    terminal_fen: int
    host_fen: int
    payment_id: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEntry:
    """What the host holds under one trace of a batch: a payment, or a refund of one.

    ``refund_id`` is empty for a payment. ``captured_fen`` and ``returned_fen`` are the
    payment's; ``amount_fen`` is its own. ``pan_token`` is empty where no card was read.
    ``adds_to`` is the trace of the sale that a tip or an adjustment adds to, else ``""``;
    ``is_foreign`` what the channel said of the card.
    """

    trace: str
    payment_id: str
    refund_id: str
    status: Status | RefundStatus
    amount_fen: int
    captured_fen: int
    returned_fen: int
    pan_token: bytes
    adds_to: str = ""
    is_foreign: bool = False
