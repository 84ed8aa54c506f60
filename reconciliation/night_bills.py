"""The bill of a night: where it lies, fetched once, laid by hand, or fetched anew.

Rules: a night's files lie in a folder of its own. What was fetched is kept and not fetched
again; what a person lays there is copied to it. Which file a night was matched with is written
down once it is believed; one that is refused is fetched again at the next try.
"""

import asyncio
import hashlib
import json
import shutil
from datetime import date
from pathlib import Path
from typing import Final

from channels.bills import BillAbsent, BillPending, Bills, BillUnavailable
from domain.clock import Clock
from reconciliation.exports import write_json
from reconciliation.night_account import NightAccount

_KEPT: Final = "bill.json"
"""Beside a night's files: which of them is its bill."""
Bill = tuple[Path | None, str]
"""A file and its SHA-256; ``None`` when the channel says that the day has none."""


class NightBills:
    """Every night's bill, in folders under one."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    def place(self, account_id: str, day: date) -> Path:
        """The folder of a night's files."""
        return self._folder / account_id / day.isoformat()

    async def get(self, account: NightAccount, day: date, given: Path | None) -> Bill:
        """The day's bill: laid by hand, else kept, else fetched.

        Raises:
            BillPending, BillUnavailable: see ``channels.bills``.
        """
        place = self.place(account.account_id, day)
        place.mkdir(parents=True, exist_ok=True)
        if given is not None:
            return await asyncio.to_thread(_laid, given, place)
        kept = place / _KEPT
        if kept.exists():
            said = json.loads(kept.read_text())
            return (place / said["file"] if said["file"] else None), said["sha256"]
        if account.bills is None:
            raise BillUnavailable("this channel delivers no files: give one with --bill FILE")
        if self._clock.now_ms() < account.bills.bill_due_ms(day):
            raise BillPending("it is not due yet")
        bill = await _fetched(account.bills, account.kind, day, place)
        self.keep(account.account_id, day, bill)
        return bill

    async def get_anew(self, account: NightAccount, day: date) -> Bill:
        """What the channel delivers now, beside what is kept. Raises as :meth:`get`."""
        if account.bills is None:
            return await self.get(account, day, None)
        place = self.place(account.account_id, day) / "again"
        place.mkdir(parents=True, exist_ok=True)
        return await _fetched(account.bills, account.kind, day, place)

    def keep(self, account_id: str, day: date, bill: Bill) -> None:
        """Write down which file is the night's bill."""
        place = self.place(account_id, day)
        file, sha256 = bill
        name = "" if file is None else str(file.relative_to(place))
        write_json(place / _KEPT, {"file": name, "sha256": sha256})

    def forget(self, account_id: str, day: date) -> None:
        """It is not believed: the next try asks for another one."""
        (self.place(account_id, day) / _KEPT).unlink(missing_ok=True)


async def _fetched(bills: Bills, kind: str, day: date, place: Path) -> Bill:
    try:
        fetched = await bills.fetch_bill(kind, day, place)
    except BillAbsent:
        return None, ""
    return fetched.path, fetched.sha256


def _laid(given: Path, place: Path) -> Bill:
    """A file laid by hand, copied to where its night's files are."""
    own = place / given.name
    if not (own.exists() and own.samefile(given)):
        draft = place / f"{given.name}.draft"
        shutil.copyfile(given, draft)
        draft.replace(own)
    return own, _sha256(own)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
