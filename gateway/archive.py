"""Old payments into archives: what is over and reconciled, written, read again, then removed.

Rules:

* Only what is over goes: final, told to its merchant, without an open refund, case or
  difference, and unmoved since the cut-off. And only what is reconciled: every night of its
  account from the payment's day until the carry-over after its last move is done. A payment
  that was never sent anywhere has nothing to reconcile.
* First the files, then the store: an archive is written and read back before one commit
  records it and removes what it holds. Stopped before that commit, nothing is removed and the
  next run writes the same again; stopped after it, the archive is there.
* An archive is named for what it holds, so that no run ever writes over another's files; of
  two runs on one folder the second gives up at once, of two elsewhere one commit wins.
* The rows of payments, refunds, attempts and postings stay: a repeat, a late bill, a refund
  and the ledger's proof need them. Their history and the merchants' notices go.
* Memory is bounded: ``PART`` payments at a time.
"""

import asyncio
import fcntl
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from domain.clock import Clock, beijing
from domain.errors import Conflict
from gateway.archive_files import (
    ArchiveFacts,
    ArchiveFault,
    check_archive,
    manifest_sha256,
    write_archive,
)
from gateway.store.archive_records import (
    Archive,
    ArchiveCandidate,
    ArchivedNotice,
    ArchivedSubject,
    Removal,
)
from gateway.store.archive_tables import (
    NOTICES,
    PAYMENT_EVENTS,
    PAYMENTS,
    REFUND_EVENTS,
    REFUNDS,
    TABLES,
    ArchiveTable,
)
from gateway.store.order_source import id_bounds
from gateway.store.port import Store
from gateway.store.rows import Row
from reconciliation.days import BusinessDay
from reconciliation.night_records import NightState

PART: Final = 2000
"""Payments of one archive: what is held in memory, and removed in one commit."""
ORDERS: Final = "orders"
_DAY: Final = BusinessDay(begins_h=0, due_h=0)


@dataclass(slots=True)
class Archived:
    """What a run came to; ``left`` says why payments before the cut-off stayed."""

    archives: list[Archive] = field(default_factory=list)
    payments: int = 0
    left: Counter[str] = field(default_factory=Counter)


class ArchiveJob:
    """Archives payments of before a day into folders below ``folder``."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        folder: Path,
        *,
        carry_days: int,
        unmatched: frozenset[str] = frozenset(),
        part: int = PART,
    ) -> None:
        """``unmatched`` are accounts whose nights are matched elsewhere, as the operator says."""
        self._store = store
        self._clock = clock
        self._folder = folder / ORDERS
        self._carry_days = carry_days
        self._unmatched = unmatched
        self._part = part

    async def run(self, before: date) -> Archived:
        """Everything of before ``before`` (a Beijing day) that may go.

        Raises:
            ArchiveFault: a file could not be read back; nothing of it was removed.
            domain.errors.Conflict: another run archives at this moment.
        """
        with _alone(self._folder):
            return await self._run(before)

    async def _run(self, before: date) -> Archived:
        found = Archived()
        cut_off_ms = _DAY.start_ms(before)
        after, until = id_bounds("pay_", 0, cut_off_ms)
        done = await self._done_nights(before)
        while last := await self._store.archive_page_end(after, until, self._part):
            page = await self._store.archive_candidates(after, last, cut_off_ms)
            after = last
            chosen = [one for one in page if self._is_reconciled(one, done)]
            found.left["not reconciled"] += len(page) - len(chosen)
            if chosen:
                archive = await self._archive(chosen, found.left)
                if archive is not None:
                    found.archives.append(archive)
                    found.payments += archive.payments
        return found

    async def _done_nights(self, before: date) -> Mapping[str, frozenset[date]]:
        """The days that each account's nights are done of."""
        done: dict[str, set[date]] = {}
        first = date(1970, 1, 1)
        for night in await self._store.nights(first, before + timedelta(days=self._carry_days + 1)):
            if night.state is NightState.DONE:
                done.setdefault(night.account_id, set()).add(night.day)
        return {account: frozenset(days) for account, days in done.items()}

    def _is_reconciled(self, one: ArchiveCandidate, done: Mapping[str, frozenset[date]]) -> bool:
        if not one.account_id or one.account_id in self._unmatched:
            return True
        days = done.get(one.account_id, frozenset())
        day = beijing(one.created_at_ms).date()
        # A clearing day may begin the evening before: one day more than the carry-over.
        last = beijing(one.last_at_ms).date() + timedelta(days=self._carry_days + 1)
        span = (last - day).days + 1
        return all(day + timedelta(days=step) in days for step in range(span))

    async def _archive(
        self, chosen: Sequence[ArchiveCandidate], left: Counter[str]
    ) -> Archive | None:
        first_id, last_id = chosen[0].payment_id, chosen[-1].payment_id
        rows, whole = await self._read(chosen, first_id, last_id)
        left["history not whole"] += len(chosen) - len(whole)
        if not whole:
            return None
        days = sorted(beijing(one.created_at_ms).date().isoformat() for one in whole)
        name = f"{days[0]}-{_fingerprint(rows)}"
        facts = ArchiveFacts(
            name=name,
            first_day=days[0],
            last_day=days[-1],
            payments=len(whole),
            refunds=len(rows[REFUNDS]),
        )
        digest = await asyncio.to_thread(write_archive, self._folder / name, rows, facts)
        archive = Archive(**facts, manifest_sha256=digest, archived_at_ms=self._clock.now_ms())
        removal = Removal(
            archive=archive,
            subjects=_subjects(whole, rows, name),
            notices=_notices(rows),
            first_id=first_id,
            last_id=last_id,
        )
        if not await self._store.remove_archived(removal):
            raise Conflict("archive_exists", f"archive {name} was made by somebody else meanwhile")
        return archive

    async def _read(
        self, chosen: Sequence[ArchiveCandidate], first_id: str, last_id: str
    ) -> tuple[dict[ArchiveTable, Sequence[Row]], Sequence[ArchiveCandidate]]:
        """Every table's rows of the payments that were chosen and whose history is whole."""
        read = {table: await self._store.archive_rows(table, first_id, last_id) for table in TABLES}
        histories = Counter(row[0] for row in read[PAYMENT_EVENTS])
        versions = _column(read[PAYMENTS], PAYMENTS, "version")
        whole = [
            one
            for one in chosen
            if histories[one.payment_id] == one.version == versions.get(one.payment_id)
        ]
        payments = {one.payment_id for one in whole}
        refunds = {row[0] for row in read[REFUNDS] if row[1] in payments}
        kept = {PAYMENTS: payments, REFUND_EVENTS: refunds}
        return {
            table: _of(table, rows, kept.get(table, payments)) for table, rows in read.items()
        }, whole


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder: the system lets go of it when the process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("archive_running", f"another run archives into {folder}") from None
        yield
    finally:
        os.close(held)


