"""The adapter's further abilities against the sandbox: both ends of the wire agree."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from channels.alipay.adapter import AlipayChannel
from channels.alipay.bill import BILLS
from channels.bills import BillPending
from channels.payer_orders import FaceRequest, OrderRequest
from channels.port import PaymentRef, Verdict
from tests.support.gateway import Running


def adapter(running: Running) -> AlipayChannel:
    """The account's own channel, as the gateway built it."""
    assert running.gateway._routes is not None
    route = running.gateway._routes.told("alipay", "alipay-1")
    assert route is not None
    assert isinstance(route.notices, AlipayChannel)
    return route.notices


def order(channel: AlipayChannel, **more: str) -> OrderRequest:
    now_ms = int(time.time() * 1000)
    return OrderRequest(
        order_no=channel.new_order_no(),
        amount_fen=1990,
        currency="CNY",
        subject="奶茶",
        created_at_ms=now_ms,
        expires_at_ms=now_ms + 300_000,
        **more,
    )


def ref(request: OrderRequest) -> PaymentRef:
    return PaymentRef(
        order_no=request.order_no,
        amount_fen=request.amount_fen,
        currency=request.currency,
        created_at_ms=request.created_at_ms,
    )


async def test_a_code_is_shown_scanned_and_paid(running: Running) -> None:
    channel = adapter(running)
    request = order(channel)
    made = await channel.create_code(request)
    assert made.verdict is Verdict.SUCCEEDED
    assert (await channel.query(ref(request))).not_found
    assert (await channel.create_code(request)).code == made.code
    await running.place.ask("POST", "/pay", {"code": made.code})
    found = await channel.query(ref(request))
    assert (found.verdict, found.amount_fen) == (Verdict.SUCCEEDED, 1990)


async def test_a_payer_is_named_and_pays_from_a_page(running: Running) -> None:
    channel = adapter(running)
    site = f"http://127.0.0.1:{running.place.ports.alipay}/oauth2/publicAppAuthorize.htm"
    query = urlsplit(channel.authorise_url("https://pay.example/c", "s1")).query
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{site}?{query}", allow_redirects=False) as back,
    ):
        came = parse_qs(urlsplit(back.headers["Location"]).query)
    assert came["state"] == ["s1"]
    payer = await channel.payer_of(came["auth_code"][0])
    assert payer.verdict is Verdict.SUCCEEDED
    assert (await channel.payer_of(came["auth_code"][0])).verdict is Verdict.DECLINED
    request = order(channel, payer_id=payer.payer_id)
    made = await channel.create_page_order(request)
    assert made.verdict is Verdict.SUCCEEDED
    await running.place.ask("POST", "/pay", {"order": made.parameters["tradeNO"]})
    found = await channel.query(ref(request))
    assert (found.verdict, found.trade_no) == (Verdict.SUCCEEDED, made.parameters["tradeNO"])


async def test_a_face_is_begun(running: Running) -> None:
    said = '{"apdidToken":"x","appName":"com.example","appVersion":"1","bioMetaInfo":"2.3.0:3,-4"}'
    request = FaceRequest(device_data=said, device_id="D1", store_id="S1", store_name="x")
    assert (await adapter(running).begin_face(request)).verdict is Verdict.SUCCEEDED


async def test_a_bill_is_fetched_and_read(running: Running, tmp_path: Path) -> None:
    """A day without trades has a bill too, whose sums agree; tomorrow has none yet."""
    channel, today = adapter(running), datetime.now(UTC).date()
    day = today - timedelta(days=5)
    fetched = await channel.fetch_bill("trade", day, tmp_path)
    assert fetched.path.parent == tmp_path
    reader = BILLS.open("trade", fetched.path, day)
    assert sum(batch.num_rows for batch in reader) == 0
    assert (reader.totals().payments, reader.totals().footer_agrees) == (0, True)
    with pytest.raises(BillPending):
        await channel.fetch_bill("trade", today + timedelta(days=1), tmp_path)
