"""Work that outlives a request: leased by lane, fenced, given back.

Rules:

* A lease raises the fence and moves the due time: two callers never get a job for the
  same due time, and a worker that slept through its lease is told so by its fence.
* Neither a lease nor a hastening waits for a row that another transaction holds: what is
  being moved is not due.
* From lane to lane the index is skipped through, so that a lane of a hundred thousand
  jobs costs one look like any other.
"""

from collections.abc import Sequence
from typing import Final

from gateway.store.database import Database
from gateway.store.records import Job, JobKind
from gateway.store.rows import Row, job_id

_COLUMNS: Final = "kind, subject, lane, due_at_ms, fence, tries"
DUE_LANES: Final = (
    "WITH RECURSIVE lanes (lane) AS ("
    "SELECT (SELECT lane FROM jobs WHERE kind = ? AND lane > ? ORDER BY lane LIMIT 1) "
    "UNION ALL SELECT (SELECT j.lane FROM jobs j WHERE j.kind = ? AND j.lane > lanes.lane "
    "ORDER BY j.lane LIMIT 1) FROM lanes WHERE lanes.lane IS NOT NULL) "
    "SELECT lane FROM lanes WHERE lane IS NOT NULL AND (SELECT d.due_at_ms FROM jobs d "
    "WHERE d.kind = ? AND d.lane = lanes.lane ORDER BY d.due_at_ms LIMIT 1) <= ? LIMIT ?"
)
LEASE: Final = (
    "WITH due AS MATERIALIZED (SELECT id AS due_id FROM jobs "
    "WHERE kind = ? AND lane = ? AND due_at_ms <= ? ORDER BY due_at_ms LIMIT ? {skip_locked}) "
    "UPDATE jobs SET due_at_ms = ?, fence = fence + 1, tries = tries + 1, given_back = FALSE "
    f"FROM due WHERE id = due_id RETURNING {_COLUMNS}"
)
_RENEW: Final = (
    "UPDATE jobs SET due_at_ms = ?, given_back = ? WHERE id = ? AND fence = ? RETURNING id"
)
_HASTEN: Final = (
    "WITH waiting AS MATERIALIZED (SELECT id AS waiting_id FROM jobs "
    "WHERE kind = ? AND lane = ? AND due_at_ms > ? AND given_back {skip_locked}) "
    "UPDATE jobs SET due_at_ms = ? FROM waiting WHERE id = waiting_id RETURNING id"
)
_JOBS: Final = f"SELECT {_COLUMNS} FROM jobs WHERE id > ? ORDER BY id LIMIT ?"
_JOBS_OF_KIND: Final = f"SELECT {_COLUMNS} FROM jobs WHERE id > ? AND id < ? ORDER BY id LIMIT ?"


class Jobs:
    """The store's ``JobStore`` half."""

    _database: Database

    async def due_lanes(self, kind: JobKind, now_ms: int, after: str, limit: int) -> Sequence[str]:
        """Lanes with a due job, in order of their name, from the first after ``after``."""
        name = kind.value
        rows = await self._database.rows(DUE_LANES, name, after, name, name, now_ms, limit)
        return sorted(lane for (lane,) in rows)

    async def lease(
        self, kind: JobKind, lane: str, now_ms: int, until_ms: int, limit: int
    ) -> Sequence[Job]:
        """Take the jobs of a lane that are due longest, each until ``until_ms``; by subject."""
        sql = LEASE.format(skip_locked=self._database.skip_locked)
        rows = await self._database.rows(sql, kind.value, lane, now_ms, limit, until_ms)
        return sorted(map(_read_job, rows), key=_subject)

    async def renew(
        self, kind: JobKind, subject: str, due_at_ms: int, fence: int, *, given_back: bool = False
    ) -> bool:
        """Move a job's due time; ``False`` when it ended or is no longer leased by ``fence``."""
        job = job_id(kind, subject)
        return bool(await self._database.rows(_RENEW, due_at_ms, given_back, job, fence))

    async def hasten(self, kind: JobKind, lane: str, now_ms: int) -> int:
        """Make every job of a lane due now that was given back; how many were moved."""
        sql = _HASTEN.format(skip_locked=self._database.skip_locked)
        return len(await self._database.rows(sql, kind.value, lane, now_ms, now_ms))

    async def jobs(self, kind: JobKind | None, after: str, limit: int) -> Sequence[Job]:
        """What is open, by kind and subject; ``after``: the last ``kind:subject``."""
        if kind is None:
            rows = await self._database.rows(_JOBS, after, limit)
        else:
            first, end = max(after, f"{kind.value}:"), f"{kind.value};"  # the sign after a colon
            rows = await self._database.rows(_JOBS_OF_KIND, first, end, limit)
        return [_read_job(row) for row in rows]


def _subject(job: Job) -> str:
    return job.subject


def _read_job(row: Row) -> Job:
    """A row of ``_COLUMNS``."""
    kind, subject, lane, due_at_ms, fence, tries = row
    return Job(
        kind=JobKind(kind),
        subject=subject,
        lane=lane,
        due_at_ms=due_at_ms,
        fence=fence,
        tries=tries,
    )
