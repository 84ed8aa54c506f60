"""What a night's bill took as the channel's fee, put into the ledger.

Rules: what is posted for a day is what its latest bill says: the first entry is the whole fee,
each further one what a changed bill moved it by. Entries have the account, the day and a number
as their id, so that a night that is repeated posts nothing again. Whoever loses a number to
another finds its entry at the next look, so each round passes one of the day's few entries.
"""

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from domain.clock import Clock
from domain.ledger import Posting, channel_fees, channel_receivable, fee
from gateway.store.port import LedgerEntry, LedgerStore, PaymentStore
from reconciliation.job import CURRENCY


class FeeBooks(LedgerStore, PaymentStore, Protocol):
    """A store that posts, and shows what was posted under an id."""


class FeePoster:
    """``reconciliation.job.PostFee`` over a store."""

    def __init__(self, store: FeeBooks, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self, channel: str, account_id: str, day: date, fee_fen: int) -> None:
        """Post what is missing of ``fee_fen``, or give back what is too much."""
        fees = channel_fees(channel, account_id)
        posted_fen, number = 0, 1
        while True:
            entry_id = _entry_id(account_id, day, number)
            lines = await self._store.postings(entry_id)
            if lines:
                posted_fen += _on(fees, lines)
                number += 1
                continue
            if fee_fen == posted_fen:
                return
            receivable = channel_receivable(channel, account_id)
            entry = LedgerEntry(
                entry_id=entry_id,
                postings=fee(receivable, fees, fee_fen - posted_fen, CURRENCY),
                by="reconciliation",
                why=f"the channel's fee of {day}, by its bill",
                at_ms=self._clock.now_ms(),
            )
            if await self._store.post(entry):
                return


def _entry_id(account_id: str, day: date, number: int) -> str:
    first = f"fee_{account_id}_{day:%Y%m%d}"
    return first if number == 1 else f"{first}_{number}"


def _on(account: str, lines: Sequence[Posting]) -> int:
    return sum(line.amount_fen for line in lines if line.account == account)
