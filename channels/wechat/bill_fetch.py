"""Bills of a WeChat Pay channel: fetched whole, their hash compared, or not there.

Rules: see ``bill_wire.py``. What was fetched and is not believed is taken away again; the disk
is never waited for on the event loop.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

from channels.bill_archive import members_of
from channels.bills import BillRefused, BillUnavailable, FetchedBill
from channels.port import AnswerLost, HttpRequest, NotSent
from channels.wechat.bill_wire import (
    KINDS,
    build_file,
    build_link,
    due_ms,
    read_link,
    refuse_xml,
)
from channels.wechat.calls import Calls
from channels.wechat.v2_xml import MOST_BYTES
from channels.wechat.v3 import get_signed

MOST_FILE_BYTES: Final = 1024**3
_PIECE_BYTES: Final = 1024 * 1024


class BillFetch:
    """``channels.bills.Bills`` at WeChat Pay."""

    def __init__(self, calls: Calls, *, by_v2: bool) -> None:
        self._bill_calls = calls
        self._by_v2 = by_v2

    @property
    def bill_kinds(self) -> Sequence[str]:
        """Trades first, then the account's flow of funds."""
        return KINDS

    def bill_due_ms(self, day: date) -> int:
        """From ten o'clock in Beijing on the next day."""
        return due_ms(day)

    async def fetch_bill(self, kind: str, day: date, folder: Path) -> FetchedBill:
        """The day's file as WeChat Pay delivers it, mostly a gzip.

        Raises:
            BillPending, BillAbsent, BillUnavailable: see ``channels.bills.Bills``.
        """
        if kind not in KINDS:
            raise BillUnavailable(f"WeChat Pay delivers no {kind!r}")
        path = folder / f"wechat_{self._bill_calls.account.mchid}_{kind}_{day:%Y%m%d}.csv.gz"
        calls = self._bill_calls
        try:
            if self._by_v2:
                built = build_file(kind, day, calls.account, calls.stamped().nonce)
                await self._download(built, path)
                await asyncio.to_thread(_refuse, path)
                sha1 = ""
            else:
                asked = build_link(kind, day, calls.account, calls.keys, calls.stamped())
                link = read_link(await calls.send_v3(asked), calls.keys, calls.now_ms())
                sha1 = link.sha1
                built = get_signed(link.url, calls.account, calls.keys, calls.stamped())
                await self._download(built, path)
            sha256 = await asyncio.to_thread(_digest, path, sha1)
        except (NotSent, AnswerLost, ValueError) as fault:
            raise BillUnavailable(str(fault)) from None
        return FetchedBill(kind=kind, day=day, path=path, sha256=sha256)

    async def _download(self, request: HttpRequest, path: Path) -> None:
        answer = await self._bill_calls.services.download(request, path, MOST_FILE_BYTES)
        if answer.status != 200:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise BillUnavailable(f"the file's host answers HTTP {answer.status}")


def _refuse(path: Path) -> None:
    """Take away and raise where the file is a refusal."""
    with path.open("rb") as file:
        head = file.read(MOST_BYTES)
    try:
        refuse_xml(head)
    except Exception:
        path.unlink()
        raise


def _digest(path: Path, sha1: str) -> str:
    """The SHA-256 of the file; taken away where it does not unpack to ``sha1``."""
    unpacked = hashlib.sha1(usedforsecurity=False)
    try:
        with members_of(path)[0].opened() as source:
            while piece := source.read(_PIECE_BYTES):
                unpacked.update(piece)
    except BillRefused as fault:
        path.unlink()
        raise BillUnavailable(f"the file does not unpack: {fault.why}") from None
    if sha1 and unpacked.hexdigest() != sha1:
        path.unlink()
        raise BillUnavailable("the file is not the one that the link's hash is of")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
