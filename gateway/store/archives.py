"""Archives in the store: what may go into one, and the one commit that removes it.

Rules:

* What is over is decided by the database in one statement: nothing is archived that waits for
  a channel, a person, a merchant or a night.
* The archive is recorded first, in the commit that removes what it holds: a name is recorded
  once, and the triggers of the tables let only that go which a record covers. Whoever is
  stopped in between has removed nothing.
* A notice goes only as it was read; one that was replayed meanwhile stays.
"""

from collections.abc import Sequence
from typing import Final

from domain.payment import FINAL
from domain.refund import REFUND_FINAL
from gateway.store.archive_records import (
    Archive,
    ArchiveCandidate,
    ArchivedSubject,
    Removal,
)
from gateway.store.archive_tables import ArchiveTable
from gateway.store.database import Database, Step
from gateway.store.records import NoticeState
from gateway.store.rows import SETTLE, Row
from gateway.store.sql_text import literals
from gateway.store.statements import insert

_FINAL: Final = literals(sorted(status.value for status in FINAL))
_REFUND_FINAL: Final = literals(sorted(status.value for status in REFUND_FINAL))
_CANDIDATES: Final = f"""
SELECT p.id, p.account_id, p.created_at_ms, p.version, p.status,
  (SELECT count(*) FROM refunds r WHERE r.payment_id = p.id) AS refunds,
  coalesce((SELECT max(e.at_ms) FROM payment_events e WHERE e.payment_id = p.id),
    p.created_at_ms) AS last_at_ms
FROM payments p
WHERE p.id > ? AND p.id <= ? AND p.status IN ({_FINAL})
  AND p.refunding_fen = 0 AND p.parked_reason = ''
  AND NOT EXISTS (SELECT 1 FROM archived_subjects a WHERE a.subject = p.id)
  AND NOT EXISTS (SELECT 1 FROM payment_events e WHERE e.payment_id = p.id AND e.at_ms >= ?)
  AND NOT EXISTS (SELECT 1 FROM refunds r WHERE r.payment_id = p.id AND (r.parked_reason <> ''
    OR r.status NOT IN ({_REFUND_FINAL})))
  AND NOT EXISTS (SELECT 1 FROM notices n WHERE n.payment_id = p.id
    AND n.state = '{NoticeState.PENDING.value}')
  AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = '{SETTLE}:' || p.id)
  AND (p.account_id, p.channel_order_no) NOT IN (
    SELECT d.account_id, d.order_no FROM night_differences d
    WHERE d.state IN ('open', 'proposed', 'approved'))
ORDER BY p.id
"""
_PAGE_END: Final = (
    "SELECT max(page.id) FROM (SELECT id FROM payments WHERE id > ? AND id < ? "
    "ORDER BY id LIMIT ?) AS page"
)
_ARCHIVE_COLUMNS: Final = (
    "name", "first_day", "last_day", "payments", "refunds", "manifest_sha256", "archived_at_ms",
)  # fmt: skip
_RECORD: Final = insert("archives", _ARCHIVE_COLUMNS) + " ON CONFLICT (name) DO NOTHING"
_SUBJECT_COLUMNS: Final = ("subject", "archive", "version", "status", "refunds")
_SUBJECT: Final = insert("archived_subjects", _SUBJECT_COLUMNS)
_REMOVE_EVENTS: Final = """
DELETE FROM payment_events WHERE payment_id BETWEEN ? AND ?
  AND payment_id IN (SELECT a.subject FROM archived_subjects a WHERE a.archive = ?)
  AND sequence <= (SELECT a.version FROM archived_subjects a
    WHERE a.subject = payment_events.payment_id)
"""
_REMOVE_REFUND_EVENTS: Final = """
DELETE FROM refund_events WHERE refund_id IN (
    SELECT a.subject FROM archived_subjects a WHERE a.archive = ?)
  AND sequence <= (SELECT a.version FROM archived_subjects a
    WHERE a.subject = refund_events.refund_id)
"""
_REMOVE_NOTICE: Final = "DELETE FROM notices WHERE event_id = ? AND state = ? AND done_at_ms = ?"
_ARCHIVES: Final = (
    f"SELECT {', '.join(_ARCHIVE_COLUMNS)} FROM archives WHERE name > ? ORDER BY name LIMIT ?"
)
_ARCHIVED: Final = f"SELECT {', '.join(_SUBJECT_COLUMNS)} FROM archived_subjects WHERE subject = ?"


class Archives:
    """The store's ``ArchiveStore`` half."""

    _database: Database

    async def archive_page_end(self, after: str, before: str, limit: int) -> str | None:
        """The last of the next payments with ids in (after, before); ``None``: there is none."""
        end: str | None = (await self._database.rows(_PAGE_END, after, before, limit))[0][0]
        return end

    async def archive_candidates(
        self, after: str, last: str, quiet_since_ms: int
    ) -> Sequence[ArchiveCandidate]:
        """Payments with ids in (after, last] that are over, by id."""
        rows = await self._database.rows(_CANDIDATES, after, last, quiet_since_ms)
        names = ArchiveCandidate.__slots__
        return [ArchiveCandidate(**dict(zip(names, row, strict=True))) for row in rows]

    async def archive_rows(self, table: ArchiveTable, first_id: str, last_id: str) -> Sequence[Row]:
        """A table's rows of the payments in [first, last], in the order of its key."""
        return await self._database.rows(table.sql, first_id, last_id)

    async def remove_archived(self, removal: Removal) -> bool:
        """Record an archive and remove what it holds, in one commit; ``False``: it is recorded."""
        archive = removal.archive
        recorded = tuple(getattr(archive, column) for column in _ARCHIVE_COLUMNS)
        steps: list[Step] = [(_RECORD, recorded)]
        for one in removal.subjects:
            steps.append((_SUBJECT, tuple(getattr(one, column) for column in _SUBJECT_COLUMNS)))
        steps += [
            (_REMOVE_EVENTS, (removal.first_id, removal.last_id, archive.name)),
            (_REMOVE_REFUND_EVENTS, (archive.name,)),
        ]
        for notice in removal.notices:
            steps.append((_REMOVE_NOTICE, (notice.event_id, notice.state, notice.done_at_ms)))
        return await self._database.write(steps, guards=1) is None

    async def archives(self, after: str, limit: int) -> Sequence[Archive]:
        """Archives by name, in pages."""
        rows = await self._database.rows(_ARCHIVES, after, limit)
        return [Archive(**dict(zip(_ARCHIVE_COLUMNS, row, strict=True))) for row in rows]

    async def archived(self, subject: str) -> ArchivedSubject | None:
        """Where the history of a payment or refund lies, if it was archived."""
        rows = await self._database.rows(_ARCHIVED, subject)
        return (
            ArchivedSubject(**dict(zip(_SUBJECT_COLUMNS, rows[0], strict=True))) if rows else None
        )
