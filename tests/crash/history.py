"""What the terminals and the merchants saw, as they saw it.

Rules: it is written by those who stand outside the gateway and read by the checker; what
is already wrong when it is seen (a repeat with another answer, a replay that was let in)
is a fault at once; an order that nobody got an answer to proves nothing by itself.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Sale:
    """A sale at a terminal; ``key`` is terminal, batch and trace.

    ``response_code`` is the F39 that the terminal believed, ``""`` while it heard nothing;
    ``is_reversed`` says that a reversal of it was answered as done, ``is_reversing`` that
    one was sent.
    """

    key: str
    amount_fen: int
    response_code: str = ""
    is_reversing: bool = False
    is_reversed: bool = False

    @property
    def is_kept(self) -> bool:
        """Approved, and the terminal left it so: the payer must have paid exactly once."""
        return self.response_code == "00" and not self.is_reversing

    @property
    def is_off(self) -> bool:
        """Refused or reversed: the payer must not have paid."""
        return self.is_reversed or self.response_code not in ("", "00")


@dataclass(slots=True)
class Refund:
    """A refund as a merchant asked for it; ``statuses`` in the order they were seen."""

    number: str
    amount_fen: int
    id: str = ""
    statuses: list[str] = field(default_factory=list)
    refused_as: str = ""


@dataclass(slots=True)
class Bill:
    """A merchant's payment; ``statuses`` in the order they were seen, repeats left out."""

    number: str
    amount_fen: int
    id: str = ""
    statuses: list[str] = field(default_factory=list)
    is_cancelled: bool = False
    refunds: list[Refund] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification as it came to the merchant; ``number`` is the order's or refund's own."""

    event_id: str
    type: str
    sequence: int
    payment_id: str
    number: str
    status: str
    is_signed: bool
    is_acknowledged: bool


class History:
    """Everything that was seen from outside of one installation."""

    def __init__(self) -> None:
        self.sales: list[Sale] = []
        self.bills: list[Bill] = []
        self.notices: list[Notice] = []
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()

    def sale(self, key: str, amount_fen: int) -> Sale:
        """A sale that a terminal is about to send."""
        sale = Sale(key, amount_fen)
        self.sales.append(sale)
        return sale

    def bill(self, number: str, amount_fen: int) -> Bill:
        """A payment that a cashier is about to send."""
        bill = Bill(number, amount_fen)
        self.bills.append(bill)
        return bill

    def fault(self, what: str) -> None:
        """Something that must never be seen was seen."""
        self.faults.append(what)

    def refunds(self) -> Iterator[tuple[Bill, Refund]]:
        """Every refund with its payment."""
        for bill in self.bills:
            for refund in bill.refunds:
                yield bill, refund


def seen(statuses: list[str], status: str) -> None:
    """Append a status unless it is the one seen last."""
    if not statuses or statuses[-1] != status:
        statuses.append(status)
