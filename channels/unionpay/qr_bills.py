"""Fetching UnionPay's file of a clearing day: 76/01, one answer with the file inside.

Rules (reference ``channels.md`` C1):

* The file is a zip in ``fileContent``, base64 of zlib, inside the signed answer: the
  signature over the whole proves it. 98 says that it is not there yet.
* Everything is bounded: the answer on disk, and what it inflates to.
* The name it is kept under is ours; UnionPay's own is not a path.
"""

import asyncio
import base64
import binascii
import hashlib
import tempfile
import zlib
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from channels.bills import BillPending, BillUnavailable, FetchedBill
from channels.port import AnswerLost, Download, HttpRequest, NotSent
from channels.unionpay.qr_codes import NO_FILE, SUCCESS
from channels.unionpay.qr_envelope import AcpAccount, Distrusted, answer_fields, check, request_of
from channels.unionpay.qr_times import txn_time
from channels.unionpay.qr_wire import Kind
from domain.clock import BEIJING

KIND: Final = "zm"
FILE_TRANSFER: Final = Kind("76", "01")
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
_DUE: Final = time(9, tzinfo=BEIJING)
_FILE_PATH: Final = "/"


def due_ms(day: date) -> int:
    """UnionPay makes a day's file in the morning after."""
    return int(datetime.combine(day + timedelta(days=1), _DUE).timestamp() * 1000)


def build_fetch(day: date, account: AcpAccount, now_ms: int) -> HttpRequest:
    """76/01 for one clearing day."""
    params = {
        **FILE_TRANSFER.fields(),
        "settleDate": f"{day:%m%d}",
        "fileType": "00",
        "txnTime": txn_time(now_ms),
    }
    return request_of(account.file_url + _FILE_PATH, params, account)


def read_file(body: bytes, day: date, account: AcpAccount, now_ms: int) -> bytes:
    """The zip inside a verified answer; raises as ``channels.bills.Bills`` says."""
    try:
        fields = answer_fields(body)
        check(fields, account, now_ms)
    except Distrusted as fault:
        raise BillUnavailable(fault.why) from None
    code = fields.get("respCode", "")
    if code == NO_FILE:
        raise BillPending(f"UnionPay has no file of {day} yet")
    if code != SUCCESS:
        raise BillUnavailable(f"UnionPay refused: {code}")
    asked = {**FILE_TRANSFER.answered(), "settleDate": f"{day:%m%d}"}
    for name, value in asked.items():
        if fields.get(name, value) != value:
            raise BillUnavailable(f"the answer's {name} is not ours")
    return _inflated(fields.get("fileContent", ""))


def _inflated(content: str) -> bytes:
    try:
        packed = base64.b64decode(content, validate=True)
        inflater = zlib.decompressobj()
        file = inflater.decompress(packed, MAX_FILE_BYTES)
    except (binascii.Error, zlib.error, ValueError):
        raise BillUnavailable("the file's content cannot be read") from None
    if inflater.unconsumed_tail or not inflater.eof:
        raise BillUnavailable("the file's content is too large or cut short")
    return file


class BillFetch:
    """One account's way to its files."""

    def __init__(self, account: AcpAccount, download: Download, now_ms: Callable[[], int]) -> None:
        self._account = account
        self._download = download
        self._now_ms = now_ms

    async def fetch(self, kind: str, day: date, folder: Path) -> FetchedBill:
        """The day's zip in ``folder``; raises as ``channels.bills.Bills`` says."""
        if kind != KIND:
            raise BillUnavailable(f"UnionPay has no file of kind {kind}")
        request = build_fetch(day, self._account, self._now_ms())
        with tempfile.TemporaryDirectory(dir=folder) as place:
            answer = Path(place) / "answer"
            try:
                response = await self._download(request, answer, MAX_ANSWER_BYTES)
            except (NotSent, AnswerLost) as fault:
                raise BillUnavailable(str(fault)) from None
            if response.status != 200:
                raise BillUnavailable(f"HTTP {response.status}")
            return await asyncio.to_thread(self._keep, answer, day, folder)

    def _keep(self, answer: Path, day: date, folder: Path) -> FetchedBill:
        file = read_file(answer.read_bytes(), day, self._account, self._now_ms())
        path = folder / f"unionpay_{self._account.mer_id}_{day:%Y%m%d}.zip"
        part = path.with_name(path.name + ".part")
        part.write_bytes(file)
        part.replace(path)
        return FetchedBill(kind=KIND, day=day, path=path, sha256=hashlib.sha256(file).hexdigest())
