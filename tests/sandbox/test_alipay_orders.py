"""Codes, pages and payers at the simulated Alipay, and what merchants are told of it."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from aiohttp import ClientSession, web
from alipay.aop.api.request.AlipaySystemOauthTokenRequest import AlipaySystemOauthTokenRequest
from alipay.aop.api.request.AlipayTradeCreateRequest import AlipayTradeCreateRequest
from alipay.aop.api.request.AlipayTradePayRequest import AlipayTradePayRequest
from alipay.aop.api.request.AlipayTradePrecreateRequest import AlipayTradePrecreateRequest
from alipay.aop.api.request.AlipayTradeQueryRequest import AlipayTradeQueryRequest
from alipay.aop.api.request.AlipayTradeRefundRequest import AlipayTradeRefundRequest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from sandbox.alipay_orders import PAYER_ID
from sandbox.scenarios import ALIPAY_CODES, Scenario
from tests.sandbox.conftest import AppKeys, RunningSandbox
from tests.support.waiting import eventually

Call = Callable[..., Any]
ORDER = {"subject": "一杯咖啡", "total_amount": "19.90"}


class Shop:
    """A merchant's endpoint: keeps what it is told, and answers as told."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.answers: list[str] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.forms.append(dict(parse_qsl(await request.text(), keep_blank_values=True)))
        return web.Response(text=self.answers.pop(0) if self.answers else "success")

    async def hears(self, count: int) -> list[dict[str, str]]:
        await eventually(lambda: len(self.forms) >= count)
        return self.forms


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    app = web.Application()
    app.router.add_post("/notify", shop.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    shop.url = f"http://127.0.0.1:{runner.addresses[0][1]}/notify"
    yield shop
    await runner.cleanup()


def is_truly_signed(form: dict[str, str], keys: AppKeys) -> bool:
    """By the rule of trade notices: neither ``sign`` nor ``sign_type`` is covered."""
    text = "&".join(
        f"{k}={v}" for k, v in sorted(form.items()) if v and k not in ("sign", "sign_type")
    )
    try:
        keys.pair.public_key().verify(
            base64.b64decode(form["sign"]), text.encode(), PKCS1v15(), SHA256()
        )
    except Exception:
        return False
    return True


async def paid(sandbox: RunningSandbox, **body: str) -> tuple[int, Any]:
    return await sandbox.control("POST", "/pay", body)


async def test_a_code_is_scanned_and_paid(
    sdk: Call, sandbox: RunningSandbox, shop: Shop, alipay_keys: AppKeys
) -> None:
    node = await sdk(
        AlipayTradePrecreateRequest, notify_url=shop.url, out_trade_no="CODE1", **ORDER
    )
    before = await sdk(AlipayTradeQueryRequest, out_trade_no="CODE1")
    assert before["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    assert await paid(sandbox, code=node["qr_code"]) == (
        200,
        {
            "channel": "alipay",
            "order_no": "CODE1",
            "amount_fen": 1990,
            "paid": True,
            "why": "",
            "subject": ORDER["subject"],
        },
    )
    after = await sdk(AlipayTradeQueryRequest, out_trade_no="CODE1")
    assert (after["trade_status"], after["buyer_user_id"]) == ("TRADE_SUCCESS", PAYER_ID)
    [form] = await shop.hears(1)
    assert is_truly_signed(form, alipay_keys)
    assert (form["trade_status"], form["total_amount"], form["out_trade_no"]) == (
        "TRADE_SUCCESS",
        "19.90",
        "CODE1",
    )
    assert (form["app_id"], form["seller_id"]) == ("2021000000000001", "2088000000000001")
    assert form["trade_no"] == after["trade_no"]
    assert form["gmt_payment"] == "2026-11-22 12:00:00"
    status, body = await paid(sandbox, code=node["qr_code"])
    assert (status, body["why"]) == (409, "the order is paid")


async def test_it_is_told_until_it_is_taken(sdk: Call, sandbox: RunningSandbox, shop: Shop) -> None:
    """4 minutes (by the factor of 60, 4 seconds) after the first attempt; never after success."""
    shop.answers = ["fail"]
    await sdk(
        AlipayTradePayRequest,
        notify_url=shop.url,
        out_trade_no="PAY1",
        scene="bar_code",
        auth_code=ALIPAY_CODES[Scenario.USER_PAYING],
        **ORDER,
    )
    await asyncio.sleep(0.3)
    assert shop.forms == []
    sandbox.clock.ms += 8_000
    await shop.hears(1)
    await asyncio.sleep(0.3)
    assert len(shop.forms) == 1
    sandbox.clock.ms += 4_000
    first, again = await shop.hears(2)
    assert first["notify_id"] == again["notify_id"]
    sandbox.clock.ms += 10**8
    await asyncio.sleep(0.3)
    assert len(shop.forms) == 2
    _, notices = await sandbox.control("GET", "/notices")
    assert (notices[0]["attempts"], notices[0]["state"]) == (2, "taken")


async def test_refunds_are_told_apart(
    sdk: Call, sandbox: RunningSandbox, shop: Shop, alipay_keys: AppKeys
) -> None:
    """A part leaves TRADE_SUCCESS, the rest closes; out_biz_no says which refund it is."""
    await sdk(
        AlipayTradePayRequest,
        notify_url=shop.url,
        out_trade_no="PAY2",
        scene="bar_code",
        auth_code=ALIPAY_CODES[Scenario.APPROVED],
        **ORDER,
    )
    await shop.hears(1)
    for count, (number, amount) in enumerate((("R1", "9.90"), ("R2", "10.00")), 2):
        await sdk(
            AlipayTradeRefundRequest,
            out_trade_no="PAY2",
            out_request_no=number,
            refund_amount=amount,
        )
        await shop.hears(count)
    told = [
        (form["trade_status"], form.get("out_biz_no"), form.get("refund_fee"))
        for form in shop.forms
    ]
    assert told == [
        ("TRADE_SUCCESS", None, None),
        ("TRADE_SUCCESS", "R1", "9.90"),
        ("TRADE_CLOSED", "R2", "19.90"),
    ]
    assert all(is_truly_signed(form, alipay_keys) for form in shop.forms)
    assert len({form["notify_id"] for form in shop.forms}) == 3


@pytest.mark.parametrize(
    ("kind", "signed", "amount", "count"),
    [
        ("corrupt", False, "19.90", 1),
        ("wrong_amount", True, "0.01", 1),
        ("duplicate", True, "19.90", 2),
    ],
)
async def test_notices_go_wrong_on_demand(
    sdk: Call,
    sandbox: RunningSandbox,
    shop: Shop,
    alipay_keys: AppKeys,
    kind: str,
    signed: bool,
    amount: str,
    count: int,
) -> None:
    body = {"channel": "alipay.notify", "rules": [{"kind": kind, "match": "paid", "limit": 1}]}
    assert (await sandbox.control("POST", "/faults", body))[0] == 200
    node = await sdk(
        AlipayTradePrecreateRequest, notify_url=shop.url, out_trade_no="CODE2", **ORDER
    )
    await paid(sandbox, code=node["qr_code"])
    forms = await shop.hears(count)
    assert [is_truly_signed(form, alipay_keys) for form in forms] == [signed] * count
    assert forms[0]["total_amount"] == amount


async def test_a_page_of_the_wallet(sdk: Call, sandbox: RunningSandbox) -> None:
    """The browser brings a code, the code tells the payer, the trade is that payer's."""
    url = f"http://127.0.0.1:{sandbox.ports.alipay}/oauth2/publicAppAuthorize.htm"
    query = {
        "app_id": "2021000000000001",
        "scope": "auth_base",
        "redirect_uri": "http://shop.invalid/pay?table=7",
        "state": "s1",
        "payer": "2088102100000099",
    }
    async with ClientSession() as http:
        async with http.get(url, params=query, allow_redirects=False) as answer:
            assert answer.status == 302
            location = urlsplit(answer.headers["Location"])
        async with http.get(url, params={**query, "app_id": "x"}, allow_redirects=False) as answer:
            assert answer.status == 400
    back = parse_qs(location.query)
    assert (location.netloc, back["table"], back["state"]) == ("shop.invalid", ["7"], ["s1"])

    async def token(code: str) -> Any:
        return await sdk(AlipaySystemOauthTokenRequest, grant_type="authorization_code", code=code)

    [code] = back["auth_code"]
    assert (await token(code))["user_id"] == "2088102100000099"
    again = await token(code)
    assert again["sub_code"] == "isv.code-invalid"

    async def create(**changes: str) -> Any:
        biz = {"out_trade_no": "PAGE1", "buyer_id": "2088102100000099", **ORDER, **changes}
        return await sdk(AlipayTradeCreateRequest, **biz)

    node = await create()
    assert (await create())["trade_no"] == node["trade_no"]
    assert (await create(total_amount="19.91"))["sub_code"] == "ACQ.CONTEXT_INCONSISTENT"
    status, body = await paid(sandbox, order=node["trade_no"], payer="2088102100000001")
    assert (status, body["why"]) == (409, "the order is another payer's")
    status, body = await paid(sandbox, order=node["trade_no"])
    assert (status, body["paid"]) == (200, True)
    assert (await create())["sub_code"] == "ACQ.TRADE_HAS_SUCCESS"


async def test_payers_dawdle_refuse_and_come_too_late(sdk: Call, sandbox: RunningSandbox) -> None:
    async def code(number: str, **more: str) -> str:
        node = await sdk(AlipayTradePrecreateRequest, out_trade_no=number, **ORDER, **more)
        return str(node["qr_code"])

    async def status(number: str) -> Any:
        return (await sdk(AlipayTradeQueryRequest, out_trade_no=number)).get("trade_status")

    refusing = await code("D1")
    assert (await paid(sandbox, code=refusing, **{"as": "declined"}))[0] == 409
    assert await status("D1") == "WAIT_BUYER_PAY"
    dawdling = await code("D2")
    assert (await paid(sandbox, code=dawdling, **{"as": "user_paying"}))[1]["paid"] is False
    sandbox.clock.ms += 8_000
    assert await status("D2") == "TRADE_SUCCESS"
    opened = await code("D3", timeout_express="5m")
    assert (await paid(sandbox, code=opened, **{"as": "never_pays"}))[0] == 200
    late = await code("D4", timeout_express="5m")
    sandbox.clock.ms += 300_000
    assert await status("D3") == "TRADE_CLOSED"
    assert (await paid(sandbox, code=late))[1]["why"] == "the code has expired"
    assert (await paid(sandbox, code="https://qr.alipay.com/other"))[0] == 404
    assert await status("D4") is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"code": "x", "order": "y"},
        {"code": "x", "as": "wrong_pin"},
        {"code": 1},
        [],
        {"code": "x", "z": "y"},
    ],
)
async def test_a_payer_that_cannot_be_meant(sandbox: RunningSandbox, body: Any) -> None:
    status, answer = await sandbox.control("POST", "/pay", body)
    assert (status, answer["error"]["code"]) == (400, "invalid_request")
