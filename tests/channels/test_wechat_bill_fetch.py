"""Fetching WeChat Pay's bills: the link, its hash, and the ways that a file is not there."""

import gzip
import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from channels.bills import BillAbsent, BillPending, Bills, BillUnavailable, bills_of
from channels.port import AnswerLost, HttpRequest, HttpResponse
from channels.wechat.plugin import PLUGIN
from tests.channels.rigs import services
from tests.channels.wechat_rigs import (
    BASE_URL,
    SUB_MCHID,
    WechatRig,
    v3_answer,
    v3_refused,
    xml,
)

DAY = date(2026, 11, 22)
CONTENT = "交易时间,…\n".encode()
PACKED = gzip.compress(CONTENT)
SHA1 = hashlib.sha1(CONTENT).hexdigest()
LINK = {
    "hash_type": "SHA1",
    "hash_value": SHA1,
    "download_url": f"{BASE_URL}/v3/billdownload/file?token=x",
}


class BillRig(WechatRig):
    """A WeChat Pay that keeps a file."""

    def __init__(self, **settings: str) -> None:
        super().__init__(**settings)
        self.file = HttpResponse(200, {}, PACKED)
        self.fetched: list[HttpRequest] = []
        self.channel = PLUGIN.build(
            self.given, services(send=self.send, clock=self.clock, download=self.download)
        )
        bills = bills_of(self.channel)
        assert bills is not None
        self.bills: Bills = bills
        self.answers(v3_answer(LINK))

    async def download(self, request: HttpRequest, path: Path, max_bytes: int) -> HttpResponse:
        self.fetched.append(request)
        if not self.file.body:
            raise AnswerLost("timed out")
        path.write_bytes(self.file.body)
        return HttpResponse(self.file.status, {}, b"")


async def test_a_bill_is_fetched_by_its_link_and_compared_with_its_hash(tmp_path: Path) -> None:
    rig = BillRig()
    bill = await rig.bills.fetch_bill("trade", DAY, tmp_path)
    assert rig.requests[0].url.endswith(
        "/v3/bill/tradebill?bill_date=2026-11-22&bill_type=ALL&tar_type=GZIP"
    )
    (asked,) = rig.fetched
    assert asked.url == LINK["download_url"]
    assert asked.headers["Authorization"].startswith("WECHATPAY2-SHA256-RSA2048 ")
    assert bill.path.read_bytes() == PACKED
    assert bill.sha256 == hashlib.sha256(PACKED).hexdigest()
    assert (bill.kind, bill.day, bill.path.parent) == ("trade", DAY, tmp_path)


async def test_the_flow_of_funds_and_a_shops_trades(tmp_path: Path) -> None:
    rig = BillRig(sub_mchid=SUB_MCHID)
    await rig.bills.fetch_bill("fundflow", DAY, tmp_path)
    await rig.bills.fetch_bill("trade", DAY, tmp_path)
    assert rig.requests[0].url.endswith(
        "/v3/bill/fundflowbill?bill_date=2026-11-22&account_type=BASIC&tar_type=GZIP"
    )
    assert f"?sub_mchid={SUB_MCHID}&bill_date=2026-11-22" in rig.requests[1].url
    assert list(rig.bills.bill_kinds) == ["trade", "fundflow"]


async def test_a_file_that_is_not_packed_is_as_good(tmp_path: Path) -> None:
    rig = BillRig()
    rig.file = HttpResponse(200, {}, CONTENT)
    assert (await rig.bills.fetch_bill("trade", DAY, tmp_path)).path.read_bytes() == CONTENT


Change = Callable[[BillRig], Any]
BAD: dict[str, Change] = {
    "another file": lambda rig: setattr(rig, "file", HttpResponse(200, {}, gzip.compress(b"x"))),
    "a cut file": lambda rig: setattr(rig, "file", HttpResponse(200, {}, PACKED[:-9])),
    "no file": lambda rig: setattr(rig, "file", HttpResponse(403, {}, b"{}")),
    "a lost file": lambda rig: setattr(rig, "file", HttpResponse(200, {}, b"")),
    "another host": lambda rig: rig.answers(
        v3_answer(LINK | {"download_url": "https://x.example/f"})
    ),
    "a host like ours": lambda rig: rig.answers(
        v3_answer(LINK | {"download_url": f"{BASE_URL}.x.example/f"})
    ),
    "another hash": lambda rig: rig.answers(v3_answer(LINK | {"hash_type": "MD5"})),
    "no hash": lambda rig: rig.answers(v3_answer(LINK | {"hash_value": ""})),
    "a link signed by another": lambda rig: rig.answers(v3_answer(LINK, signer="somebody")),
    "a refusal": lambda rig: rig.answers(v3_refused(400, "PARAM_ERROR")),
    "a lost answer": lambda rig: rig._raise(AnswerLost("timed out")),
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
async def test_what_is_not_believed_is_not_left_there(tmp_path: Path, change: Change) -> None:
    rig = BillRig()
    change(rig)
    with pytest.raises(BillUnavailable):
        await rig.bills.fetch_bill("trade", DAY, tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_not_made_yet_and_never_to_be(tmp_path: Path) -> None:
    rig = BillRig()
    rig.answers(v3_refused(400, "STATEMENT_CREATING"))
    with pytest.raises(BillPending):
        await rig.bills.fetch_bill("trade", DAY, tmp_path)
    rig.answers(v3_refused(400, "NO_STATEMENT_EXIST"))
    with pytest.raises(BillAbsent):
        await rig.bills.fetch_bill("trade", DAY, tmp_path)


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("No Bill Exist", BillAbsent),
        ("Bill Creating", BillPending),
        ("invalid bill_type", BillUnavailable),
    ],
)
async def test_refusals_of_apiv2_come_in_the_files_place(
    tmp_path: Path, message: str, fault: type[Exception]
) -> None:
    rig = BillRig(bill_api="v2")
    refusal = {"return_code": "FAIL", "return_msg": message, "error_code": "20002"}
    rig.file = HttpResponse(200, {}, xml(refusal))
    with pytest.raises(fault):
        await rig.bills.fetch_bill("trade", DAY, tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_the_files_of_apiv2(tmp_path: Path) -> None:
    """The flow of funds under mutual TLS, both signed with what each wants."""
    rig = BillRig(bill_api="v2", sign_type="MD5")
    await rig.bills.fetch_bill("trade", DAY, tmp_path)
    await rig.bills.fetch_bill("fundflow", DAY, tmp_path)
    trade, flow = rig.fetched
    assert b"<bill_date>20261122</bill_date>" in trade.body
    assert b"<sign_type>MD5</sign_type>" in trade.body
    assert trade.identity is None
    assert b"<sign_type>HMAC-SHA256</sign_type>" in flow.body
    assert flow.identity is not None


async def test_no_other_kind(tmp_path: Path) -> None:
    with pytest.raises(BillUnavailable):
        await BillRig().bills.fetch_bill("zm", DAY, tmp_path)


def test_due_at_ten_in_beijing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    assert BillRig().bills.bill_due_ms(DAY) == 1_795_399_200_000
