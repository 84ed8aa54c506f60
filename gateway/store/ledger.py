"""The ledger beside the payments: entries of their own, and what proves the whole.

Rules: an entry that goes with no payment rests in ``postings`` like any other, under its
own id as the subject and sequence 1; who posted it and why is kept beside it. Everything
is append-only.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.store.database import Database
from gateway.store.records import LedgerEntry, LedgerLine
from gateway.store.rows import read_posting
from gateway.store.statements import insert
from gateway.store.steps import post

_FIRST: Final = 1
_ENTRY: Final = (
    insert("ledger_entries", ("entry_id", "person", "why", "at_ms"))
    + " ON CONFLICT (entry_id) DO NOTHING"
)
_LINES: Final = (
    "SELECT payment_id, sequence, line, at_ms, entry, account, amount_fen, currency "
    "FROM postings {after}ORDER BY payment_id, sequence, line LIMIT ?"
)
_FIRST_LINES: Final = _LINES.format(after="")
_NEXT_LINES: Final = _LINES.format(after="WHERE (payment_id, sequence, line) > (?, ?, ?) ")
_BALANCES: Final = (
    "SELECT account, currency, CAST(sum(amount_fen) AS BIGINT) FROM postings "
    "GROUP BY account, currency ORDER BY account, currency"
)


class Ledger:
    """The store's ``LedgerStore`` half."""

    _database: Database

    async def post(self, entry: LedgerEntry) -> bool:
        """Commit an entry of its own; ``False`` when its id exists."""
        row = (entry.entry_id, entry.by, entry.why, entry.at_ms)
        lines = post(entry.entry_id, _FIRST, entry.postings, entry.at_ms)
        return await self._database.write([(_ENTRY, row), *lines], guards=1) is None

    async def ledger_lines(
        self, after: tuple[str, int, int] | None, limit: int
    ) -> Sequence[LedgerLine]:
        """The whole ledger in pages, by subject, sequence and line."""
        if after is None:
            rows = await self._database.rows(_FIRST_LINES, limit)
        else:
            rows = await self._database.rows(_NEXT_LINES, *after, limit)
        return [
            LedgerLine(
                subject=subject,
                sequence=sequence,
                line=line,
                posting=read_posting(posting),
                at_ms=at_ms,
            )
            for subject, sequence, line, at_ms, *posting in rows
        ]

    async def balances(self) -> Mapping[tuple[str, str], int]:
        """Each account and currency with its balance in fen."""
        rows = await self._database.rows(_BALANCES)
        return {(account, currency): balance for account, currency, balance in rows}
