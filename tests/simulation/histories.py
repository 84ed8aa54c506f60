"""What terminals and merchants saw: plain values, for a checker that knows no gateway."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Reply:
    """One reply that a terminal believed to be for its message."""

    at_s: float
    payload: bytes
    response_code: str
    signed: bool
    """It carried a MAC, and the MAC was right."""
    amount_fen: int


@dataclass(slots=True)
class GivenBack:
    """A void or refund as its terminal lived through it."""

    order_key: str
    """Terminal, batch and trace of the message itself."""
    amount_fen: int
    is_void: bool
    accepted: bool | None = None
    """Whether it took place; ``None`` where the terminal never learnt that."""


@dataclass(slots=True)
class Sale:
    """A sale as its terminal lived through it."""

    terminal_id: str
    order_key: str
    amount_fen: int
    sent_at_s: float
    sends: int = 0
    replies: list[Reply] = field(default_factory=list)
    conflict_replies: list[Reply] = field(default_factory=list)
    """To another amount under the same number, sent after this one."""
    conflict_amount_fen: int = 0
    reversals: int = 0
    """How many 0400 went out for it."""
    reversal_replies: list[Reply] = field(default_factory=list)
    reversal_first: bool = False
    """Its reversal was sent before the sale itself."""
    approved: bool = False
    """What the terminal's book says: approved, not reversed, not given back whole."""
    given_back: GivenBack | None = None
    over: bool = False
    """The terminal knows how it ended."""


@dataclass(slots=True)
class Seen:
    """A payment or refund as one answer or notification showed it."""

    asked_at_s: float
    at_s: float
    body: dict[str, Any]
    how: str
    """``created``, ``replayed``, ``get``, ``cancel``, ``refund`` or ``notification``."""


@dataclass(slots=True)
class RefundAsked:
    """A refund as its merchant asked for it."""

    number: str
    amount_fen: int
    seen: list[Seen] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    conflict_accepted: bool = False


@dataclass(slots=True)
class Order:
    """An order as its merchant lived through it."""

    number: str
    cashier: int
    amount_fen: int
    scenario: str
    notify_url: str
    sent_at_s: float
    seen: list[Seen] = field(default_factory=list)
    conflict_amount_fen: int = 0
    conflicts_accepted: int = 0
    """Answers that took another body under the same number for this order."""
    cancels: int = 0
    refunds: list[RefundAsked] = field(default_factory=list)


@dataclass(slots=True)
class LiveOrder:
    """An order whose code a counter shows, as its merchant lived through it."""

    number: str
    amount_fen: int
    notify_url: str
    seen: list[Seen] = field(default_factory=list)
    cancels: int = 0


@dataclass(slots=True)
class Notification:
    """A notification that arrived at a merchant's endpoint."""

    at_s: float
    url: str
    signed: bool
    body: dict[str, Any]
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it left a gateway; ``worker`` is the task that made it, whatever its process."""

    at_s: float
    worker: int
    kind: str
    """``pay``, ``query`` or ``cancel`` of a payment."""
    number: str


@dataclass(slots=True)
class Histories:
    """Everything that the outside knows."""

    sales: list[Sale] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    live: list[LiveOrder] = field(default_factory=list)
    daily_limit_fen: int = 0
    """What the store of the live orders may take in a day; 0: no limit."""
    notifications: list[Notification] = field(default_factory=list)
    charges: list[dict[str, Any]] = field(default_factory=list)
    """What the channels believe at the end."""
    calls: list[Call] = field(default_factory=list)
    """What the gateways asked of the channels about payments, in order."""
    clocks_agree: bool = True
    """No gateway's wall clock was far from the true time."""
    lies: dict[str, list[str]] = field(default_factory=dict)
    """Channel order numbers about which a channel said, signed, what is not so."""
    snapshots: list[list[tuple[Any, ...]]] = field(default_factory=list)
    """The ledger's lines as they were at some moments, in their order."""
    early: list[str] = field(default_factory=list)
    """Violations seen while it ran (an approval that was not yet in the ledger)."""
    final_at_s: float = 0.0
    quiet: bool = False
    """Everything came to rest within the time that it may take."""
