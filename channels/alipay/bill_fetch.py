"""Fetching Alipay's bill of a day: its URL is asked for and used at once.

Rules: the URL is good for 30 seconds, so nothing comes between the two; it is believed only out of
a verified answer, and is fetched over TLS: the vendor writes ``http://``, and its host speaks
both. The file's name is made from kind and day, never from
what the vendor calls it; that it is a zip is checked here, what is in it by whoever reads it
(``bill.py``). A bill is due at nine in Beijing on the day after; "no such bill" is
"not yet" for a day more, then there is none. Reference ``channels.md`` A3, A6.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from channels.address import refusal
from channels.alipay.account import AlipayAccount
from channels.alipay.calls import AlipayCalls
from channels.alipay.codes import SUCCESS
from channels.alipay.distrust import Distrusted
from channels.alipay.envelope import message_of, request_of, text_of, verified
from channels.alipay.later_codes import BILL_SUB_CODES
from channels.bills import BillAbsent, BillPending, BillUnavailable, FetchedBill
from channels.one_call import what
from channels.port import HttpRequest, HttpResponse

TRADE: Final = "trade"
_METHOD: Final = "alipay.data.dataservice.bill.downloadurl.query"
_KEY: Final = "alipay_data_dataservice_bill_downloadurl_query_response"
_DUE_HOUR: Final = 9
_BEIJING: Final = timedelta(hours=8)
_PATIENCE_MS: Final = 24 * 3_600_000
_MAX_BYTES: Final = 2 * 1024**3
_DOWNLOAD_S: Final = 600.0
_ZIP: Final = b"PK"
_PLAIN: Final = "http://"


def build_bill_url(
    kind: str, day: date, account: AlipayAccount, now_ms: int, nonce: str = ""
) -> HttpRequest:
    """The question where a day's bill is."""
    content = {"bill_type": kind, "bill_date": day.isoformat()}
    return request_of(_METHOD, content, account, now_ms, nonce)


def read_bill_url(response: HttpResponse, account: AlipayAccount, *, is_late: bool) -> str:
    """The URL.

    Raises:
        BillPending: there is none yet.
        BillAbsent: the day has none (``is_late``: it would be there by now).
        BillUnavailable: anything else.
    """
    try:
        fields = verified(response, _KEY, account, "")
    except Distrusted as fault:
        raise BillUnavailable(f"{fault.why} {fault.code}".strip()) from None
    code, sub_code = text_of(fields, "code"), text_of(fields, "sub_code")
    if code == SUCCESS:
        url = text_of(fields, "bill_download_url")
        if url.startswith(_PLAIN) and refusal(url):
            url = f"https://{url.removeprefix(_PLAIN)}"
        problem = refusal(url) if url else "is missing"
        if problem:
            raise BillUnavailable(f"the bill's URL {problem}")
        return url
    bare = sub_code.rpartition(".")[2].upper().replace("-", "_")
    match bare:
        case "NO_BILL_DATA":
            raise BillAbsent("nothing happened that day")
        case "BILL_NOT_EXIST" if is_late:
            raise BillAbsent("there is no bill of that day")
        case "BILL_NOT_EXIST":
            raise BillPending("the bill is not made yet")
    listed = BILL_SUB_CODES.get(bare)
    why = listed.text.en if listed else message_of(fields)
    raise BillUnavailable(f"{sub_code or code} {why}".strip())


class AlipayBillFetch(AlipayCalls):
    """``Bills`` of one application."""

    @property
    def bill_kinds(self) -> Sequence[str]:
        """The trades; the summary lies in the same file."""
        return (TRADE,)

    def bill_due_ms(self, day: date) -> int:
        """Nine o'clock in Beijing on the day after."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) - _BEIJING
        due = midnight + timedelta(days=1, hours=_DUE_HOUR)
        return int(due.timestamp()) * 1000

    async def fetch_bill(self, kind: str, day: date, folder: Path) -> FetchedBill:
        """See ``channels.bills.Bills``."""
        if kind not in self.bill_kinds:
            raise BillUnavailable(f"Alipay has no bill of the kind {kind!r}")
        now_ms, nonce = self._moment()
        is_late = now_ms > self.bill_due_ms(day) + _PATIENCE_MS
        path = folder / f"alipay-{kind}-{day.isoformat()}.zip"
        try:
            asked = build_bill_url(kind, day, self._account, now_ms, nonce)
            url = read_bill_url(await self._send(asked), self._account, is_late=is_late)
            fetch = HttpRequest(method="GET", url=url, headers={}, body=b"", timeout_s=_DOWNLOAD_S)
            answer = await self._download(fetch, path, _MAX_BYTES)
        except (BillPending, BillAbsent, BillUnavailable):
            raise
        except Exception as fault:
            raise BillUnavailable(what(fault)) from fault
        if answer.status != 200:
            path.unlink(missing_ok=True)
            raise BillUnavailable(f"HTTP {answer.status} for the file")
        sha256 = await asyncio.to_thread(_hashed, path)
        return FetchedBill(kind=kind, day=day, path=path, sha256=sha256)


def _hashed(path: Path) -> str:
    with path.open("rb") as file:
        is_zip = file.read(len(_ZIP)) == _ZIP
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not is_zip:
        path.unlink(missing_ok=True)
        raise BillUnavailable("what came is no zip file")
    return digest
