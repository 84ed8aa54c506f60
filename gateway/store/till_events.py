"""Reading what tills are told, and the versions of payments that somebody follows.

Rules: as in ``reads.py``. Nothing here writes: ``steps.py`` and ``postgres_statements.py``
write a row in the commit of the move that it tells of.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.store.database import Database
from gateway.store.records import TillEvent
from gateway.store.rows import TILL_EVENT_COLUMNS, Row

_EVENT: Final = f"SELECT {', '.join(TILL_EVENT_COLUMNS)} FROM till_events "
_LAST: Final = "SELECT COALESCE(MAX(position), 0) FROM till_events"
_AFTER: Final = _EVENT + "WHERE position > ? ORDER BY position LIMIT ?"
_OF_STORE: Final = _EVENT + (
    "WHERE merchant_no = ? AND store_id = ? AND position > ? AND position <= ? "
    "ORDER BY position LIMIT ?"
)
_VERSIONS: Final = "SELECT id, version FROM payments WHERE id IN ({ids})"


class TillEvents:
    """The store's ``EventStore`` half."""

    _database: Database

    async def till_position(self) -> int:
        """The last position; 0 before the first."""
        rows = await self._database.rows(_LAST)
        return int(rows[0][0])

    async def till_events(self, after: int, limit: int) -> Sequence[TillEvent]:
        """What came after a position, over all merchants."""
        return [_read(row) for row in await self._database.rows(_AFTER, after, limit)]

    async def store_events(
        self, merchant_no: str, store_id: str, after: int, up_to: int, limit: int
    ) -> Sequence[TillEvent]:
        """What came of one store after a position, up to another."""
        rows = await self._database.rows(_OF_STORE, merchant_no, store_id, after, up_to, limit)
        return [_read(row) for row in rows]

    async def payment_versions(self, payment_ids: Sequence[str]) -> Mapping[str, int]:
        """The version that each payment is at; one that is not there is left out."""
        if not payment_ids:
            return {}
        # a power of two of them, as in reads.py: few texts for the caches of statements
        count = 1 << (len(payment_ids) - 1).bit_length()
        ids = [*payment_ids, *[payment_ids[-1]] * (count - len(payment_ids))]
        rows = await self._database.rows(_VERSIONS.format(ids=", ".join("?" * count)), *ids)
        return {row[0]: row[1] for row in rows}


def _read(row: Row) -> TillEvent:
    """A row of ``TILL_EVENT_COLUMNS``."""
    return TillEvent(**dict(zip(TILL_EVENT_COLUMNS, row, strict=True)))