def _fingerprint(rows: Mapping[ArchiveTable, Sequence[Row]]) -> str:
    """The same for the same rows, and for no others."""
    told = repr([(table.name, given) for table, given in rows.items()])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _of(table: ArchiveTable, rows: Iterable[Row], owners: set[str]) -> Sequence[Row]:
    place = table.columns.index(table.owner)
    return [tuple(row) for row in rows if row[place] in owners]


def _column(rows: Iterable[Row], table: ArchiveTable, name: str) -> Mapping[str, Any]:
    """A column's values by owner."""
    owner, place = table.columns.index(table.owner), table.columns.index(name)
    return {row[owner]: row[place] for row in rows}


def _subjects(
    whole: Sequence[ArchiveCandidate], rows: Mapping[ArchiveTable, Sequence[Row]], archive: str
) -> Sequence[ArchivedSubject]:
    payments = [
        ArchivedSubject(
            subject=one.payment_id,
            archive=archive,
            version=one.version,
            status=one.status,
            refunds=one.refunds,
        )
        for one in whole
    ]
    place, standing = REFUNDS.columns.index("version"), REFUNDS.columns.index("status")
    refunds = [
        ArchivedSubject(subject=row[0], archive=archive, version=row[place], status=row[standing])
        for row in rows[REFUNDS]
    ]
    return [*payments, *refunds]


def _notices(rows: Mapping[ArchiveTable, Sequence[Row]]) -> Sequence[ArchivedNotice]:
    places = [NOTICES.columns.index(name) for name in ("event_id", "state", "done_at_ms")]
    return [
        ArchivedNotice(event_id=row[places[0]], state=row[places[1]], done_at_ms=row[places[2]])
        for row in rows[NOTICES]
    ]


async def verify_archives(store: Store, folder: Path) -> list[str]:
    """What is wrong with recorded archives; empty when every one is whole."""
    wrong: list[str] = []
    after = ""
    while page := await store.archives(after, _PAGE):
        for archive in page:
            place = folder / ORDERS / archive.name
            try:
                await asyncio.to_thread(check_archive, place)
                if await asyncio.to_thread(manifest_sha256, place) != archive.manifest_sha256:
                    wrong.append(f"{place}: its manifest is not the one that was recorded")
            except ArchiveFault as fault:
                wrong.append(str(fault))
        after = page[-1].name
    return wrong


_PAGE: Final = 500
