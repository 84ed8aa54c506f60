"""Notices to merchants: read, booked as delivered or failed, replayed.

Rules:

* A notice is written by the change that it tells of (``steps.py``); its words never
  change, and it is never deleted but by an archive whose record covers it (``archives.py``).
* Delivered is delivered: it ends the job whoever holds it. A failure counts only for
  the holder of the lease.
* The job comes first, then its notice: rows are locked in that order everywhere.
* A list by payment or of what is dead or pending has an index; one of a merchant alone
  walks the key from ``after`` on, for an index more would cost every payment.
* A replayed job's fence starts at the time of the replay, above every lease of before.
"""

from collections.abc import Sequence
from typing import Final

from gateway.store.database import Database, Value
from gateway.store.records import Job, NoticeState, StoredNotice
from gateway.store.rows import (
    JOB_COLUMNS,
    NOTICE_COLUMNS,
    NOTICE_STATE_COLUMNS,
    NOTIFY,
    Row,
    job_id,
    read_notice,
)
from gateway.store.statements import END_JOB

_PENDING, _DELIVERED, _DEAD = (
    NoticeState.PENDING.value,
    NoticeState.DELIVERED.value,
    NoticeState.DEAD.value,
)
_COLUMNS: Final = ", ".join(NOTICE_COLUMNS + NOTICE_STATE_COLUMNS)
_NOTICE: Final = f"SELECT {_COLUMNS} FROM notices WHERE "
_BY_ID: Final = _NOTICE + "event_id = ?"
_BY_JOB: Final = (
    f"SELECT {_COLUMNS} FROM jobs JOIN notices ON event_id = subject WHERE id < '{NOTIFY};' AND "
)
"""The few that are pending; a semicolon follows the colon of ``notify:EVENT``."""
_MY_JOB: Final = "WHERE id = ? AND fence = ?"
_END_MY_JOB: Final = f"DELETE FROM jobs {_MY_JOB}"
_GIVE_BACK: Final = f"UPDATE jobs SET due_at_ms = ?, given_back = TRUE {_MY_JOB}"
_BOOK_DELIVERED: Final = (
    f"UPDATE notices SET state = '{_DELIVERED}', attempts = attempts + 1, last_error = '', "
    "done_at_ms = ? WHERE event_id = ?"
)
_BOOK_FAILED: Final = (
    "UPDATE notices SET attempts = attempts + 1, last_error = ? WHERE event_id = ?"
)
_BOOK_DEAD: Final = (
    f"UPDATE notices SET state = '{_DEAD}', attempts = attempts + 1, last_error = ?, "
    "done_at_ms = ? WHERE event_id = ?"
)
_RENEW: Final = (
    f"UPDATE notices SET state = '{_PENDING}', attempts = 0, last_error = '', done_at_ms = 0 "
    f"WHERE event_id = ? AND state <> '{_PENDING}'"
)
_REQUEUE: Final = (
    f"INSERT INTO jobs ({', '.join(JOB_COLUMNS)}) "
    f"SELECT '{NOTIFY}:' || event_id, '{NOTIFY}', endpoint, event_id, "
    "CAST(? AS BIGINT), CAST(? AS BIGINT), 0, FALSE FROM notices WHERE event_id = ?"
)


class Notices:
    """The store's ``NoticeStore`` half."""

    _database: Database

    async def notice(self, event_id: str) -> StoredNotice | None:
        """A notice by its event."""
        rows = await self._database.rows(_BY_ID, event_id)
        return _read(rows[0]) if rows else None

    async def notices(
        self,
        *,
        merchant_no: str,
        payment_id: str,
        state: NoticeState | None,
        after: str,
        limit: int,
    ) -> Sequence[StoredNotice]:
        """Notices by event id; an empty text and ``None`` do not filter."""
        pending = state is NoticeState.PENDING
        key, first = ("id", f"{NOTIFY}:{after}") if pending else ("event_id", after)
        conditions, values = [f"{key} > ?"], list[Value]((first,))
        for column, value in (("merchant_no", merchant_no), ("payment_id", payment_id)):
            if value:
                conditions.append(f"{column} = ?")
                values.append(value)
        if state is not None:  # as text, for the index of what is dead
            conditions.append(f"state = '{state.value}'")
        found = _BY_JOB if pending else _NOTICE
        sql = f"{found}{' AND '.join(conditions)} ORDER BY {key} LIMIT ?"
        return [_read(row) for row in await self._database.rows(sql, *values, limit)]

    async def notice_delivered(self, job: Job, at_ms: int) -> bool:
        """Book a delivery and end the job; ``False`` when the lease was lost (still delivered)."""
        book = (_BOOK_DELIVERED, (at_ms, job.subject))
        name = job_id(job.kind, job.subject)
        if await self._database.write([(_END_MY_JOB, (name, job.fence)), book], guards=1) is None:
            return True
        await self._database.write([(END_JOB, (name,)), book], guards=0)
        return False

    async def notice_failed(self, job: Job, error: str, due_at_ms: int | None, at_ms: int) -> bool:
        """Book a failed attempt; ``None`` ends the job and puts the notice on the dead list.

        ``False`` when the lease was lost: nothing is written.
        """
        mine = (job_id(job.kind, job.subject), job.fence)
        if due_at_ms is None:
            steps = [(_END_MY_JOB, mine), (_BOOK_DEAD, (error, at_ms, job.subject))]
        else:
            steps = [(_GIVE_BACK, (due_at_ms, *mine)), (_BOOK_FAILED, (error, job.subject))]
        return await self._database.write(steps, guards=2) is None

    async def replay_notice(self, event_id: str, at_ms: int) -> bool:
        """Make a delivered or dead notice pending and due now, with a fresh schedule."""
        steps = [(_RENEW, (event_id,)), (_REQUEUE, (at_ms, at_ms, event_id))]
        return await self._database.write(steps, guards=2) is None


def _read(row: Row) -> StoredNotice:
    """A row of ``NOTICE_COLUMNS`` and ``NOTICE_STATE_COLUMNS``."""
    state, attempts, last_error, done_at_ms = row[len(NOTICE_COLUMNS) :]
    return StoredNotice(
        notice=read_notice(row[: len(NOTICE_COLUMNS)]),
        state=NoticeState(state),
        attempts=attempts,
        last_error=last_error,
        done_at_ms=done_at_ms,
    )
