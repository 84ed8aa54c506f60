"""What a simulated channel's bill gets wrong beside its own books, on purpose. Pure.

Rules: a fault is of one event, by our order number and refund number (``""``: the payment);
what has none is printed once, on its own day. Sums and counts of the file are made of what is
printed, so that a wrong bill is a whole bill.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class BillFault:
    """``copies`` on its own day, one more on ``again_on``, and ``fee_fen`` more taken."""

    copies: int = 1
    again_on: date | None = None
    fee_fen: int = 0


Event = tuple[str, str]
"""An order's number, and a refund's or ``""``."""
BillFaults = Mapping[Event, BillFault]
NO_FAULTS: Final[BillFaults] = MappingProxyType({})
_RIGHT: Final = BillFault()


def fault_of(faults: BillFaults, event: Event) -> BillFault:
    """What is wrong with an event's lines; nothing, for most."""
    return faults.get(event, _RIGHT)


def printed_on(fault: BillFault, own_day: date) -> Iterator[date]:
    """The day of each line that an event of ``own_day`` has."""
    for _ in range(fault.copies):
        yield own_day
    if fault.again_on is not None:
        yield fault.again_on
