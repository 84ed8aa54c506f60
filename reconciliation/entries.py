"""The three sides of a match as values: our entries, the bill's lines, what waits.

Rules: a key is (kind, order number, refund number), the refund number ``""`` for a
payment. Amounts are positive integer fen, fees thousandths of a fen. ``day`` is the
business day of the channel (``reconciliation/days.py``), by our own clock for our
entries and by the bill for its lines.
"""

import enum
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from channels.bills import BillKind


class Key(NamedTuple):
    """What an entry is matched by."""

    kind: BillKind
    order_no: str
    refund_no: str = ""


class OurState(enum.Enum):
    """Where our payment or refund stands when the night is matched."""

    DONE = "done"
    """Captured, or the refund was paid out."""
    UNDONE = "undone"
    """Taken back as a whole: the channel may list it and its return, or neither."""
    NEVER = "never"
    """Ended without money: failed or closed."""
    OPEN = "open"
    """Not final yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """One of our payments or refunds; ``fee_mfen`` is what the rate gives (``None``: unknown)."""

    key: Key
    state: OurState
    amount_fen: int
    currency: str
    day: date
    subject: str
    fee_mfen: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """One line of a bill; ``day`` and ``line`` say which, and order lines of one key."""

    key: Key
    amount_fen: int
    fee_mfen: int
    currency: str
    day: date
    line: int
    trade_no: str = ""


class Side(enum.Enum):
    """What waits in the carry-over pool."""

    OURS = "ours"
    """An entry of ours that no bill has named yet, open or done."""
    REPORTED = "reported"
    """The same, after it became a difference: the bill may name it yet."""
    EARLY = "early"
    """An entry of ours that a bill named before its own day, or before it was paid here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An entry of ours in the pool, by its key, since ``first_day``."""

    side: Side
    key: Key
    first_day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The carry-over pool of one account: our entries, and the bill's lines."""

    ours: frozenset[Waiting] = frozenset()
    theirs: frozenset[Theirs] = frozenset()
