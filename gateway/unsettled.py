"""Which postings no statement holds: days that were left out, and what came after its day's.

Rules: a posting's time is taken before its commit, by the clock of whoever made it, so that a day
may have more than it was settled with. How much a day has is compared with how much statements
hold of it, for :data:`LATE_DAYS`; only where that differs are the day's postings read again. What
is late of a day is all of it less what is held, at the rates that the day was settled by.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, NamedTuple, Protocol

from domain.errors import Conflict
from gateway.store.order_source import PostedDay
from reconciliation.days import BusinessDay
from reconciliation.night_records import StoredStatement
from reconciliation.settlement import Late, Statement

LATE_DAYS: Final = 7
"""How far back a day is looked at again: far beyond any commit or clock that is late."""
BEIJING_DAY: Final = BusinessDay(begins_h=0, due_h=0)


class Posted(Protocol):
    """Merchants' postings in bulk; blocking, for a thread."""

    def posted_items(
        self, from_ms: int, until_ms: int, merchant_no: str = ""
    ) -> Iterator[dict[str, Any]]:
        """What was posted in [from, until), by merchant and currency; of one merchant or of all."""
        ...

    def posted_days(self, from_ms: int, until_ms: int) -> Iterator[PostedDay]:
        """How much was posted in [from, until) by day, merchant and currency."""
        ...

    def sellers(self, from_ms: int, until_ms: int) -> Iterator[tuple[str, str]]:
        """Who had anything posted in [from, until), and at which channel accounts."""
        ...


class OfDay(NamedTuple):
    """A merchant's day in a currency."""

    merchant_no: str
    currency: str
    day: date


@dataclass(slots=True)
class Held:
    """What statements hold of a merchant's day."""

    payments: int = 0
    refunds: int = 0
    gross_fen: int = 0
    refunds_fen: int = 0
    our_fee_fen: int = 0
    settled_at_ms: int = 0
    """When its own statement was written, 0 for never."""

    def take(self, one: Statement | Late, sign: int = 1) -> None:
        """Count what a statement holds of the day."""
        self.payments += sign * one.payments
        self.refunds += sign * one.refunds
        self.gross_fen += sign * one.gross_fen
        self.refunds_fen += sign * one.refunds_fen
        self.our_fee_fen += sign * one.our_fee_fen

    def late(self, day: date, whole: Statement) -> Late:
        """What ``whole`` has beyond it."""
        return Late(
            day=day,
            payments=whole.payments - self.payments,
            refunds=whole.refunds - self.refunds,
            gross_fen=whole.gross_fen - self.gross_fen,
            refunds_fen=whole.refunds_fen - self.refunds_fen,
            our_fee_fen=whole.our_fee_fen - self.our_fee_fen,
        )


def held_by(statements: Sequence[StoredStatement]) -> Mapping[OfDay, Held]:
    """What these statements hold, by the day that it was posted on."""
    held: dict[OfDay, Held] = {}

    def of(kept: StoredStatement, day: date) -> Held:
        return held.setdefault(OfDay(kept.merchant_no, kept.currency, day), Held())

    for kept in statements:
        own = of(kept, kept.day)
        own.take(kept.statement)
        own.settled_at_ms = kept.created_at_ms
        for late in kept.statement.late:
            own.take(late, -1)
            of(kept, late.day).take(late)
    return held


def looked_at_from(day: date, last: date | None) -> date:
    """The first day that is looked at again; ``last`` is the last one settled before ``day``."""
    if last is None:
        return date(1970, 1, 1)
    return min(last, day - timedelta(days=LATE_DAYS))


def late_days(
    posted: Iterator[PostedDay], held: Mapping[OfDay, Held], last: date | None
) -> Iterator[OfDay]:
    """The days of which something is late.

    Raises:
        Conflict: ``day_left_out``; a day has to be settled first.
    """
    for one in posted:
        what = OfDay(one.merchant_no, one.currency, one.day)
        known = held.get(what, Held())
        if last is None or one.day > last or (one.day == last and not known.settled_at_ms):
            raise Conflict(
                "day_left_out",
                f"{one.day} has postings of {one.merchant_no} and no statement of it: what a "
                "merchant owes is carried from day to day, so days are settled in order. First: "
                f"posgate settle --date {one.day}",
            )
        if one.payments > known.payments or one.refunds > known.refunds:
            yield what
