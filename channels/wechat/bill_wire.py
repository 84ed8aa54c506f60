"""Asking for bills: APIv3's link with its hash, APIv2's file at once. Pure.

Rules (reference ``channels.md`` B3): a link is good for 30 seconds, on the account's own host,
and fetched signed; what comes is not, so its SHA-1 over the *uncompressed* bytes is compared
with what the signed link said. APIv2 answers a refusal with XML where the file would be, under
HTTP 200: it is told apart by its first byte, which no bill has.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from channels.bills import BillAbsent, BillPending, BillUnavailable
from channels.port import HttpRequest, HttpResponse
from channels.wechat.account import PlatformKeys, WechatAccount
from channels.wechat.codes import BILL_ABSENT, BILL_PENDING
from channels.wechat.v2 import BILL, request_of
from channels.wechat.v2 import FUND_FLOW as FUND_FLOW_V2
from channels.wechat.v2_xml import XmlRefused, read_fields
from channels.wechat.v3 import (
    FUND_FLOW,
    TRADE_BILL,
    Distrusted,
    Stamped,
    text_of,
    verified,
)
from channels.wechat.v3 import request_of as v3_request_of
from domain.clock import BEIJING

TRADE: Final = "trade"
FUNDFLOW: Final = "fundflow"
KINDS: Final = (TRADE, FUNDFLOW)
_DUE: Final = time(10, 0)
_SHA1: Final = re.compile(r"[0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True)
class BillLink:
    """Where a bill lies for half a minute, and the SHA-1 of what it unpacks to."""

    url: str
    sha1: str

    def __repr__(self) -> str:
        return "BillLink(…)"


def due_ms(day: date) -> int:
    """From ten o'clock in Beijing on the next day."""
    return int(datetime.combine(day + timedelta(days=1), _DUE, BEIJING).timestamp()) * 1000


def build_link(
    kind: str, day: date, account: WechatAccount, keys: PlatformKeys, stamped: Stamped
) -> HttpRequest:
    """``tradebill`` with everything of a day, or ``fundflowbill`` of the basic account."""
    if kind == FUNDFLOW:
        query = f"bill_date={day:%Y-%m-%d}&account_type=BASIC&tar_type=GZIP"
        return v3_request_of(FUND_FLOW, {}, account, keys, stamped, query=query)
    query = f"bill_date={day:%Y-%m-%d}&bill_type=ALL&tar_type=GZIP"
    if account.is_partner:
        query = f"sub_mchid={account.sub_mchid}&{query}"
    return v3_request_of(TRADE_BILL, {}, account, keys, stamped, query=query)


def read_link(response: HttpResponse, keys: PlatformKeys, now_ms: int) -> BillLink:
    """The link.

    Raises:
        BillPending, BillAbsent, BillUnavailable: there is none (yet).
    """
    try:
        said = verified(response, keys, now_ms)
    except Distrusted as fault:
        raise BillUnavailable(fault.why) from None
    if said.status != 200:
        _raise_for(said.code)
        raise BillUnavailable(f"refused: {said.code or f'HTTP {said.status}'}")
    url, sha1 = text_of(said.fields, "download_url"), text_of(said.fields, "hash_value")
    if text_of(said.fields, "hash_type") != "SHA1" or _SHA1.fullmatch(sha1) is None or not url:
        raise BillUnavailable("the link has no hash that we know")
    return BillLink(url, sha1.lower())


def build_file(kind: str, day: date, account: WechatAccount, nonce: str) -> HttpRequest:
    """``downloadbill`` or ``downloadfundflow`` of APIv2.

    Raises:
        Unwritable: the account has no certificate (fund flow).
    """
    content = {"bill_date": f"{day:%Y%m%d}", "tar_type": "GZIP"}
    if kind == FUNDFLOW:
        return request_of(FUND_FLOW_V2, content | {"account_type": "Basic"}, account, nonce)
    return request_of(BILL, content | {"bill_type": "ALL"}, account, nonce)


def refuse_xml(head: bytes) -> None:
    """Go on only where ``head``, a file's first bytes, is no refusal of APIv2.

    Raises:
        BillPending, BillAbsent, BillUnavailable: it is one.
    """
    if head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] != b"<":
        return
    try:
        fields = read_fields(head)
    except XmlRefused:
        raise BillUnavailable("an answer that is neither a bill nor a refusal") from None
    _raise_for(fields.get("err_code", ""))
    _raise_for(fields.get("return_msg", "").strip().lower())
    raise BillUnavailable(f"refused: {fields.get('return_code', '')[:16]}")


def _raise_for(code: str) -> None:
    if code in BILL_PENDING:
        raise BillPending("the bill is being made")
    if code in BILL_ABSENT:
        raise BillAbsent("no bill of this day")
