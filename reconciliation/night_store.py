"""The store as reconciliation sees it."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import date
from typing import Final, Protocol

from reconciliation.entries import Pool, Theirs, Waiting
from reconciliation.night_records import (
    DifferenceDecision,
    DifferenceState,
    Night,
    StoredDifference,
    StoredRate,
    StoredStatement,
    SurplusRefund,
)

_PAGE: Final = 500


class NightStore(Protocol):
    """Nights, differences, rates and statements, durable when a call returns."""

    async def open_nights(self, at_ms: int) -> None:
        """See that the one job of the nights exists; where it does, it stays as it is."""
        ...

    async def night(self, account_id: str, day: date) -> Night | None:
        """How far an account's day is."""
        ...

    async def nights(self, first: date, last: date) -> Sequence[Night]:
        """Every account's nights from ``first`` to ``last``, by day and account."""
        ...

    async def first_matched_day(self, account_id: str) -> date | None:
        """The first day that the account was ever matched on."""
        ...

    async def save_night(self, night: Night) -> bool:
        """Insert version 1 or move version n-1 to n; ``False`` when it moved meanwhile."""
        ...

    async def save_match(
        self, night: Night, differences: Iterable[StoredDifference], pool: Iterable[Pool]
    ) -> bool:
        """Move a night to matched with all that it found, in the place of what an earlier try left.

        Both are read as they are written, the pool in pages of any size.

        ``False`` when the night moved meanwhile. Whoever is stopped in the middle left a
        night that is not matched, and a later try writes the same again.
        """
        ...

    async def pool_page(
        self, account_id: str, day: date, after: Waiting | Theirs | None, limit: int
    ) -> Sequence[Waiting | Theirs]:
        """What the night of ``day`` left for the next one, in pages: after the last one's last."""
        ...

    async def difference(
        self, difference_id: str
    ) -> tuple[StoredDifference, Sequence[DifferenceDecision]] | None:
        """A difference and every decision about it, oldest first."""
        ...

    async def night_differences(
        self, account_id: str, day: date, after: str, limit: int
    ) -> Sequence[StoredDifference]:
        """A night's differences by id, in pages."""
        ...

    async def differences(
        self, state: DifferenceState, after: str, limit: int
    ) -> Sequence[StoredDifference]:
        """Differences of every night in one state by id, in pages."""
        ...

    async def decide_difference(
        self, decision: DifferenceDecision, difference: StoredDifference
    ) -> bool:
        """Record a decision and move its difference to ``difference``; ``False``: it moved."""
        ...

    async def surplus_refund(self, refund_id: str) -> SurplusRefund | None:
        """The refund of a surplus by its id."""
        ...

    async def add_surplus_refund(self, refund: SurplusRefund, version: int) -> bool:
        """Keep one before it is sent, and move its difference's version on from ``version``.

        ``False`` when it is kept already, or the difference is another one or not approved now.
        """
        ...

    async def end_surplus_refund(self, refund: SurplusRefund) -> bool:
        """Keep how it ended; ``False`` when it had: only a "no" gives way, to a "yes"."""
        ...

    async def add_rate(self, rate: StoredRate) -> bool:
        """Keep a merchant's rate; ``False`` when one of that day, channel and method exists."""
        ...

    async def rates(self, merchant_no: str) -> Sequence[StoredRate]:
        """A merchant's rates, oldest first."""
        ...

    async def add_statement(self, statement: StoredStatement) -> bool:
        """Keep a settled day; ``False`` when it is kept already."""
        ...

    async def statements(self, day: date) -> Sequence[StoredStatement]:
        """Every merchant's statement of a day."""
        ...

    async def statements_between(self, first: date, until: date) -> Sequence[StoredStatement]:
        """Every merchant's statements of the days from ``first`` to before ``until``."""
        ...

    async def last_settled_day(self, before: date) -> date | None:
        """The latest day before ``before`` that has a statement of anybody's."""
        ...

    async def fee_bearers(self) -> Sequence[str]:
        """The merchants that have a rate under which the channel's fee is theirs."""
        ...

    async def last_statement(
        self, merchant_no: str, currency: str, before: date
    ) -> StoredStatement | None:
        """The merchant's latest statement before a day: what it carried out."""
        ...


async def every_difference(
    store: NightStore, account_id: str, day: date
) -> AsyncIterator[StoredDifference]:
    """A night's differences by id, a page in memory at a time."""
    after = ""
    while page := await store.night_differences(account_id, day, after, _PAGE):
        for one in page:
            yield one
        after = page[-1].id
