"""The store's part for archiving: what may go, its rows, and the commit that removes it.

Rules: as in ``port.py``; everything here is cold. What a repeat, a late bill, a refund and the
ledger ask for is never removed: the rows of payments and refunds, attempts and postings.
"""

from collections.abc import Sequence
from typing import Protocol

from gateway.store.archive_records import Archive, ArchiveCandidate, ArchivedSubject, Removal
from gateway.store.archive_tables import ArchiveTable
from gateway.store.rows import Row


class ArchiveStore(Protocol):
    """Old payments with their history, and the record of what was archived."""

    async def archive_page_end(self, after: str, before: str, limit: int) -> str | None:
        """The last of the next ``limit`` payments in (after, before); ``None``: there is none.

        Pages are of all payments, so that those archived long ago cost no more than a page each.
        """
        ...

    async def archive_candidates(
        self, after: str, last: str, quiet_since_ms: int
    ) -> Sequence[ArchiveCandidate]:
        """Payments with ids in (after, last] that are over, by id.

        Over is: final, without a move since ``quiet_since_ms``, an open refund, case, job,
        notice or difference, and not archived yet.
        """
        ...

    async def archive_rows(self, table: ArchiveTable, first_id: str, last_id: str) -> Sequence[Row]:
        """A table's rows of the payments in [first, last], in the order of its key."""
        ...

    async def remove_archived(self, removal: Removal) -> bool:
        """Record an archive and remove what it holds, in one commit; ``False``: it is recorded.

        The database itself lets nothing go whose archive is not recorded.
        """
        ...

    async def archives(self, after: str, limit: int) -> Sequence[Archive]:
        """Archives by name, in pages."""
        ...

    async def archived(self, subject: str) -> ArchivedSubject | None:
        """Where the history of a payment or refund lies, if it was archived."""
        ...
