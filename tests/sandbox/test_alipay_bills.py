"""The simulated Alipay's bills: made from its own trades, and fetched in time."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from alipay.aop.api.request.AlipayDataDataserviceBillDownloadurlQueryRequest import (
    AlipayDataDataserviceBillDownloadurlQueryRequest as BillRequest,
)
from alipay.aop.api.request.AlipayTradeCancelRequest import AlipayTradeCancelRequest
from alipay.aop.api.request.AlipayTradeCreateRequest import AlipayTradeCreateRequest
from alipay.aop.api.request.AlipayTradePayRequest import AlipayTradePayRequest
from alipay.aop.api.request.AlipayTradePrecreateRequest import AlipayTradePrecreateRequest
from alipay.aop.api.request.AlipayTradeRefundRequest import AlipayTradeRefundRequest

from channels.alipay.bill import BILLS
from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.sandbox.conftest import RunningSandbox

Call = Callable[..., Any]
DAY_MS = 86_400_000


async def pay(sdk: Call, number: str, amount: str, **more: str) -> None:
    await sdk(
        AlipayTradePayRequest,
        out_trade_no=number,
        scene="bar_code",
        auth_code=ALIPAY_CODES[Scenario.APPROVED],
        subject='一杯,"热"咖啡',
        total_amount=amount,
        **more,
    )


async def fetch(url: str) -> tuple[int, bytes]:
    async with ClientSession() as http, http.get(url) as answer:
        return answer.status, await answer.read()


async def bill(sdk: Call, day: str) -> Any:
    return await sdk(BillRequest, bill_type="trade", bill_date=day)


async def test_two_days_of_trade(sdk: Call, sandbox: RunningSandbox, tmp_path: Path) -> None:
    """Each day has what happened on it: a refund on the day it was made."""
    await pay(sdk, "A1", "19.90", store_id="S1", terminal_id="T1")
    await pay(sdk, "A2", "0.05")
    await pay(sdk, "A3", "7.00", store_id="S1")
    await sdk(AlipayTradeCancelRequest, out_trade_no="A3")
    sandbox.clock.ms += DAY_MS
    await sdk(
        AlipayTradeRefundRequest, out_trade_no="A1", out_request_no="R1", refund_amount="9.90"
    )
    sandbox.clock.ms += DAY_MS
    wanted = {"2026-11-22": (3, 2695, 1, 700), "2026-11-23": (0, 0, 1, 990)}
    for day, sums in wanted.items():
        node = await bill(sdk, day)
        assert (node["code"], node.get("bill_file_code")) == ("10000", None)
        status, data = await fetch(node["bill_download_url"])
        assert status == 200
        path = tmp_path / f"{day}.zip"
        path.write_bytes(data)
        reader = BILLS.open("trade", path)
        rows = [row for batch in reader for row in batch.to_pylist()]
        found = reader.totals()
        assert (found.payments, found.payments_fen, found.refunds, found.refunds_fen) == sums
        if day == "2026-11-23":
            assert (rows[0]["order_no"], rows[0]["refund_no"]) == ("A1", "R1")


async def test_a_bill_tells_where_an_order_was_made(sdk: Call, sandbox: RunningSandbox) -> None:
    """A scanned code and a page's order as well as a payment at the till."""
    await pay(sdk, "A1", "1.00", store_id="S1", terminal_id="T1")
    order = {"subject": "茶", "total_amount": "2.00", "store_id": "S2", "terminal_id": "T2"}
    code = await sdk(AlipayTradePrecreateRequest, out_trade_no="A2", **order)
    page = await sdk(
        AlipayTradeCreateRequest, out_trade_no="A3", buyer_id="2088102100000001", **order
    )
    for body in ({"code": code["qr_code"]}, {"order": page["trade_no"]}):
        assert (await sandbox.control("POST", "/pay", body))[0] == 200
    sandbox.clock.ms += DAY_MS
    _, data = await fetch((await bill(sdk, "2026-11-22"))["bill_download_url"])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        detail, summary = (archive.read(one).decode("gbk") for one in archive.infolist())
    for number, store, terminal in (("A1", "S1", "T1"), ("A2", "S2", "T2"), ("A3", "S2", "T2")):
        (row,) = [line for line in detail.splitlines() if f"\t,{number}\t," in line]
        assert f",{store}\t,{store}\t,\t,{terminal}\t," in row
    assert "S1\t,S1\t,1,0,1.00," in summary
    assert "S2\t,S2\t,2,0,4.00," in summary


async def test_names_are_gbk_without_the_flag(sdk: Call, sandbox: RunningSandbox) -> None:
    sandbox.clock.ms += DAY_MS
    node = await bill(sdk, "2026-11-22")
    assert node["bill_file_code"] == "EMPTY_DATA_WITH_BILL_FILE"
    _, data = await fetch(node["bill_download_url"])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    assert [entry.flag_bits & 0x800 for entry in entries] == [0, 0]
    names = [entry.filename.encode("cp437").decode("gbk") for entry in entries]
    stem = "20880000000000010156_20261122_业务明细"
    assert names == [f"{stem}.csv", f"{stem}(汇总).csv"]


async def test_a_url_is_good_for_thirty_seconds(sdk: Call, sandbox: RunningSandbox) -> None:
    sandbox.clock.ms += DAY_MS
    url = (await bill(sdk, "2026-11-22"))["bill_download_url"]
    sandbox.clock.ms += 30_000
    assert (await fetch(url))[0] == 200
    sandbox.clock.ms += 1
    assert (await fetch(url))[0] == 403
    assert (await fetch(url[:-1]))[0] == 403


@pytest.mark.parametrize(
    ("day", "later_ms", "sub_code"),
    [
        ("2026-11-22", 0, "BILL_NOT_EXIST"),
        ("2026-11-22", 21 * 3600_000 - 1, "BILL_NOT_EXIST"),
        ("2026-11-22", 21 * 3600_000, None),
        ("2025-11-01", 0, "BILL_NOT_EXIST"),
        ("2026-11-31", 0, "ACQ.INVALID_PARAMETER"),
    ],
)
async def test_a_bill_comes_at_nine(
    sdk: Call, sandbox: RunningSandbox, day: str, later_ms: int, sub_code: str | None
) -> None:
    """It is noon in Beijing; nine o'clock of the next day is 21 hours away."""
    sandbox.clock.ms += later_ms
    assert (await bill(sdk, day)).get("sub_code") == sub_code
